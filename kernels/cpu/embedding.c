/* embedding.c: rows of tables by index, and their gradients. */
#include "check/embedding.h"

#include <string.h>

#include "check/check.h"
#include "cpu.h"
#include "rows.h"

/* ---- forward ------------------------------------------------------------------- */

static qn_status check_forward(const qn_embedding_args *args) {
    const char *op = "embedding_forward";
    QN_TRY(qn_check_embedding_forward(args, QN_F32));
    const int64_t n = args->out.shape[0];
    QN_TRY(qn_check_indices(op, "token", args->tokens.data, n, 0, args->wte.shape[0]));
    if (!args->wpe.data) return QN_OK;
    return qn_check_indices(op, "position", args->positions.data, n, 0, args->wpe.shape[0]);
}

static void add_rows(float *restrict out, const float *restrict a, const float *restrict b,
                     int64_t c) {
    for (int64_t j = 0; j < c; j++) out[j] = a[j] + b[j];
}

/* 8 bytes an element, 12 with positions. */
qn_status qn_cpu_embedding_forward(qn_stream *stream, const qn_embedding_args *args) {
    QN_TRY(check_forward(args));
    int64_t tokens = args->out.shape[0], c = args->out.shape[1];
    const int32_t *token = args->tokens.data, *position = args->positions.data;
    if (c == 0) return QN_OK;
#pragma omp parallel for num_threads(qn_cpu_threads(stream))                                       \
    schedule(static) if (tokens * c > QN_CPU_PARALLEL_MIN)
    for (int64_t n = 0; n < tokens; n++) {
        const float *row = qn_row(&args->wte, token[n]);
        if (args->wpe.data)
            add_rows(qn_row(&args->out, n), row, qn_row(&args->wpe, position[n]), c);
        else
            memcpy(qn_row(&args->out, n), row, (size_t)c * sizeof(float));
    }
    return QN_OK;
}

/* ---- backward --------------------------------------------------------------------- */

static qn_status check_backward(const qn_embedding_args *args) {
    const char *op = "embedding_backward";
    QN_TRY(qn_check_embedding_backward(args, QN_F32));
    const int64_t n = args->dout.shape[0];
    QN_TRY(qn_check_indices(op, "token", args->tokens.data, n, 0, args->dwte.shape[0]));
    if (!args->dwpe.data) return QN_OK;
    return qn_check_indices(op, "position", args->positions.data, n, 0, args->dwpe.shape[0]);
}

size_t qn_cpu_embedding_backward_workspace(qn_backend *backend, const qn_embedding_args *args) {
    (void)backend, (void)args;
    return 0;
}

static void add_to_row(float *restrict out, const float *restrict x, int64_t n) {
    for (int64_t j = 0; j < n; j++) out[j] += x[j];
}

/* The columns are cut into tiles of a cache line, so that every row of a table adds its
 * tokens in their order whichever thread does it. 12 bytes an element. */
enum { TILE = 16 };

static void scatter_add(int n_threads, const qn_tensor *dout, const int32_t *index,
                        const qn_tensor *table) {
    int64_t tokens = dout->shape[0], c = dout->shape[1], tiles = (c + TILE - 1) / TILE;
#pragma omp parallel for num_threads(n_threads)                                                    \
    schedule(static, 1) if (tokens * c > QN_CPU_PARALLEL_MIN)
    for (int part = 0; part < n_threads; part++) {
        int64_t first = tiles * part / n_threads * TILE;
        int64_t end = qn_min_i64(tiles * (part + 1) / n_threads * TILE, c);
        if (first >= end) continue;
        for (int64_t n = 0; n < tokens; n++)
            add_to_row(qn_row(table, index[n]) + first, qn_row(dout, n) + first, end - first);
    }
}

qn_status qn_cpu_embedding_backward(qn_stream *stream, const qn_embedding_args *args) {
    QN_TRY(check_backward(args));
    int n_threads = qn_cpu_threads(stream);
    scatter_add(n_threads, &args->dout, args->tokens.data, &args->dwte);
    if (args->dwpe.data) scatter_add(n_threads, &args->dout, args->positions.data, &args->dwpe);
    return QN_OK;
}
