/* permute.h: a random order of n things that needs no memory. */
#ifndef QUERN_DATA_PERMUTE_H
#define QUERN_DATA_PERMUTE_H

#include <stdint.h>

#include "quern/philox.h"

/* Where the permutation of [0, n) that `key` chooses sends `index`: a Feistel network over
 * the smallest even number of bits that covers n, with Philox as its round function,
 * walked until it lands below n (Black and Rogaway, "Ciphers with Arbitrary Finite
 * Domains", CT-RSA 2002). 0 <= index < n <= 2^62. */
static inline int64_t qn_permute(uint64_t key, int64_t n, int64_t index) {
    enum { ROUNDS = 8 };
    int half = 1;
    while ((int64_t)1 << 2 * half < n) half++;
    uint64_t mask = ((uint64_t)1 << half) - 1, x = (uint64_t)index;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint32_t round = 0; round < ROUNDS; round++) {
            uint64_t f = qn_philox_at(key, QN_RANDOM_SHUFFLE, round + 1, right).x[0];
            uint64_t next = left ^ (f & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= (uint64_t)n);
    return (int64_t)x;
}

#endif
