/* sum.c: sums over whole tensors. */
#include "sum.h"

#include "backend.h"
#include "check/elementwise.h"

_Static_assert(QN_CUDA_SUM_BLOCKS * sizeof(double) <= QN_CUDA_SCRATCH,
               "the partial sums fit into the scratch memory of a stream");

static qn_status reduce(qn_stream *stream, const char *op, const qn_tensor *x, float *out,
                        bool squares) {
    QN_TRY(qn_check_sum(op, x, out));
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_sum(out, x->data, qn_tensor_numel(x), squares,
                                      ((qn_cuda_stream *)stream)->scratch, &queue),
                   "%s: launching its kernels", op);
    return QN_OK;
}

qn_status qn_cuda_sum(qn_stream *stream, qn_tensor x, float *out) {
    return reduce(stream, "sum", &x, out, false);
}

qn_status qn_cuda_sum_squares(qn_stream *stream, qn_tensor x, float *out) {
    return reduce(stream, "sum_squares", &x, out, true);
}
