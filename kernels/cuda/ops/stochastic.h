/* stochastic.h: stochastic rounding of eight elements, which are a group of rounding.h. Device
 * code. */
#ifndef QUERN_CUDA_STOCHASTIC_H
#define QUERN_CUDA_STOCHASTIC_H

#include "quern/rounding.h"
#include "vector.h"

static_assert((int)VECTOR == (int)QN_ROUNDING_GROUP, "one block of Philox serves a chunk");

/* Elements [from, to) of the eight at p; the others are not written. `wide`: all eight, and p is
 * aligned to 16 bytes. */
QN_DEVICE void store_stochastic(bf16 *p, const vector8 &v, const qn_philox &group, int from, int to,
                                bool wide) {
    bf16 x[VECTOR];
#pragma unroll
    for (int i = 0; i < VECTOR; i++)
        x[i].bits = qn_bf16_stochastic(v.x[i], qn_rounding_number(&group, i));
    if (wide) {
        uint32_t pairs[VECTOR / 2];
#pragma unroll
        for (int i = 0; i < VECTOR / 2; i++)
            pairs[i] = x[2 * i].bits | (uint32_t)x[2 * i + 1].bits << 16;
        *(uint4 *)p = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
        return;
    }
#pragma unroll
    for (int i = 0; i < VECTOR; i++)
        if (i >= from && i < to) p[i] = x[i];
}

#endif
