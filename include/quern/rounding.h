/* rounding.h: stochastic rounding to bf16. A number between two neighbours in bf16 becomes the
 * upper one with a probability of its distance from the lower one, in units of their gap, so that
 * the mean is the number itself and updates smaller than half a gap are not lost (Gupta et al.,
 * 1502.02551). The random numbers are those of (seed, step, element): the same on any device. */
#ifndef QUERN_ROUNDING_H
#define QUERN_ROUNDING_H

#include "quern/bf16.h"
#include "quern/philox.h"

enum { QN_ROUNDING_GROUP = 8 }; /* elements whose numbers come from one block of Philox */

/* The numbers of elements 8·group to 8·group + 7. Steps 2^32 apart have the same. */
QN_INLINE qn_philox qn_rounding_group(uint64_t seed, int64_t step, int64_t group) {
    return qn_philox_at(seed, QN_RANDOM_ROUND, (uint32_t)step, (uint64_t)group);
}

/* 16 bits for element i, 0 to 7, of a group. */
QN_INLINE uint32_t qn_rounding_number(const qn_philox *group, int i) {
    return group->x[i / 2] >> (16 * (i % 2)) & 0xffffu;
}

/* x rounded up in size when its 16 lowest bits and `number`, 0 to 2^16 − 1, sum to 2^16 or more.
 * What bf16 holds stays; so do infinities; a NaN stays one. Beyond the largest number of bf16 a
 * finite x becomes that number, never infinite. */
QN_INLINE uint16_t qn_bf16_stochastic(float x, uint32_t number) {
    const uint32_t exponent = 0x7f800000u;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & exponent) == exponent) return qn_bf16_of_float(x);
    const uint32_t up = bits + number;
    return (uint16_t)(((up & exponent) == exponent ? bits : up) >> 16);
}

/* x as element `index` of step `step`. */
QN_INLINE uint16_t qn_bf16_stochastic_at(float x, uint64_t seed, int64_t step, int64_t index) {
    const qn_philox group = qn_rounding_group(seed, step, index / QN_ROUNDING_GROUP);
    return qn_bf16_stochastic(x, qn_rounding_number(&group, (int)(index % QN_ROUNDING_GROUP)));
}

#endif
