/* align.h: can an array be read 16 bytes at a time? Plain C. */
#ifndef QUERN_CUDA_ALIGN_H
#define QUERN_CUDA_ALIGN_H

#include <stdbool.h>
#include <stdint.h>

static inline bool qn_cuda_aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

#endif
