/* rows.h: can a tensor be read and written eight elements of its last axis at a time? Plain C. */
#ifndef QUERN_CUDA_ROWS_H
#define QUERN_CUDA_ROWS_H

#include "align.h"
#include "quern/tensor.h"

/* Every row along the last axis begins at a multiple of 16 bytes and is a multiple of 8 elements
 * long: what vector.h calls `wide`. Strides along axes of one element are never used. Of a tensor
 * that passed its checks: rank 1 or more, unit stride along the last axis. */
static inline bool qn_cuda_wide(const qn_tensor *t) {
    const int64_t elements = 16 / (int64_t)qn_dtype_size(t->dtype);
    if (!qn_cuda_aligned(t->data) || t->shape[t->rank - 1] % 8) return false;
    for (int axis = 0; axis < t->rank - 1; axis++)
        if (t->shape[axis] > 1 && t->stride[axis] % elements) return false;
    return true;
}

#endif
