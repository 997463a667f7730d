/* elementwise.h: are the arguments of additions, sums and stochastic casts what ops.h says? */
#ifndef QUERN_CHECK_ELEMENTWISE_H
#define QUERN_CHECK_ELEMENTWISE_H

#include "quern/ops.h"

qn_status qn_check_add(const qn_tensor *dst, const qn_tensor *a, const qn_tensor *b,
                       qn_dtype storage);

/* `op` is sum or sum_squares. */
qn_status qn_check_sum(const char *op, const qn_tensor *x, const float *out);

qn_status qn_check_cast_stochastic(const qn_tensor *dst, const qn_tensor *src, int64_t step);

#endif
