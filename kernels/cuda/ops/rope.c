/* rope.c: rotary position embeddings. */
#include "rope.h"

#include "backend.h"
#include "check/rope.h"
#include "rows.h"

qn_status qn_cuda_rope_table(qn_stream *stream, qn_tensor table, double theta) {
    QN_TRY(qn_check_rope_table(&table, theta));
    if (qn_tensor_numel(&table) == 0) return QN_OK;
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_rope_table(&table, theta, &queue),
                   "rope_table: launching its kernel");
    return QN_OK;
}

/* The halves of a head are read as rows of their own. */
static bool is_wide(const qn_rope_args *args) {
    return qn_cuda_wide(&args->x) && qn_cuda_wide(&args->table) && args->x.shape[2] % 16 == 0;
}

qn_status qn_cuda_rope(qn_stream *stream, const qn_rope_args *args) {
    QN_TRY(qn_check_rope(args, QN_BF16));
    if (qn_tensor_numel(&args->x) == 0 || args->table.shape[0] == 0) return QN_OK;
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_rope(args, is_wide(args), &queue), "rope: launching its kernel");
    return QN_OK;
}
