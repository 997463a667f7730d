/* norm.c: RMSNorm and LayerNorm over rows, forward and backward, in fp32. A row stays in
 * the first-level cache between its passes, so memory moves once: forward 8 bytes an
 * element (16 with a residual), backward 12 (16 with dresidual). */
#include <math.h>
#include <string.h>

#include "check/check.h"
#include "check/norm.h"
#include "cpu.h"
#include "rows.h"

/* How the rows of x lie: N groups of H rows of C elements; H is 1 for rank 2. */
typedef struct layout {
    int64_t n, h, c;
} layout;

static layout layout_of(const qn_tensor *x) {
    if (x->rank == 3) return (layout){x->shape[0], x->shape[1], x->shape[2]};
    return (layout){x->shape[0], 1, x->shape[1]};
}

static float *row_at(const qn_tensor *t, int64_t n, int64_t h) {
    return qn_row(t, n) + (t->rank == 3 ? h * t->stride[1] : 0);
}

/* An element of mean or rstd. */
static float *stat_at(const qn_tensor *t, int64_t n, int64_t h) { return qn_row(t, n) + h; }

/* ---- forward ---------------------------------------------------------------------- */

/* out may be x, so neither is restrict. Returns rstd. */
static float rmsnorm_row(const float *x, const float *weight, float *out, int64_t c, float eps) {
    float squares;
    QN_ROW_SUM(squares, c, j, x[j] * x[j]);
    float rstd = 1.0f / sqrtf(squares / (float)c + eps);
#pragma omp simd
    for (int64_t j = 0; j < c; j++) out[j] = x[j] * rstd * weight[j];
    return rstd;
}

static float layernorm_row(const float *x, const float *weight, const float *bias, float *out,
                           int64_t c, float eps, float *mean) {
    float total, squares;
    QN_ROW_SUM(total, c, j, x[j]);
    const float centre = total / (float)c;
    QN_ROW_SUM(squares, c, j, (x[j] - centre) * (x[j] - centre));
    float rstd = 1.0f / sqrtf(squares / (float)c + eps);
#pragma omp simd
    for (int64_t j = 0; j < c; j++) out[j] = (x[j] - centre) * rstd * weight[j] + bias[j];
    *mean = centre;
    return rstd;
}

/* sum may be x or the residual. */
static const float *add_residual(const float *x, const float *residual, float *sum, int64_t c) {
#pragma omp simd
    for (int64_t j = 0; j < c; j++) sum[j] = x[j] + residual[j];
    return sum;
}

static void forward_row(const qn_norm_args *args, qn_norm_kind kind, int64_t c, int64_t n,
                        int64_t h) {
    const float *x = row_at(&args->x, n, h), *weight = args->weight.data;
    float *out = row_at(&args->out, n, h), *rstd = stat_at(&args->rstd, n, h);
    if (args->residual.data)
        x = add_residual(x, qn_row(&args->residual, n), qn_row(&args->sum, n), c);
    if (kind == QN_RMSNORM)
        *rstd = rmsnorm_row(x, weight, out, c, args->eps);
    else
        *rstd = layernorm_row(x, weight, args->bias.data, out, c, args->eps,
                              stat_at(&args->mean, n, h));
}

static qn_status forward(qn_stream *stream, const qn_norm_args *args, qn_norm_kind kind) {
    QN_TRY(qn_check_norm_forward(args, kind, QN_F32));
    layout l = layout_of(&args->x);
    if (l.c == 0) return QN_OK;
#pragma omp parallel for num_threads(qn_cpu_threads(stream))                                       \
    schedule(static) if (l.n * l.h * l.c > QN_CPU_PARALLEL_MIN)
    for (int64_t n = 0; n < l.n; n++)
        for (int64_t h = 0; h < l.h; h++) forward_row(args, kind, l.c, n, h);
    return QN_OK;
}

qn_status qn_cpu_rmsnorm_forward(qn_stream *stream, const qn_norm_args *args) {
    return forward(stream, args, QN_RMSNORM);
}

qn_status qn_cpu_layernorm_forward(qn_stream *stream, const qn_norm_args *args) {
    return forward(stream, args, QN_LAYERNORM);
}

/* ---- backward ------------------------------------------------------------------------ */

/* The parameter gradients of one thread's rows. A block of rows adds in fp32, the blocks
 * in fp64: each array holds dweight, then dbias. */
typedef struct partial {
    float *block;
    double *total;
} partial;

enum { BLOCK_ROWS = 64 };

static size_t block_bytes(int64_t c) { return qn_cpu_align(2 * (size_t)c * sizeof(float)); }
static size_t total_bytes(int64_t c) { return qn_cpu_align(2 * (size_t)c * sizeof(double)); }

size_t qn_cpu_norm_backward_workspace(qn_backend *backend, const qn_norm_args *args) {
    int64_t c = layout_of(&args->x).c;
    return (size_t)((const qn_cpu *)backend)->n_threads * (block_bytes(c) + total_bytes(c));
}

static partial partial_at(const qn_norm_args *args, int64_t c, int part) {
    char *base = (char *)args->workspace + (size_t)part * (block_bytes(c) + total_bytes(c));
    return (partial){(float *)(void *)base, (double *)(void *)(base + block_bytes(c))};
}

static void flush_block(partial p, int64_t c) {
    for (int64_t j = 0; j < 2 * c; j++) p.total[j] += (double)p.block[j];
    memset(p.block, 0, 2 * (size_t)c * sizeof(float));
}

/* dx = dresidual + rstd·(g − x̂·mean(g∘x̂)), g = dout∘weight, x̂ = x·rstd. dx may be dout
 * or dresidual; dresidual may be NULL. */
static void rmsnorm_backward_row(const float *x, float rstd, const float *weight, const float *dout,
                                 const float *dresidual, float *dx, float *dweight, int64_t c) {
    float dot;
    QN_ROW_SUM(dot, c, j, dout[j] * weight[j] * x[j]);
    const float along = dot * rstd / (float)c;
#pragma omp simd
    for (int64_t j = 0; j < c; j++) {
        float normal = x[j] * rstd, d = dout[j];
        float gradient = rstd * (d * weight[j] - normal * along);
        dweight[j] += d * normal;
        dx[j] = dresidual ? dresidual[j] + gradient : gradient;
    }
}

/* dx = dresidual + rstd·(g − mean(g) − x̂·mean(g∘x̂)), x̂ = (x − mean)·rstd. */
static void layernorm_backward_row(const float *x, float mean, float rstd, const float *weight,
                                   const float *dout, const float *dresidual, float *dx,
                                   float *dweight, float *dbias, int64_t c) {
    float total, dot;
    QN_ROW_SUM(total, c, j, dout[j] * weight[j]);
    QN_ROW_SUM(dot, c, j, dout[j] * weight[j] * (x[j] - mean));
    const float shift = total / (float)c, along = dot * rstd / (float)c;
#pragma omp simd
    for (int64_t j = 0; j < c; j++) {
        float normal = (x[j] - mean) * rstd, d = dout[j];
        float gradient = rstd * (d * weight[j] - shift - normal * along);
        dweight[j] += d * normal;
        dbias[j] += d;
        dx[j] = dresidual ? dresidual[j] + gradient : gradient;
    }
}

static void backward_row(const qn_norm_args *args, qn_norm_kind kind, int64_t c, int64_t n,
                         int64_t h, float *block) {
    const float *x = row_at(&args->x, n, h), *weight = args->weight.data;
    const float *dout = row_at(&args->dout, n, h);
    const float *dresidual = args->dresidual.data ? row_at(&args->dresidual, n, h) : NULL;
    float *dx = row_at(&args->dx, n, h), rstd = *stat_at(&args->rstd, n, h);
    if (kind == QN_RMSNORM)
        rmsnorm_backward_row(x, rstd, weight, dout, dresidual, dx, block, c);
    else
        layernorm_backward_row(x, *stat_at(&args->mean, n, h), rstd, weight, dout, dresidual, dx,
                               block, block + c, c);
}

static void backward_rows(const qn_norm_args *args, qn_norm_kind kind, layout l, int64_t first,
                          int64_t end, partial p) {
    memset(p.block, 0, 2 * (size_t)l.c * sizeof(float));
    memset(p.total, 0, 2 * (size_t)l.c * sizeof(double));
    int64_t rows = 0;
    for (int64_t n = first; n < end; n++)
        for (int64_t h = 0; h < l.h; h++) {
            backward_row(args, kind, l.c, n, h, p.block);
            if (++rows % BLOCK_ROWS == 0) flush_block(p, l.c);
        }
    flush_block(p, l.c);
}

static void add_partials(const qn_norm_args *args, int n_parts, int64_t c, int64_t from,
                         float *out) {
    for (int64_t j = 0; j < c; j++) {
        double total = 0;
        for (int part = 0; part < n_parts; part++)
            total += partial_at(args, c, part).total[from + j];
        out[j] = (float)((double)out[j] + total);
    }
}

static qn_status backward(qn_stream *stream, const qn_norm_args *args, qn_norm_kind kind) {
    QN_TRY(qn_check_norm_backward(args, kind, QN_F32));
    layout l = layout_of(&args->x);
    if (qn_tensor_numel(&args->x) == 0) return QN_OK;
    QN_TRY(qn_check_workspace(qn_norm_backward_name(kind), args->workspace,
                              qn_cpu_norm_backward_workspace(stream->backend, args)));
    int n_parts = qn_cpu_threads(stream);
#pragma omp parallel for num_threads(n_parts)                                                      \
    schedule(static, 1) if (l.n * l.h * l.c > QN_CPU_PARALLEL_MIN)
    for (int part = 0; part < n_parts; part++)
        backward_rows(args, kind, l, l.n * part / n_parts, l.n * (part + 1) / n_parts,
                      partial_at(args, l.c, part));
    add_partials(args, n_parts, l.c, 0, args->dweight.data);
    if (kind == QN_LAYERNORM) add_partials(args, n_parts, l.c, l.c, args->dbias.data);
    return QN_OK;
}

qn_status qn_cpu_rmsnorm_backward(qn_stream *stream, const qn_norm_args *args) {
    return backward(stream, args, QN_RMSNORM);
}

qn_status qn_cpu_layernorm_backward(qn_stream *stream, const qn_norm_args *args) {
    return backward(stream, args, QN_LAYERNORM);
}
