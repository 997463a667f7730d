/* plan.h: how cuBLASLt computes one kind of product: its descriptions and the algorithm chosen
 * for them. */
#ifndef QUERN_CUDA_PLAN_H
#define QUERN_CUDA_PLAN_H

#include "cublaslt.h"
#include "quern/tensor.h"

/* A matrix of the product, row-major: elements from row to row and from one matrix of the batch
 * to the next, and the bytes that its addresses are multiples of. */
typedef struct qn_plan_matrix {
    int64_t dtype, row, step, alignment;
} qn_plan_matrix;

/* Everything that decides the algorithm: C (m,n) = op(A) (m,k) · op(B) (k,n), `batch` times.
 * Members of one type leave no gaps, so that keys are compared as bytes. */
typedef struct qn_plan_key {
    int64_t m, n, k, batch;
    qn_plan_matrix a, b, c;
    int64_t transpose_a, transpose_b;
    int64_t epilogue; /* a cublasLtEpilogue_t */
    int64_t aux_row;  /* elements from row to row of aux (m,n) bf16; 0 without */
} qn_plan_key;

/* Vectors and matrices of the epilogue: of each call its own, aligned to 16 bytes. */
typedef struct qn_plan_extras {
    void *bias, *aux;
} qn_plan_extras;

typedef struct qn_plan {
    qn_plan_key key;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
    bool has_algorithm; /* else cuBLASLt cannot compute it */
} qn_plan;

/* Asks cuBLASLt, for products with at most `workspace` bytes of scratch memory. */
qn_status qn_plan_make(const qn_cublaslt *blas, const qn_plan_key *key, qn_plan_extras extras,
                       size_t workspace, qn_plan *out);
void qn_plan_close(const qn_cublaslt *blas, qn_plan *plan);

/* Tells the plan where the next product finds its extras. */
qn_status qn_plan_point(const qn_cublaslt *blas, qn_plan *plan, qn_plan_extras extras);

#endif
