/* product.h: one matrix product, or a batch of equal ones, by cuBLASLt. */
#ifndef QUERN_CUDA_PRODUCT_H
#define QUERN_CUDA_PRODUCT_H

#include "backend.h"

/* A matrix of each product, row-major with dense rows. In elements: from row to row, and from
 * one matrix of the batch to the next. */
typedef struct qn_factor {
    void *data;
    qn_dtype dtype; /* fp32 or bf16 */
    int64_t row, step;
    bool transpose; /* a and b: the product takes the transposed matrix */
} qn_factor;

/* C (m,n) = alpha·op(A) (m,k) · op(B) (k,n) + beta·C, `batch` times, every length at least 1;
 * then the epilogue. A and B are bf16; sums are fp32, and C is rounded once. With beta 0 the old
 * content of C is not read.
 * Epilogues (0 is none), for batches of 1: BIAS and GELU_AUX_BIAS take bias (n) bf16; GELU_AUX,
 * GELU_AUX_BIAS and DGELU take aux (m,n) bf16, its rows aux_row elements apart, a multiple of 8
 * unless m is 1. bias and aux are aligned to 16 bytes. */
typedef struct qn_product {
    int64_t m, n, k, batch;
    qn_factor a, b, c;
    float alpha, beta;
    cublasLtEpilogue_t epilogue;
    void *bias, *aux;
    int64_t aux_row;
} qn_product;

/* Bytes of workspace for any product, aligned like every workspace; fixed for a device. */
size_t qn_product_workspace(const qn_cuda *cuda);

/* QN_CODE_UNSUPPORTED where cuBLASLt has no algorithm. */
qn_status qn_multiply(qn_stream *stream, const qn_product *product, void *workspace);

/* The same, but says so in *done and enqueues nothing. */
qn_status qn_try_multiply(qn_stream *stream, const qn_product *product, void *workspace,
                          bool *done);

#endif
