/* online_softmax.h: the running softmax of a warp's rows, in the layout of mma accumulators
 * (Dao, FlashAttention-2, 2307.08691, algorithm 1).
 *
 * A warp has M strips of 16 rows. Lane 4g+t holds of each strip the rows g and g+8 (r = 0, 1),
 * and of each 8 columns the elements 2t and 2t+1: s[m][n][2r+e] is row 16m + g + 8r, column
 * 8n + 2t + e. The four lanes of a row are a quad; each keeps the sum l over its own columns, and
 * m is the same in all four.
 *
 * Scores become powers of 2 by one multiply-add, so m is in base 2 as well. It begins at half of
 * what a hidden score becomes, so that a hidden score's weight is 0 in every row, and a row that
 * sees nothing ends with l = 0. */
#ifndef QUERN_CUDA_ATTENTION_ONLINE_SOFTMAX_H
#define QUERN_CUDA_ATTENTION_ONLINE_SOFTMAX_H

#include <math.h>

#include "mask.h"

#define LOG2_E 1.44269504088896340736f
#define LN_2 0.69314718055994530942f

/* From q·k to powers of 2; a kernel argument, so that it takes no registers. The sign of the
 * scale is q's. */
struct score_scale {
    float base2;  /* |scale|·log2 e, never 0 */
    float hidden; /* a masked q·k: −1e30 in base 2 */
    float start;  /* of m */
};

inline score_scale make_score_scale(float scale) {
    score_scale x;
    x.base2 = fmaxf(fabsf(scale) * LOG2_E, 1e-30f);
    x.hidden = -1e30f / fmaxf(x.base2, 1e-7f); /* finite, and far below any score's power */
    x.start = 0.5f * x.hidden * x.base2;
    return x;
}

/* A row's maximum and sum so far. */
struct softmax_row {
    float m, l;
};

QN_DEVICE float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

QN_DEVICE float quad_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/* Hides what a row does not see of the keys from first_key on; spans are the warp's, by row. */
template <int M, int N>
QN_DEVICE void hide_keys(float (&s)[M][N][4], const position_span *spans, int32_t first_key,
                         float hidden) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const position_span span = spans[m * 16 + g + r * 8];
            const int32_t lo = span.lo - first_key - 2 * t, hi = span.hi - first_key - 2 * t;
#pragma unroll
            for (int n = 0; n < N; n++)
#pragma unroll
                for (int e = 0; e < 2; e++)
                    if (n * 8 + e < lo || n * 8 + e >= hi) s[m][n][r * 2 + e] = hidden;
        }
}

/* Raises m to the maximum of the row's scores; returns what everything summed so far is to be
 * multiplied with. */
template <int N>
QN_DEVICE float raise_maximum(float &m, const float (&s)[N][4], int r, float base2) {
    float highest = fmaxf(s[0][r * 2], s[0][r * 2 + 1]);
#pragma unroll
    for (int n = 1; n < N; n++) highest = fmaxf(highest, fmaxf(s[n][r * 2], s[n][r * 2 + 1]));
    const float old = m;
    m = fmaxf(old, quad_max(highest) * base2);
    return exp2_approx(old - m);
}

/* What a tile adds to a row, of this lane's columns; all but `weights` with statistics only. */
struct row_sums {
    float weights;  /* Σ w */
    float weighted; /* Σ w·log2 w */
    float columns;  /* Σ w·(8n + e) */
};

/* s = w = 2^(s·base2 − m), and their sums. */
template <bool STATS, int N>
QN_DEVICE row_sums exponentiate(float (&s)[N][4], int r, float base2, float m) {
    row_sums sums = {0, 0, 0};
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const float power = fmaf(s[n][r * 2 + e], base2, -m);
            const float weight = exp2_approx(power);
            s[n][r * 2 + e] = weight;
            sums.weights += weight;
            if (STATS) {
                sums.weighted = fmaf(weight, power, sums.weighted);
                sums.columns = fmaf(weight, (float)(n * 8 + e), sums.columns);
            }
        }
    return sums;
}

#endif
