#include "check/elementwise.h"

#include "check/check.h"

qn_status qn_check_add(const qn_tensor *dst, const qn_tensor *a, const qn_tensor *b,
                       qn_dtype storage) {
    QN_TRY(qn_check_2d("add", "dst", dst, storage, QN_ANY, QN_ANY));
    QN_TRY(qn_check_2d("add", "a", a, storage, dst->shape[0], dst->shape[1]));
    return qn_check_2d("add", "b", b, storage, dst->shape[0], dst->shape[1]);
}

/* Of this dtype, any shape, without gaps. */
static qn_status check_dense(const char *op, const char *name, const qn_tensor *x, qn_dtype dtype) {
    QN_TRY(qn_check_extent(op, name, x));
    QN_TRY(qn_check_tensor(op, name, x, dtype, x->rank, x->shape));
    if (qn_tensor_is_dense(x)) return QN_OK;
    return qn_error(QN_CODE_INVALID, "%s: %s is not dense", op, name);
}

qn_status qn_check_sum(const char *op, const qn_tensor *x, const float *out) {
    QN_TRY(check_dense(op, "x", x, QN_F32));
    return out ? QN_OK : qn_error(QN_CODE_INVALID, "%s: out is NULL", op);
}

qn_status qn_check_cast_stochastic(const qn_tensor *dst, const qn_tensor *src, int64_t step) {
    QN_TRY(check_dense("cast_stochastic", "src", src, QN_F32));
    QN_TRY(check_dense("cast_stochastic", "dst", dst, QN_BF16));
    QN_TRY(qn_check_shape("cast_stochastic", "dst", dst, src->rank, src->shape));
    if (step >= 1) return QN_OK;
    return qn_error(QN_CODE_INVALID, "cast_stochastic: step is %lld, expected 1 or more",
                    (long long)step);
}
