/* adamw.c: the optimizer's update: a launch for every batch of segments. Neighbours of one decay
 * become one segment, so that a transformer of 60 layers is one launch or two. */
#include "adamw.h"

#include <math.h>

#include "align.h"
#include "backend.h"
#include "check/adamw.h"

static qn_cuda_adamw_step step_of(const qn_adamw_args *args) {
    const double t = (double)args->step;
    return (qn_cuda_adamw_step){
        .param = args->param,
        .grad = args->grad,
        .m = args->m,
        .v = args->v,
        .weights = args->weights,
        .grad_sumsq = args->grad_sumsq,
        .grad_scale = args->grad_scale,
        .clip = args->clip,
        .beta1 = args->beta1,
        .beta2 = args->beta2,
        .rate = (float)((double)args->lr / (1 - pow((double)args->beta1, t))),
        .root_scale = (float)(1 / sqrt(1 - pow((double)args->beta2, t))),
        .eps = args->eps,
        .aligned = qn_cuda_aligned(args->param) && qn_cuda_aligned(args->grad) &&
                   qn_cuda_aligned(args->m) && qn_cuda_aligned(args->v) &&
                   qn_cuda_aligned(args->weights),
        .stochastic = args->stochastic_rounding,
        .seed = args->seed,
        .number = args->step};
}

static bool goes_on(const qn_adamw_segment *last, const qn_adamw_segment *next) {
    return next->offset == last->offset + last->count && next->weight_decay == last->weight_decay;
}

/* The next segment that is not empty, with those that go on where it ends; of length 0 when there
 * is none. *at moves behind it. */
static qn_adamw_segment next_segment(const qn_adamw_args *args, int *at) {
    qn_adamw_segment joined = {0};
    for (; *at < args->n_segments; ++*at) {
        const qn_adamw_segment *s = &args->segments[*at];
        if (s->count == 0) continue;
        if (joined.count == 0)
            joined = *s;
        else if (goes_on(&joined, s))
            joined.count += s->count;
        else
            break;
    }
    return joined;
}

static void append(qn_cuda_adamw_batch *batch, const qn_adamw_segment *s, float lr) {
    const int64_t end = s->offset + s->count, tile = QN_CUDA_ADAMW_TILE;
    const int64_t tiles = (end + tile - 1) / tile - s->offset / tile;
    const int i = batch->n++;
    batch->begin[i] = s->offset;
    batch->end[i] = end;
    batch->end_tile[i] = (i ? batch->end_tile[i - 1] : 0) + tiles;
    batch->shrink[i] = lr * s->weight_decay;
}

qn_status qn_cuda_adamw(qn_stream *stream, const qn_adamw_args *args) {
    QN_TRY(qn_check_adamw(args, QN_BF16));
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    const qn_cuda_adamw_step step = step_of(args);
    for (int at = 0; at < args->n_segments;) {
        qn_cuda_adamw_batch batch = {.n = 0};
        while (batch.n < QN_CUDA_ADAMW_BATCH) {
            const qn_adamw_segment segment = next_segment(args, &at);
            if (segment.count == 0) break;
            append(&batch, &segment, args->lr);
        }
        if (batch.n == 0) break;
        QN_CUDA_LAUNCH(qn_cuda_launch_adamw(&step, &batch, &queue), "adamw: launching its kernel");
    }
    return QN_OK;
}
