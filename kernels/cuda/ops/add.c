/* add.c: the sum of two matrices. */
#include "add.h"

#include "backend.h"
#include "check/elementwise.h"
#include "rows.h"

qn_status qn_cuda_add(qn_stream *stream, qn_tensor dst, qn_tensor a, qn_tensor b) {
    QN_TRY(qn_check_add(&dst, &a, &b, QN_BF16));
    if (qn_tensor_numel(&dst) == 0) return QN_OK;
    const bool wide = qn_cuda_wide(&dst) && qn_cuda_wide(&a) && qn_cuda_wide(&b);
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_add(dst, a, b, wide, &queue), "add: launching its kernel");
    return QN_OK;
}
