/* cast.c: conversions between fp32 and bf16. */
#include "cast.h"
#include "backend.h"
#include "check/check.h"
#include "check/elementwise.h"
#include "check/view.h"

qn_status qn_cuda_cast(qn_stream *stream, qn_tensor dst, qn_tensor src) {
    QN_TRY(qn_check_cast(&dst, &src));
    if (qn_tensor_numel(&src) == 0) return QN_OK;
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_cast(qn_tensor_rank4(&dst), qn_tensor_rank4(&src), &queue),
                   "cast: launching its kernel");
    return QN_OK;
}

qn_status qn_cuda_cast_stochastic(qn_stream *stream, qn_tensor dst, qn_tensor src, uint64_t seed,
                                  int64_t step) {
    QN_TRY(qn_check_cast_stochastic(&dst, &src, step));
    if (qn_tensor_numel(&src) == 0) return QN_OK;
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_cast_stochastic(dst, src, seed, step, &queue),
                   "cast_stochastic: launching its kernel");
    return QN_OK;
}
