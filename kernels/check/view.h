/* view.h: the same tensor, seen otherwise. */
#ifndef QUERN_CHECK_VIEW_H
#define QUERN_CHECK_VIEW_H

#include "quern/tensor.h"

/* As rank 4, with axes of length 1 in front. */
static inline qn_tensor qn_tensor_rank4(const qn_tensor *t) {
    qn_tensor view = *t;
    for (int i = 0; i < QN_MAX_RANK; i++) {
        int from = i - (QN_MAX_RANK - t->rank);
        view.shape[i] = from < 0 ? 1 : t->shape[from];
        view.stride[i] = from < 0 ? 0 : t->stride[from];
    }
    view.rank = QN_MAX_RANK;
    return view;
}

#endif
