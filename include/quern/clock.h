/* clock.h: time for measuring. */
#ifndef QUERN_CLOCK_H
#define QUERN_CLOCK_H

#include <time.h>

/* Seconds on a clock that never goes back. */
static inline double qn_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
