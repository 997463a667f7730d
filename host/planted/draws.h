/* draws.h: random numbers for planted tasks, one after the other. */
#ifndef QUERN_PLANTED_DRAWS_H
#define QUERN_PLANTED_DRAWS_H

#include <stdint.h>

#include "quern/philox.h"

/* A function of (seed, stream) and of how many were drawn. */
typedef struct qn_draws {
    uint64_t seed;
    uint32_t stream;
    uint64_t next;
} qn_draws;

/* Uniform in 0 … n − 1, up to n·2^−32. */
static inline int32_t qn_draw(qn_draws *draws, int32_t n) {
    const qn_philox r = qn_philox_at(draws->seed, QN_RANDOM_PLANTED, draws->stream, draws->next++);
    return (int32_t)((uint64_t)r.x[0] * (uint64_t)n >> 32);
}

/* `count` distinct numbers of 0 … n − 1 into the first items of `order` (n). */
static inline void qn_draw_distinct(qn_draws *draws, int32_t n, int32_t count, int32_t *order) {
    for (int32_t i = 0; i < n; i++) order[i] = i;
    for (int32_t i = 0; i < count; i++) {
        const int32_t other = i + qn_draw(draws, n - i), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

#endif
