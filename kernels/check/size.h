/* size.h: sizes in bytes that stay at SIZE_MAX once they pass it, which no workspace has. */
#ifndef QUERN_CHECK_SIZE_H
#define QUERN_CHECK_SIZE_H

#include <stddef.h>
#include <stdint.h>

static inline size_t qn_size_mul(size_t a, size_t b) {
    size_t c;
    return __builtin_mul_overflow(a, b, &c) ? SIZE_MAX : c;
}

static inline size_t qn_size_add(size_t a, size_t b) {
    size_t c;
    return __builtin_add_overflow(a, b, &c) ? SIZE_MAX : c;
}

/* The next multiple of `align`, a power of 2. */
static inline size_t qn_size_align(size_t bytes, size_t align) {
    return bytes > SIZE_MAX - align ? SIZE_MAX : (bytes + align - 1) & ~(align - 1);
}

#endif
