/* philox.h: counter-based random numbers (Salmon et al., SC 2011, Philox4x32-10).
 * The numbers are a pure function of key and counter, so they are the same on any
 * device, for any number of ranks, after any resume. */
#ifndef QUERN_PHILOX_H
#define QUERN_PHILOX_H

#include <math.h>
#include <stdint.h>

#include "quern/inline.h"

/* What a number is for: part of the key, so that uses never share a stream. */
typedef enum qn_random_use {
    QN_RANDOM_INIT = 1,    /* initial parameters */
    QN_RANDOM_SHUFFLE = 2, /* order of the training data */
    QN_RANDOM_SAMPLE = 3,  /* generated tokens */
    QN_RANDOM_ROUND = 4,   /* stochastic rounding; see rounding.h */
    QN_RANDOM_PROBE = 5,   /* tokens and draws of the lens's probes */
} qn_random_use;

typedef struct qn_philox {
    uint32_t x[4];
} qn_philox;

/* Four random words for (seed, use, stream, index): e.g. stream = a parameter's
 * number and index = its element divided by four. */
QN_INLINE qn_philox qn_philox_at(uint64_t seed, qn_random_use use, uint32_t stream,
                                 uint64_t index) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    qn_philox c = {{(uint32_t)index, (uint32_t)(index >> 32), stream, (uint32_t)use}};
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c.x[0];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c.x[2];
        c.x[0] = (uint32_t)(p1 >> 32) ^ c.x[1] ^ k0;
        c.x[1] = (uint32_t)p1;
        c.x[2] = (uint32_t)(p0 >> 32) ^ c.x[3] ^ k1;
        c.x[3] = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

/* Uniform in (0, 1), never an end point. */
static inline double qn_uniform(uint32_t word) { return (word + 0.5) * 0x1p-32; }

/* Two standard normal numbers from two words (Box and Muller). */
static inline void qn_normal_pair(uint32_t a, uint32_t b, float out[2]) {
    double radius = sqrt(-2.0 * log(qn_uniform(a))), angle = 6.283185307179586 * qn_uniform(b);
    out[0] = (float)(radius * cos(angle));
    out[1] = (float)(radius * sin(angle));
}

#endif
