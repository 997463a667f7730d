/* gemm_bf16.h: products of bf16 matrices on CPUs that have instructions for them. */
#ifndef QUERN_CPU_GEMM_BF16_H
#define QUERN_CPU_GEMM_BF16_H

#include <stdbool.h>
#include <stdint.h>

#include "quern/status.h"

typedef struct qn_bf16_gemm qn_bf16_gemm; /* primitives made so far, by shape */

/* *out is NULL where the CPU has no bf16 instructions, or the build no oneDNN. */
qn_status qn_bf16_gemm_open(qn_bf16_gemm **out);
void qn_bf16_gemm_close(qn_bf16_gemm *gemm);

typedef struct qn_bf16_product {
    int64_t m, n, k;
    bool transpose_a, transpose_b;
    int64_t c_stride; /* elements between rows of C; A and B are dense */
    float beta;
    int n_threads;
} qn_bf16_product;

/* C (M,N) fp32 = op(A)·op(B) + beta·C, A and B bf16, sums in fp32. */
qn_status qn_bf16_gemm_run(qn_bf16_gemm *gemm, const qn_bf16_product *product, const uint16_t *a,
                           const uint16_t *b, float *c);

#endif
