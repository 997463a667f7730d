/* reduce.h: sums over the axes of a matrix, in fixed order. */
#ifndef QUERN_CPU_REDUCE_H
#define QUERN_CPU_REDUCE_H

#include <stdint.h>

/* out[j] += Σₙ x[n·stride + j], j < cols. Blocks of rows in fp32, their sum in fp64. */
void qn_add_column_sums(int n_threads, const float *x, int64_t stride, int64_t rows, int64_t cols,
                        float *out);

/* out[n] += Σⱼ x[n·stride + j], n < rows. */
void qn_add_row_sums(int n_threads, const float *x, int64_t stride, int64_t rows, int64_t cols,
                     float *out);

#endif
