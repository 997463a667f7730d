/* sample.c: statistics of attention in the passes of chosen steps. */
#include <math.h>
#include <stdlib.h>

#include "quern/lens.h"

struct qn_lens {
    qn_model *model;
    const qn_ops *ops;
    int64_t n_layers, n_heads;
    qn_attn_stats *layers; /* (device) one a layer */
    float *sums;           /* page-locked: (L, QN_ATTN_N_SUMS, Hq) */
    float *cleared;        /* page-locked: sums of nothing */
    int64_t *counts;       /* page-locked: (L, QN_ATTN_N_COUNTS, Hq) */
    qn_lens_figure *figures;
};

static int64_t layer_sums(const qn_lens *lens) { return QN_ATTN_N_SUMS * lens->n_heads; }
static int64_t layer_counts(const qn_lens *lens) { return QN_ATTN_N_COUNTS * lens->n_heads; }

static size_t sum_bytes(const qn_lens *lens) {
    return (size_t)(lens->n_layers * layer_sums(lens)) * sizeof(float);
}
static size_t count_bytes(const qn_lens *lens) {
    return (size_t)(lens->n_layers * layer_counts(lens)) * sizeof(int64_t);
}

/* ---- opening ------------------------------------------------------------------------------- */

static qn_status allocate(qn_lens *lens) {
    qn_backend *backend = qn_model_backend(lens->model);
    const size_t figures = (size_t)(lens->n_layers * lens->n_heads * QN_LENS_METRICS);
    lens->layers = calloc((size_t)lens->n_layers, sizeof *lens->layers);
    lens->figures = calloc(figures, sizeof *lens->figures);
    if (!lens->layers || !lens->figures)
        return qn_error(QN_CODE_MEMORY, "no memory for the lens's %zu figures", figures);
    QN_TRY(lens->ops->host_alloc(backend, sum_bytes(lens), (void **)&lens->sums));
    QN_TRY(lens->ops->host_alloc(backend, sum_bytes(lens), (void **)&lens->cleared));
    return lens->ops->host_alloc(backend, count_bytes(lens), (void **)&lens->counts);
}

static void point_at_layers(qn_lens *lens) {
    float *sums = qn_model_buffer(lens->model, QN_BUF_ATTN_SUMS);
    int64_t *counts = qn_model_buffer(lens->model, QN_BUF_ATTN_COUNTS);
    for (int64_t l = 0; l < lens->n_layers; l++)
        lens->layers[l] = (qn_attn_stats){.sums = sums + l * layer_sums(lens),
                                          .counts = counts + l * layer_counts(lens),
                                          .local_window = QN_LENS_LOCAL_WINDOW};
}

static void clear_sums(qn_lens *lens) {
    for (int64_t l = 0; l < lens->n_layers; l++) {
        float *sums = lens->cleared + l * layer_sums(lens);
        for (int64_t i = 0; i < layer_sums(lens); i++)
            sums[i] = i / lens->n_heads == QN_ATTN_MAX_LOGIT ? -INFINITY : 0;
    }
}

qn_status qn_lens_open(qn_model *model, qn_lens **out) {
    *out = NULL;
    qn_lens *lens = calloc(1, sizeof *lens);
    if (!lens) return qn_error(QN_CODE_MEMORY, "no memory for the lens");
    const qn_config *config = &qn_model_plan(model)->config;
    lens->model = model;
    lens->ops = qn_model_backend(model)->ops;
    lens->n_layers = config->n_layers;
    lens->n_heads = config->n_heads;
    qn_status status = allocate(lens);
    if (status) {
        qn_lens_close(lens);
        return status;
    }
    point_at_layers(lens);
    clear_sums(lens);
    *out = lens;
    return QN_OK;
}

void qn_lens_close(qn_lens *lens) {
    if (!lens) return;
    qn_backend *backend = qn_model_backend(lens->model);
    if (qn_model_stats(lens->model) == lens->layers) qn_model_set_stats(lens->model, NULL);
    if (lens->sums) lens->ops->host_free(backend, lens->sums);
    if (lens->cleared) lens->ops->host_free(backend, lens->cleared);
    if (lens->counts) lens->ops->host_free(backend, lens->counts);
    free(lens->figures);
    free(lens->layers);
    free(lens);
}

/* ---- a sample ---------------------------------------------------------------------------- */

qn_status qn_lens_begin(qn_lens *lens) {
    qn_stream *stream = qn_model_stream(lens->model);
    QN_TRY(lens->ops->copy(stream, lens->layers[0].sums, lens->cleared, sum_bytes(lens),
                           QN_COPY_TO_DEVICE));
    QN_TRY(lens->ops->zero(stream, lens->layers[0].counts, count_bytes(lens)));
    qn_model_set_stats(lens->model, lens->layers);
    return QN_OK;
}

qn_status qn_lens_end(qn_lens *lens) {
    qn_stream *stream = qn_model_stream(lens->model);
    qn_model_set_stats(lens->model, NULL);
    QN_TRY(lens->ops->copy(stream, lens->sums, lens->layers[0].sums, sum_bytes(lens),
                           QN_COPY_TO_HOST));
    return lens->ops->copy(stream, lens->counts, lens->layers[0].counts, count_bytes(lens),
                           QN_COPY_TO_HOST);
}

qn_status qn_lens_read(qn_lens *lens, const qn_lens_figure **figures, int64_t *count) {
    QN_TRY(lens->ops->stream_sync(qn_model_stream(lens->model)));
    *figures = lens->figures;
    *count = 0;
    for (int64_t l = 0; l < lens->n_layers; l++) {
        const qn_attn_stats stats = {.sums = lens->sums + l * layer_sums(lens),
                                     .counts = lens->counts + l * layer_counts(lens)};
        for (int64_t h = 0; h < lens->n_heads; h++, *count += QN_LENS_METRICS)
            qn_lens_metrics(&stats, lens->n_heads, l, h, lens->figures + *count);
    }
    return QN_OK;
}
