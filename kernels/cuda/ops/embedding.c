/* embedding.c: rows of tables by index, and their gradients: indices sorted, then rows summed. */
#include "embedding.h"

#include "backend.h"
#include "check/embedding.h"
#include "rows.h"
#include "sort.h"

/* ---- forward ------------------------------------------------------------------- */

qn_status qn_cuda_embedding_forward(qn_stream *stream, const qn_embedding_args *args) {
    QN_TRY(qn_check_embedding_forward(args, QN_BF16));
    if (qn_tensor_numel(&args->out) == 0) return QN_OK;
    const bool has_wpe = args->wpe.data;
    const qn_cuda_embedding call = {
        .out = args->out,
        .tokens = args->tokens,
        .wte = args->wte,
        .positions = args->positions,
        .wpe = args->wpe,
        .wide = qn_cuda_wide(&args->out) && qn_cuda_wide(&args->wte) &&
                (!has_wpe || qn_cuda_wide(&args->wpe)),
    };
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    QN_CUDA_LAUNCH(qn_cuda_launch_embedding(&call, &queue), "embedding_forward: launching");
    return QN_OK;
}

/* ---- backward --------------------------------------------------------------------- */

typedef struct scratch {
    qn_cuda_sort sort;
    float *partials;
    int64_t partial_stride;
} scratch;

/* The bytes depend on the shape of dout alone: both tables use them, one after the other. */
static size_t lay_out(const qn_tensor *dout, void *memory, scratch *s) {
    qn_workspace w = {.memory = memory};
    *s = (scratch){0};
    if (qn_tensor_numel(dout) == 0) return 0;
    const size_t rows = (size_t)dout->shape[0];
    const size_t pieces = (rows + QN_EMBEDDING_PIECE - 1) / QN_EMBEDDING_PIECE;
    const size_t stride = qn_size_align((size_t)dout->shape[1], 8);
    s->sort = qn_cuda_sort_lay_out(dout->shape[0], &w);
    s->partial_stride = (int64_t)stride;
    s->partials = qn_workspace_cut(&w, qn_size_mul(qn_size_mul(2 * sizeof(float), pieces), stride));
    return w.used;
}

size_t qn_cuda_embedding_backward_workspace(qn_backend *backend, const qn_embedding_args *args) {
    (void)backend;
    scratch s;
    return lay_out(&args->dout, NULL, &s);
}

/* What can be laid out: places are int32. */
static qn_status check_backward(const qn_embedding_args *args) {
    const char *op = "embedding_backward";
    scratch s;
    QN_TRY(qn_check_embedding_backward(args, QN_BF16));
    if (args->dout.shape[0] > INT32_MAX)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "%s: dout has %lld rows; the CUDA backend takes at most %d", op,
                        (long long)args->dout.shape[0], INT32_MAX);
    const size_t bytes = lay_out(&args->dout, NULL, &s);
    if (bytes == SIZE_MAX)
        return qn_error(QN_CODE_INVALID, "%s: dout is so large that its workspace cannot exist",
                        op);
    return qn_check_workspace(op, args->workspace, bytes);
}

/* Rows that an int32 can name: no other gets a gradient. */
static qn_tensor reachable(const qn_tensor *table) {
    const int64_t most = (int64_t)INT32_MAX + 1;
    qn_tensor t = *table;
    if (t.shape[0] > most) t.shape[0] = most;
    return t;
}

/* Adds the rows of dout to those of a table. Positions may repeat or not, as the caller likes, so
 * that they are no other problem than tokens. */
static qn_status add_rows(qn_stream *stream, const qn_tensor *dout, const qn_tensor *indices,
                          const qn_tensor *table, scratch *s) {
    if (table->shape[0] == 0) return QN_OK;
    const qn_cuda_queue queue = qn_cuda_queue_of(stream);
    const qn_cuda_row_sums sums = {
        .keys = s->sort.keys,
        .places = s->sort.places,
        .dout = *dout,
        .table = reachable(table),
        .wide_dout = qn_cuda_wide(dout),
        .wide_table = qn_cuda_wide(table),
        .partials = s->partials,
        .partial_stride = s->partial_stride,
    };
    s->sort.indices = indices->data;
    s->sort.limit = (uint32_t)sums.table.shape[0];
    QN_CUDA_LAUNCH(qn_cuda_launch_sort(&s->sort, &queue), "embedding_backward: launching its sort");
    QN_CUDA_LAUNCH(qn_cuda_launch_row_sums(&sums, &queue), "embedding_backward: launching");
    return QN_OK;
}

qn_status qn_cuda_embedding_backward(qn_stream *stream, const qn_embedding_args *args) {
    QN_TRY(check_backward(args));
    if (qn_tensor_numel(&args->dout) == 0) return QN_OK;
    scratch s;
    lay_out(&args->dout, args->workspace, &s);
    QN_TRY(add_rows(stream, &args->dout, &args->tokens, &args->dwte, &s));
    return args->dwpe.data ? add_rows(stream, &args->dout, &args->positions, &args->dwpe, &s)
                           : QN_OK;
}
