/* utf8.h: UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates. */
#ifndef QUERN_DATA_UTF8_H
#define QUERN_DATA_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at text (1 to 4), its code point in *code; 0 when the bytes
 * there are not UTF-8. length is at least 1. */
static inline size_t qn_utf8_char(const char *text, size_t length, uint32_t *code) {
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)text;
    size_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    if (n == 0 || n > length) return 0;
    uint32_t c = n == 1 ? p[0] : p[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (p[i] >> 6 != 2) return 0;
        c = c << 6 | (p[i] & 0x3F);
    }
    if (c < smallest[n] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return 0;
    *code = c;
    return n;
}

/* Length of the longest prefix that is UTF-8: `length` when all of it is. */
static inline size_t qn_utf8_prefix(const char *text, size_t length) {
    uint32_t code;
    size_t at = 0;
    while (at < length) {
        size_t n = qn_utf8_char(text + at, length - at, &code);
        if (n == 0) break;
        at += n;
    }
    return at;
}

#endif
