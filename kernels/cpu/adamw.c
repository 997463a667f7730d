/* adamw.c: the optimizer's update in one pass; 28 bytes an element. */
#include <math.h>

#include "check/adamw.h"
#include "cpu.h"

/* The numbers of a step, the same for every element of a segment. */
typedef struct step {
    float scale; /* of grad, with clipping */
    float beta1, beta2;
    float rate;        /* lr / (1 − beta1^step) */
    float root_scale;  /* 1 / √(1 − beta2^step) */
    float eps, shrink; /* shrink: lr·weight_decay */
} step;

static step step_of(const qn_adamw_args *args) {
    double scale = (double)args->grad_scale, clip = (double)args->clip;
    double norm = fabs(scale) * sqrt((double)*args->grad_sumsq);
    if (clip > 0 && norm > clip) scale *= clip / norm;
    return (step){.scale = (float)scale,
                  .beta1 = args->beta1,
                  .beta2 = args->beta2,
                  .rate = args->rate->corrected,
                  .root_scale = args->rate->root_scale,
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
    s.shrink = args->rate->lr * segment->weight_decay;
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
    QN_TRY(qn_check_adamw(args, QN_F32));
    if (!isfinite(*args->grad_sumsq)) return QN_OK;
    step s = step_of(args);
    for (int i = 0; i < args->n_segments; i++)
        if (args->segments[i].count > 0)
            update_segment(qn_cpu_threads(stream), args, s, &args->segments[i]);
    return QN_OK;
}
