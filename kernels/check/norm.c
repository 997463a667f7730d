#include "check/norm.h"

#include <math.h>

#include "check/check.h"

const char *qn_norm_forward_name(qn_norm_kind kind) {
    return kind == QN_RMSNORM ? "rmsnorm_forward" : "layernorm_forward";
}

const char *qn_norm_backward_name(qn_norm_kind kind) {
    return kind == QN_RMSNORM ? "rmsnorm_backward" : "layernorm_backward";
}

static qn_status check_x(const char *op, const qn_tensor *x, qn_dtype storage) {
    if (x->rank != 3) return qn_check_2d(op, "x", x, storage, QN_ANY, QN_ANY);
    return qn_check_3d(op, "x", x, storage, QN_ANY, QN_ANY, QN_ANY);
}

/* The shape and, since x has passed, the dtype of x. */
static qn_status check_like_x(const char *op, const char *name, const qn_tensor *t,
                              const qn_tensor *x) {
    return qn_check_tensor(op, name, t, x->dtype, x->rank, x->shape);
}

/* mean or rstd: the shape of x less its last axis. */
static qn_status check_stat(const char *op, const char *name, const qn_tensor *t,
                            const qn_tensor *x) {
    return qn_check_tensor(op, name, t, QN_F32, x->rank - 1, x->shape);
}

static qn_status check_residual(const char *op, const qn_norm_args *args) {
    if (args->x.rank != 2)
        return qn_error(QN_CODE_INVALID, "%s: residual goes with x of rank 2, and x has %d", op,
                        args->x.rank);
    QN_TRY(check_like_x(op, "residual", &args->residual, &args->x));
    return check_like_x(op, "sum", &args->sum, &args->x);
}

qn_status qn_check_norm_forward(const qn_norm_args *args, qn_norm_kind kind, qn_dtype storage) {
    const char *op = qn_norm_forward_name(kind);
    const qn_tensor *x = &args->x;
    QN_TRY(check_x(op, x, storage));
    const int64_t c = x->shape[x->rank - 1];
    QN_TRY(qn_check_1d(op, "weight", &args->weight, storage, c));
    QN_TRY(check_like_x(op, "out", &args->out, x));
    QN_TRY(check_stat(op, "rstd", &args->rstd, x));
    if (kind == QN_LAYERNORM) {
        QN_TRY(qn_check_1d(op, "bias", &args->bias, storage, c));
        QN_TRY(check_stat(op, "mean", &args->mean, x));
    }
    if (args->residual.data) QN_TRY(check_residual(op, args));
    if (!(args->eps >= 0) || isinf(args->eps))
        return qn_error(QN_CODE_INVALID, "%s: eps is %g, expected 0 or more", op,
                        (double)args->eps);
    return QN_OK;
}

qn_status qn_check_norm_backward(const qn_norm_args *args, qn_norm_kind kind, qn_dtype storage) {
    const char *op = qn_norm_backward_name(kind);
    const qn_tensor *x = &args->x;
    QN_TRY(check_x(op, x, storage));
    const int64_t c = x->shape[x->rank - 1];
    QN_TRY(qn_check_1d(op, "weight", &args->weight, storage, c));
    QN_TRY(check_stat(op, "rstd", &args->rstd, x));
    QN_TRY(check_like_x(op, "dout", &args->dout, x));
    QN_TRY(check_like_x(op, "dx", &args->dx, x));
    QN_TRY(qn_check_1d(op, "dweight", &args->dweight, QN_F32, c));
    if (args->dresidual.data) QN_TRY(check_like_x(op, "dresidual", &args->dresidual, x));
    if (kind == QN_RMSNORM) return QN_OK;
    QN_TRY(check_stat(op, "mean", &args->mean, x));
    return qn_check_1d(op, "dbias", &args->dbias, QN_F32, c);
}
