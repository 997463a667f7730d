/* bf16.h: bfloat16 is the upper half of a float. */
#ifndef QUERN_BF16_H
#define QUERN_BF16_H

#include <stdint.h>
#include <string.h>

#include "quern/inline.h"

#ifdef __cplusplus
extern "C" {
#endif

QN_INLINE float qn_float_of_bf16(uint16_t x) {
    const uint32_t bits = (uint32_t)x << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}

/* To nearest, ties to even; a NaN keeps its sign and becomes quiet. */
QN_INLINE uint16_t qn_bf16_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1);
    uint32_t quiet = bits | 0x400000u;
    return (uint16_t)(((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded) >> 16);
}

/* The float nearest to x that bf16 can hold. */
QN_INLINE float qn_round_bf16(float x) { return qn_float_of_bf16(qn_bf16_of_float(x)); }

#ifdef __cplusplus
}
#endif
#endif
