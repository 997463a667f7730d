/* rows.h: sums along rows of floats, and addresses of rows. A sum runs in LANES chains,
 * so that it vectorises over several registers and rounds less than one chain. */
#ifndef QUERN_CPU_ROWS_H
#define QUERN_CPU_ROWS_H

#include "quern/tensor.h"

enum { QN_LANES = 32 };

/* Row n of a matrix, or of row h of n of a rank-3 tensor. */
static inline float *qn_row(const qn_tensor *t, int64_t n) {
    return (float *)t->data + n * t->stride[0];
}
static inline float *qn_row3(const qn_tensor *t, int64_t n, int64_t h) {
    return (float *)t->data + n * t->stride[0] + h * t->stride[1];
}

static inline float qn_fold_lanes(float *lane) {
    for (int width = QN_LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++) lane[l] += lane[l + width];
    return lane[0];
}

/* Σ f(j) over j in [0, n), for an expression of j. */
#define QN_ROW_SUM(result, n, j, expression)                                                       \
    do {                                                                                           \
        float lane_[QN_LANES] = {0};                                                               \
        int64_t whole_ = (n) - (n) % QN_LANES;                                                     \
        for (int64_t base_ = 0; base_ < whole_; base_ += QN_LANES)                                 \
            for (int l_ = 0; l_ < QN_LANES; l_++) {                                                \
                const int64_t j = base_ + l_;                                                      \
                lane_[l_] += (expression);                                                         \
            }                                                                                      \
        for (int64_t j = whole_; j < (n); j++) lane_[j - whole_] += (expression);                  \
        (result) = qn_fold_lanes(lane_);                                                           \
    } while (0)

#endif
