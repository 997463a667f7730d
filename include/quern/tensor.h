/* tensor.h: a view of memory that somebody else owns. */
#ifndef QUERN_TENSOR_H
#define QUERN_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum qn_dtype { QN_F32, QN_BF16, QN_F16, QN_F64, QN_I32, QN_I64, QN_U16 } qn_dtype;

enum { QN_MAX_RANK = 4 };

/* Shapes and strides are in elements. A tensor without data (data == NULL)
 * stands for an optional argument that is absent. */
typedef struct qn_tensor {
    void *data;
    qn_dtype dtype;
    int rank;
    int64_t shape[QN_MAX_RANK];
    int64_t stride[QN_MAX_RANK];
} qn_tensor;

static inline size_t qn_dtype_size(qn_dtype dtype) {
    switch (dtype) {
    case QN_F64:
    case QN_I64:
        return 8;
    case QN_F32:
    case QN_I32:
        return 4;
    default:
        return 2;
    }
}

static inline const char *qn_dtype_name(qn_dtype dtype) {
    static const char *const names[] = {"fp32", "bf16", "fp16", "fp64", "int32", "int64", "uint16"};
    return names[dtype];
}

static inline int64_t qn_tensor_numel(const qn_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->shape[i];
    return n;
}

/* A dense row-major view. Axes from `rank` on are set to 1. */
static inline qn_tensor qn_tensor_make(void *data, qn_dtype dtype, int rank,
                                       const int64_t shape[]) {
    qn_tensor t;
    t.data = data;
    t.dtype = dtype;
    t.rank = rank;
    int64_t step = 1;
    for (int i = QN_MAX_RANK - 1; i >= 0; i--) {
        t.shape[i] = i < rank ? shape[i] : 1;
        t.stride[i] = step;
        step *= t.shape[i];
    }
    return t;
}

static inline qn_tensor qn_tensor_1d(void *data, qn_dtype dtype, int64_t n) {
    const int64_t shape[] = {n};
    return qn_tensor_make(data, dtype, 1, shape);
}

static inline qn_tensor qn_tensor_2d(void *data, qn_dtype dtype, int64_t rows, int64_t cols) {
    const int64_t shape[] = {rows, cols};
    return qn_tensor_make(data, dtype, 2, shape);
}

static inline qn_tensor qn_tensor_3d(void *data, qn_dtype dtype, int64_t a, int64_t b, int64_t c) {
    const int64_t shape[] = {a, b, c};
    return qn_tensor_make(data, dtype, 3, shape);
}

static inline qn_tensor qn_tensor_4d(void *data, qn_dtype dtype, int64_t a, int64_t b, int64_t c,
                                     int64_t d) {
    const int64_t shape[] = {a, b, c, d};
    return qn_tensor_make(data, dtype, 4, shape);
}

static inline bool qn_tensor_is_dense(const qn_tensor *t) {
    int64_t step = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && t->stride[i] != step) return false;
        step *= t->shape[i];
    }
    return true;
}

#ifdef __cplusplus
}
#endif
#endif
