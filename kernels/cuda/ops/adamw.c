/* adamw.c: the optimizer's update, one launch for all parameters. */
#include "adamw.h"

#include "align.h"
#include "backend.h"
#include "check/adamw.h"

qn_status qn_cuda_adamw(qn_stream *stream, const qn_adamw_args *args) {
    QN_TRY(qn_check_adamw(args, QN_BF16));
    if (args->count == 0) return QN_OK;
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    const qn_cuda_adamw_update update = {
        .param = args->param,
        .grad = args->grad,
        .m = args->m,
        .v = args->v,
        .weights = args->weights,
        .count = args->count,
        .segments = args->segments,
        .n_segments = args->n_segments,
        .grad_sumsq = args->grad_sumsq,
        .rate = args->rate,
        .grad_scale = args->grad_scale,
        .clip = args->clip,
        .beta1 = args->beta1,
        .beta2 = args->beta2,
        .eps = args->eps,
        .aligned = qn_cuda_aligned(args->param) && qn_cuda_aligned(args->grad) &&
                   qn_cuda_aligned(args->m) && qn_cuda_aligned(args->v) &&
                   qn_cuda_aligned(args->weights),
        .stochastic = args->stochastic_rounding,
        .seed = args->seed};
    QN_CUDA_LAUNCH(qn_cuda_launch_adamw(&update, &queue), "adamw: launching its kernel");
    return QN_OK;
}
