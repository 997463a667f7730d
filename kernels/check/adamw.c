#include "check/adamw.h"

#include <math.h>

#include "check/check.h"

static qn_status check_range(const char *name, double value, double low, double high) {
    if (value >= low && value < high) return QN_OK;
    return qn_error(QN_CODE_INVALID, "adamw: %s is %g, expected it in [%g, %g)", name, value, low,
                    high);
}

static qn_status check_segments(const qn_adamw_args *args) {
    if (args->n_segments >= 0 && (args->n_segments == 0 || args->segments)) return QN_OK;
    return qn_error(QN_CODE_INVALID, "adamw: segments is %s with n_segments %d",
                    args->segments ? "set" : "NULL", args->n_segments);
}

static qn_status check_weights(const qn_adamw_args *args, qn_dtype storage) {
    if (args->stochastic_rounding && !args->weights)
        return qn_error(QN_CODE_INVALID,
                        "adamw: stochastic_rounding without weights, the working copy that it "
                        "rounds");
    if (args->weights && storage == QN_F32)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "adamw: weights is a working copy in %s; this backend stores fp32, where "
                        "param is all there is",
                        qn_show_dtype(args->weights_dtype));
    if (args->weights && args->weights_dtype != storage)
        return qn_error(QN_CODE_INVALID, "adamw: weights is %s, expected %s",
                        qn_show_dtype(args->weights_dtype), qn_show_dtype(storage));
    return QN_OK;
}

static qn_status check_arrays(const qn_adamw_args *args) {
    const struct {
        const char *name;
        const void *data;
    } arrays[] = {{"param", args->param}, {"grad", args->grad}, {"m", args->m}, {"v", args->v}};
    for (int i = 0; i < 4; i++)
        if (!arrays[i].data && args->count > 0)
            return qn_error(QN_CODE_INVALID, "adamw: %s is NULL, expected %lld elements",
                            arrays[i].name, (long long)args->count);
    if (!args->grad_sumsq) return qn_error(QN_CODE_INVALID, "adamw: grad_sumsq is NULL");
    if (!args->rate) return qn_error(QN_CODE_INVALID, "adamw: rate is NULL");
    return QN_OK;
}

qn_status qn_check_adamw(const qn_adamw_args *args, qn_dtype storage) {
    if (args->count < 0 || args->count > INT64_MAX / (int64_t)sizeof(float))
        return qn_error(QN_CODE_INVALID, "adamw: count is %lld", (long long)args->count);
    if (!isfinite(args->grad_scale))
        return qn_error(QN_CODE_INVALID, "adamw: grad_scale is %g, expected a finite number",
                        (double)args->grad_scale);
    QN_TRY(check_range("beta1", (double)args->beta1, 0, 1));
    QN_TRY(check_range("beta2", (double)args->beta2, 0, 1));
    QN_TRY(check_range("eps", (double)args->eps, 0, HUGE_VAL));
    QN_TRY(check_range("clip", (double)args->clip, 0, HUGE_VAL));
    QN_TRY(check_arrays(args));
    QN_TRY(check_weights(args, storage));
    return check_segments(args);
}
