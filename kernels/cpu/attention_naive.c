/* attention_naive.c: attention with S and P in memory, its products by the library: the
 * baseline that the fused kernel is measured against.
 *
 * A head's rows are gathered into dense matrices, which are rounded to bf16 where bf16
 * products are asked (the accumulation is fp32 either way). Threads share out the heads,
 * or where there are fewer heads than threads, the work inside each. */
#include <cblas.h>
#include <math.h>
#include <omp.h>

#include "attention_problem.h"
#include "attention_stats.h"
#include "mathf.h"
#include "quern/bf16.h"

/* ---- the workspace ------------------------------------------------------------- */

static int64_t naive_threads(const qn_attn_problem *p, int64_t units) {
    return units >= p->n_threads ? p->n_threads : 1;
}

/* Floats of one (Tq,Tk) matrix for every head, with `copies` of them. */
static size_t score_floats(const qn_attn_problem *p, size_t copies) {
    size_t head = qn_size_mul((size_t)p->mask.n_queries, (size_t)p->mask.n_keys);
    return qn_size_mul(qn_size_mul(head, (size_t)(p->batch * p->n_heads)), copies);
}

/* Floats of a thread's gathered rows: n_query of (Tq,D), n_key of (Tk,D). */
static size_t row_floats(const qn_attn_problem *p, int64_t n_query, int64_t n_key) {
    return (size_t)((n_query * p->mask.n_queries + n_key * p->mask.n_keys) * p->head_dim);
}

static size_t parts_bytes(const qn_attn_problem *p) {
    if (!p->args->stats) return 0;
    return qn_size_mul((size_t)(p->batch * p->n_heads), sizeof(qn_attn_part));
}

size_t qn_attn_naive_forward_workspace(const qn_attn_problem *p) {
    size_t threads = (size_t)naive_threads(p, p->batch * p->n_heads);
    size_t rows = qn_size_mul(row_floats(p, 2, 2), threads);
    size_t floats = qn_size_add(score_floats(p, 1), rows);
    return qn_size_add(qn_size_mul(floats, sizeof(float)), parts_bytes(p));
}

size_t qn_attn_naive_backward_workspace(const qn_attn_problem *p) {
    size_t threads = (size_t)naive_threads(p, p->batch * p->n_kv_heads);
    size_t rows = qn_size_mul(row_floats(p, 3, 4), threads);
    return qn_size_mul(qn_size_add(score_floats(p, 2), rows), sizeof(float));
}

/* ---- rows in and out -------------------------------------------------------------- */

static void round_matrix(const qn_attn_problem *p, float *x, int64_t n) {
    if (p->args->compute != QN_BF16) return;
    for (int64_t i = 0; i < n; i++) x[i] = qn_round_bf16(x[i]);
}

/* dense (T,D) = head h of sequence b. */
static void gather(const qn_attn_problem *p, const qn_tensor *x, int64_t b, int64_t h,
                   float *dense) {
    for (int64_t t = 0; t < x->shape[1]; t++)
        memcpy(dense + t * p->head_dim, qn_attn_row(x, b, t, h),
               (size_t)p->head_dim * sizeof(float));
    round_matrix(p, dense, x->shape[1] * p->head_dim);
}

static void scatter(const qn_attn_problem *p, const float *dense, const qn_tensor *x, int64_t b,
                    int64_t h) {
    for (int64_t t = 0; t < x->shape[1]; t++)
        memcpy(qn_attn_row(x, b, t, h), dense + t * p->head_dim,
               (size_t)p->head_dim * sizeof(float));
}

/* C (m,n) = alpha·op(A)·op(B) + beta·C, all dense. */
static void product(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int64_t m, int64_t n, int64_t k,
                    float alpha, const float *a, const float *b, float beta, float *c) {
    cblas_sgemm(CblasRowMajor, ta, tb, (int)m, (int)n, (int)k, alpha, a,
                (int)(ta == CblasTrans ? m : k), b, (int)(tb == CblasTrans ? k : n), beta, c,
                (int)n);
}

/* ---- forward ------------------------------------------------------------------------ */

static float row_max(const float *s, qn_attn_span span) {
    float max = -1e30f;
#pragma omp simd reduction(max : max)
    for (int64_t j = span.lo; j < span.hi; j++) max = s[j] > max ? s[j] : max;
    return max;
}

/* s[span] = e^(s − shift), zeros outside; returns the sum. */
static float exponentiate(float *s, qn_attn_span span, int64_t n_keys, float shift) {
    float sum = 0;
    memset(s, 0, (size_t)span.lo * sizeof *s);
#pragma omp simd reduction(+ : sum)
    for (int64_t j = span.lo; j < span.hi; j++) {
        s[j] = qn_expf(s[j] - shift);
        sum += s[j];
    }
    memset(s + span.hi, 0, (size_t)(n_keys - span.hi) * sizeof *s);
    return sum;
}

/* From the scores of a row, before they become weights. */
static void row_stats(const qn_attn_problem *p, const float *s, int64_t b, int64_t row,
                      qn_attn_part *part) {
    qn_attn_span span = qn_attn_visible(&p->mask, b, row);
    int64_t i = qn_attn_position(&p->mask, row), window = p->args->stats->local_window;
    int64_t first = qn_attn_doc_first(&p->mask, b, i);
    double max = row_max(s, span), l = 0, weighted = 0, distance = 0, local = 0;
    for (int64_t j = span.lo; j < span.hi; j++) {
        double w = exp(s[j] - max);
        l += w;
        weighted += w * (s[j] - max);
        distance += w * (double)(i - j);
        local += i - j < window ? w : 0;
    }
    double sink = span.lo <= first && first < span.hi ? exp(s[first] - max) : 0;
    qn_attn_row_stats values = {log(l) - weighted / l, max,      1 / l,
                                distance / l,          sink / l, local / l};
    qn_attn_part_add(part, &values, span.hi - span.lo);
    qn_attn_part_add_base(part, &p->mask, b, row, window);
}

/* P in place of S, lse, and a divisor a row: P stays unnormalised up to here. */
static void softmax_row(const qn_attn_problem *p, float *s, int64_t b, int64_t h, int64_t row) {
    qn_attn_span span = qn_attn_visible(&p->mask, b, row);
    float max = row_max(s, span);
    float sum = exponentiate(s, span, p->mask.n_keys, max);
    float inverse = sum == 0 ? 0 : 1 / sum;
    for (int64_t j = span.lo; j < span.hi; j++) s[j] *= inverse;
    *qn_attn_lse(&p->args->lse, b, h, row) = max + logf(sum);
    round_matrix(p, s + span.lo, span.hi - span.lo);
}

static void forward_head(const qn_attn_problem *p, int64_t b, int64_t h, float *s, float *rows,
                         int threads, qn_attn_part *part) {
    int64_t n_queries = p->mask.n_queries, n_keys = p->mask.n_keys, dim = p->head_dim;
    float *q = rows, *o = q + n_queries * dim, *k = o + n_queries * dim, *v = k + n_keys * dim;
    gather(p, &p->args->q, b, h, q);
    gather(p, &p->args->k, b, h / p->group, k);
    gather(p, &p->args->v, b, h / p->group, v);
    product(CblasNoTrans, CblasTrans, n_queries, n_keys, dim, p->args->scale, q, k, 0, s);
    for (int64_t i = 0; part && i < n_queries; i++) row_stats(p, s + i * n_keys, b, i, part);
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < n_queries; i++) softmax_row(p, s + i * n_keys, b, h, i);
    product(CblasNoTrans, CblasNoTrans, n_queries, dim, n_keys, 1, s, v, 0, o);
    scatter(p, o, &p->args->o, b, h);
}

static void deliver_stats(const qn_attn_problem *p, const qn_attn_part *parts) {
    for (int64_t h = 0; h < p->n_heads; h++) {
        qn_attn_part total;
        qn_attn_part_clear(&total);
        for (int64_t b = 0; b < p->batch; b++)
            qn_attn_part_merge(&total, &parts[b * p->n_heads + h]);
        qn_attn_part_deliver(&total, p->args->stats, h, p->n_heads);
    }
}

/* Gives the library's products this many threads; returns how many it had. */
static int set_library_threads(int threads) {
    int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
}

/* In the workspace: parts, then scores, then rows. */
void qn_attn_naive_forward(const qn_attn_problem *p) {
    int64_t heads = p->batch * p->n_heads;
    int outer = (int)naive_threads(p, heads), inner = p->n_threads / outer;
    qn_attn_part *parts = p->args->stats ? p->args->workspace : NULL;
    float *scores = (float *)((char *)p->args->workspace + parts_bytes(p));
    float *rows = scores + score_floats(p, 1);
    size_t head_floats = (size_t)(p->mask.n_queries * p->mask.n_keys);
    int before = set_library_threads(inner);
#pragma omp parallel for num_threads(outer) schedule(static) if (outer > 1)
    for (int64_t head = 0; head < heads; head++) {
        qn_attn_part *part = parts ? &parts[head] : NULL;
        if (part) qn_attn_part_clear(part);
        forward_head(p, head / p->n_heads, head % p->n_heads, scores + (size_t)head * head_floats,
                     rows + (size_t)(outer > 1 ? omp_get_thread_num() : 0) * row_floats(p, 2, 2),
                     inner, part);
    }
    set_library_threads(before);
    if (parts) deliver_stats(p, parts);
}

/* ---- backward --------------------------------------------------------------------------- */

/* P = exp(S − lse) and dS = P∘(dP − delta), in place. */
static void differentiate_row(const qn_attn_problem *p, float *s, float *ds, int64_t b, int64_t h,
                              int64_t row) {
    qn_attn_span span = qn_attn_visible(&p->mask, b, row);
    float lse = *qn_attn_lse(&p->args->lse, b, h, row);
    const float *o = qn_attn_row(&p->args->o, b, row, h);
    const float *dout = qn_attn_row(&p->args->dout, b, row, h);
    float delta = 0;
    for (int64_t d = 0; d < p->head_dim; d++) delta += o[d] * dout[d];
    exponentiate(s, span, p->mask.n_keys, lse == -INFINITY ? INFINITY : lse);
    for (int64_t j = 0; j < p->mask.n_keys; j++) ds[j] = s[j] * (ds[j] - delta);
    round_matrix(p, s, p->mask.n_keys);
    round_matrix(p, ds, p->mask.n_keys);
}

typedef struct naive_rows {
    float *q, *dout, *dq, *k, *v, *dk, *dv;
} naive_rows;

/* Adds to dk and dv unless `first`. */
static void backward_head(const qn_attn_problem *p, int64_t b, int64_t h, float *s, float *ds,
                          naive_rows r, int threads, bool first) {
    int64_t n_queries = p->mask.n_queries, n_keys = p->mask.n_keys, dim = p->head_dim;
    float scale = p->args->scale, beta = first ? 0 : 1;
    gather(p, &p->args->q, b, h, r.q);
    gather(p, &p->args->dout, b, h, r.dout);
    product(CblasNoTrans, CblasTrans, n_queries, n_keys, dim, scale, r.q, r.k, 0, s);
    product(CblasNoTrans, CblasTrans, n_queries, n_keys, dim, 1, r.dout, r.v, 0, ds);
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < n_queries; i++)
        differentiate_row(p, s + i * n_keys, ds + i * n_keys, b, h, i);
    product(CblasTrans, CblasNoTrans, n_keys, dim, n_queries, 1, s, r.dout, beta, r.dv);
    product(CblasTrans, CblasNoTrans, n_keys, dim, n_queries, scale, ds, r.q, beta, r.dk);
    product(CblasNoTrans, CblasNoTrans, n_queries, dim, n_keys, scale, ds, r.k, 0, r.dq);
    scatter(p, r.dq, &p->args->dq, b, h);
}

static void backward_key_head(const qn_attn_problem *p, int64_t b, int64_t kv_head, float *scores,
                              float *rows, int threads) {
    int64_t n_queries = p->mask.n_queries, n_keys = p->mask.n_keys, dim = p->head_dim;
    size_t head_floats = (size_t)(n_queries * n_keys);
    naive_rows r = {.q = rows, .dout = rows + n_queries * dim, .dq = rows + 2 * n_queries * dim};
    r.k = rows + 3 * n_queries * dim;
    r.v = r.k + n_keys * dim;
    r.dk = r.v + n_keys * dim;
    r.dv = r.dk + n_keys * dim;
    gather(p, &p->args->k, b, kv_head, r.k);
    gather(p, &p->args->v, b, kv_head, r.v);
    for (int64_t h = kv_head * p->group; h < (kv_head + 1) * p->group; h++) {
        float *s = scores + (size_t)(b * p->n_heads + h) * 2 * head_floats;
        backward_head(p, b, h, s, s + head_floats, r, threads, h == kv_head * p->group);
    }
    scatter(p, r.dk, &p->args->dk, b, kv_head);
    scatter(p, r.dv, &p->args->dv, b, kv_head);
}

/* In the workspace: scores, then rows. */
void qn_attn_naive_backward(const qn_attn_problem *p) {
    int64_t units = p->batch * p->n_kv_heads;
    int outer = (int)naive_threads(p, units), inner = p->n_threads / outer;
    float *scores = p->args->workspace;
    float *rows = scores + score_floats(p, 2);
    int before = set_library_threads(inner);
#pragma omp parallel for num_threads(outer) schedule(static) if (outer > 1)
    for (int64_t unit = 0; unit < units; unit++)
        backward_key_head(
            p, unit / p->n_kv_heads, unit % p->n_kv_heads, scores,
            rows + (size_t)(outer > 1 ? omp_get_thread_num() : 0) * row_floats(p, 3, 4), inner);
    set_library_threads(before);
}
