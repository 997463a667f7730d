/* matmul.h: nests of equal matrix products by cuBLASLt. */
#ifndef QUERN_CUDA_MATMUL_H
#define QUERN_CUDA_MATMUL_H

#include "backend.h"

enum { QN_MATMUL_AXES = 3 };

/* A matrix of each product, row-major with dense rows. All in elements: from row to row, and
 * from one product to the next along each axis of the nest. */
typedef struct qn_operand {
    void *data;
    qn_dtype dtype; /* fp32 or bf16 */
    int64_t row;
    int64_t step[QN_MATMUL_AXES];
    bool transpose; /* a and b: the product takes the transposed matrix */
} qn_operand;

/* C (m,n) = alpha·op(A) (m,k) · op(B) (k,n), `count` times along each axis, every length at
 * least 1. Along an axis where C does not move (step 0, count > 1) the products add up in C, one
 * after the other. A and B are bf16; sums are fp32, and C is rounded once a product. */
typedef struct qn_products {
    int64_t m, n, k;
    int64_t count[QN_MATMUL_AXES];
    qn_operand a, b, c;
    float alpha;
} qn_products;

/* The workspace is that of one product, qn_product_workspace. */
qn_status qn_matmul(qn_stream *stream, const qn_products *products, void *workspace);

#endif
