/* adamw.c: the optimizer's update in one pass; 28 bytes an element. */
#include <math.h>

#include "check/check.h"
#include "cpu.h"

/* The numbers of a step, the same for every element of a segment. */
typedef struct step {
    float scale; /* of grad, with clipping */
    float beta1, beta2;
    float rate;        /* lr / (1 − beta1^step) */
    float root_scale;  /* 1 / √(1 − beta2^step) */
    float eps, shrink; /* shrink: lr·weight_decay */
} step;

static qn_status check_range(const char *name, double value, double low, double high) {
    if (value >= low && value < high) return QN_OK;
    return qn_error(QN_CODE_INVALID, "adamw: %s is %g, expected it in [%g, %g)", name, value, low,
                    high);
}

static qn_status check_segments(const qn_adamw_args *args) {
    if (args->n_segments < 0 || (args->n_segments > 0 && !args->segments))
        return qn_error(QN_CODE_INVALID, "adamw: segments is %s with n_segments %d",
                        args->segments ? "set" : "NULL", args->n_segments);
    int64_t end = 0;
    for (int i = 0; i < args->n_segments; i++) {
        const qn_adamw_segment *s = &args->segments[i];
        if (s->offset < end || s->count < 0 || s->count > args->count ||
            s->offset > args->count - s->count)
            return qn_error(QN_CODE_INVALID,
                            "adamw: segments[%d] has %lld elements from %lld, expected them in "
                            "[%lld, %lld)",
                            i, (long long)s->count, (long long)s->offset, (long long)end,
                            (long long)args->count);
        QN_TRY(check_range("weight_decay", (double)s->weight_decay, 0, HUGE_VAL));
        end = s->offset + s->count;
    }
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
    if (args->weights)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "adamw: weights is a working copy in %s; this backend stores fp32, where "
                        "param is all there is",
                        qn_show_dtype(args->weights_dtype));
    if (!args->grad_sumsq) return qn_error(QN_CODE_INVALID, "adamw: grad_sumsq is NULL");
    return QN_OK;
}

static qn_status check_adamw(const qn_adamw_args *args) {
    if (args->count < 0 || args->count > INT64_MAX / (int64_t)sizeof(float))
        return qn_error(QN_CODE_INVALID, "adamw: count is %lld", (long long)args->count);
    if (args->step < 1)
        return qn_error(QN_CODE_INVALID, "adamw: step is %lld, expected 1 or more",
                        (long long)args->step);
    if (!isfinite(args->grad_scale) || !isfinite(args->lr))
        return qn_error(QN_CODE_INVALID, "adamw: %s is %g, expected a finite number",
                        isfinite(args->lr) ? "grad_scale" : "lr",
                        (double)(isfinite(args->lr) ? args->grad_scale : args->lr));
    QN_TRY(check_range("beta1", (double)args->beta1, 0, 1));
    QN_TRY(check_range("beta2", (double)args->beta2, 0, 1));
    QN_TRY(check_range("eps", (double)args->eps, 0, HUGE_VAL));
    QN_TRY(check_range("clip", (double)args->clip, 0, HUGE_VAL));
    QN_TRY(check_arrays(args));
    return check_segments(args);
}

static step step_of(const qn_adamw_args *args) {
    double scale = (double)args->grad_scale, clip = (double)args->clip;
    double norm = fabs(scale) * sqrt((double)*args->grad_sumsq);
    if (clip > 0 && norm > clip) scale *= clip / norm;
    double t = (double)args->step;
    return (step){.scale = (float)scale,
                  .beta1 = args->beta1,
                  .beta2 = args->beta2,
                  .rate = (float)((double)args->lr / (1 - pow((double)args->beta1, t))),
                  .root_scale = (float)(1 / sqrt(1 - pow((double)args->beta2, t))),
                  .eps = args->eps};
}

static void update(step s, int64_t n, float *restrict param, const float *restrict grad,
                   float *restrict m, float *restrict v) {
    const float rest1 = 1.0f - s.beta1, rest2 = 1.0f - s.beta2;
    for (int64_t i = 0; i < n; i++) {
        float g = grad[i] * s.scale;
        float first = s.beta1 * m[i] + rest1 * g;
        float second = s.beta2 * v[i] + rest2 * g * g;
        m[i] = first;
        v[i] = second;
        param[i] -= s.rate * first / (sqrtf(second) * s.root_scale + s.eps) + s.shrink * param[i];
    }
}

/* Elements that one thread updates at a time: whole cache lines, of the flat arrays. */
enum { BLOCK = 4096 };

static void update_segment(int n_threads, const qn_adamw_args *args, step s,
                           const qn_adamw_segment *segment) {
    s.shrink = args->lr * segment->weight_decay;
    int64_t first = segment->offset, end = first + segment->count;
    int64_t first_block = first / BLOCK, end_block = (end + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(n_threads)                                                    \
    schedule(static) if (end - first > QN_CPU_PARALLEL_MIN)
    for (int64_t b = first_block; b < end_block; b++) {
        int64_t from = qn_max_i64(b * BLOCK, first), to = qn_min_i64((b + 1) * BLOCK, end);
        update(s, to - from, args->param + from, args->grad + from, args->m + from, args->v + from);
    }
}

qn_status qn_cpu_adamw(qn_stream *stream, const qn_adamw_args *args) {
    QN_TRY(check_adamw(args));
    if (!isfinite(*args->grad_sumsq)) return QN_OK;
    step s = step_of(args);
    for (int i = 0; i < args->n_segments; i++)
        if (args->segments[i].count > 0)
            update_segment(qn_cpu_threads(stream), args, s, &args->segments[i]);
    return QN_OK;
}
