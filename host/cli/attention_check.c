#include "cli/attention_check.h"

#include <math.h>
#include <stdlib.h>

/* One row of one head. */
typedef struct place {
    int64_t b, h, i;
} place;

static place sample(const qn_attention_check *c, int64_t n) {
    return (place){n % c->batch, n * 5 % c->n_heads,
                   (c->seq_len - 1) * n / (QN_ATTENTION_CHECK_ROWS - 1)};
}

/* Keys [lo, hi) that query i sees; by symmetry of the window also, with its ends turned, the
 * queries that see a key. */
static void visible_keys(const qn_attention_check *c, int64_t i, int64_t *lo, int64_t *hi) {
    const bool windowed = c->window > 0 && c->window < c->seq_len;
    *lo = windowed && i >= c->window ? i - c->window + 1 : 0;
    *hi = c->causal ? i + 1 : c->seq_len;
    if (windowed && i + c->window < *hi) *hi = i + c->window;
}

static void visible_queries(const qn_attention_check *c, int64_t j, int64_t *lo, int64_t *hi) {
    const bool windowed = c->window > 0 && c->window < c->seq_len;
    *lo = c->causal ? j : windowed && j >= c->window ? j - c->window + 1 : 0;
    *hi = windowed && j + c->window < c->seq_len ? j + c->window : c->seq_len;
}

double qn_attention_pairs(const qn_attention_check *c) {
    double pairs = 0;
    for (int64_t i = 0; i < c->seq_len; i++) {
        int64_t lo, hi;
        visible_keys(c, i, &lo, &hi);
        pairs += (double)(hi - lo);
    }
    return pairs;
}

/* The row of x (B,T,n_heads,D) at a place. */
static const float *row(const qn_attention_check *c, const float *x, int64_t n_heads, int64_t b,
                        int64_t t, int64_t h) {
    return x + ((b * c->seq_len + t) * n_heads + h) * c->head_dim;
}

static double dot(const float *x, const float *y, int64_t n) {
    double sum = 0;
    for (int64_t d = 0; d < n; d++) sum += (double)x[d] * y[d];
    return sum;
}

static void raise(double *error, double x, double exact) {
    const double e = fabs(x - exact);
    if (!(e <= *error)) *error = e; /* a NaN shows */
}

static void raise_row(double *error, const float *x, const double *exact, int64_t n) {
    for (int64_t d = 0; d < n; d++) raise(error, x[d], exact[d]);
}

/* What the rows of one query are computed in. */
typedef struct scratch {
    double *p;                /* (T): its weights */
    double *o, *dq, *dk, *dv; /* (D) */
} scratch;

static qn_status make_scratch(const qn_attention_check *c, scratch *s) {
    s->p = calloc((size_t)(c->seq_len + 4 * c->head_dim), sizeof *s->p);
    if (!s->p)
        return qn_error(QN_CODE_MEMORY, "no memory for a row of %lld float64 weights",
                        (long long)c->seq_len);
    s->o = s->p + c->seq_len;
    s->dq = s->o + c->head_dim;
    s->dk = s->dq + c->head_dim;
    s->dv = s->dk + c->head_dim;
    return QN_OK;
}

/* Weights and output of a query; returns its lse. */
static double attend(const qn_attention_check *c, place at, scratch *s) {
    const int64_t D = c->head_dim, kv_head = at.h / (c->n_heads / c->n_kv_heads);
    const float *q = row(c, c->q, c->n_heads, at.b, at.i, at.h);
    double max = -INFINITY, sum = 0;
    int64_t lo, hi;
    visible_keys(c, at.i, &lo, &hi);
    for (int64_t j = lo; j < hi; j++) {
        s->p[j] = c->scale * dot(q, row(c, c->k, c->n_kv_heads, at.b, j, kv_head), D);
        max = fmax(max, s->p[j]);
    }
    for (int64_t j = lo; j < hi; j++) sum += s->p[j] = exp(s->p[j] - max);
    for (int64_t d = 0; d < D; d++) s->o[d] = 0;
    for (int64_t j = lo; j < hi; j++) {
        const float *v = row(c, c->v, c->n_kv_heads, at.b, j, kv_head);
        s->p[j] /= sum;
        for (int64_t d = 0; d < D; d++) s->o[d] += s->p[j] * v[d];
    }
    return max + log(sum);
}

qn_status qn_attention_check_forward(const qn_attention_check *c, double *error) {
    scratch s;
    *error = 0;
    QN_TRY(make_scratch(c, &s));
    for (int64_t n = 0; n < QN_ATTENTION_CHECK_ROWS; n++) {
        const place at = sample(c, n);
        const double lse = attend(c, at, &s);
        raise(error, c->lse[(at.b * c->n_heads + at.h) * c->seq_len + at.i], lse);
        raise_row(error, row(c, c->o, c->n_heads, at.b, at.i, at.h), s.o, c->head_dim);
    }
    free(s.p);
    return QN_OK;
}

static void check_dq(const qn_attention_check *c, place at, scratch *s, double *error) {
    const int64_t D = c->head_dim, kv_head = at.h / (c->n_heads / c->n_kv_heads);
    const float *dout = row(c, c->dout, c->n_heads, at.b, at.i, at.h);
    double delta = 0;
    int64_t lo, hi;
    attend(c, at, s);
    for (int64_t d = 0; d < D; d++) {
        delta += dout[d] * s->o[d];
        s->dq[d] = 0;
    }
    visible_keys(c, at.i, &lo, &hi);
    for (int64_t j = lo; j < hi; j++) {
        const float *k = row(c, c->k, c->n_kv_heads, at.b, j, kv_head);
        const float *v = row(c, c->v, c->n_kv_heads, at.b, j, kv_head);
        const double ds = s->p[j] * (dot(dout, v, D) - delta);
        for (int64_t d = 0; d < D; d++) s->dq[d] += c->scale * ds * k[d];
    }
    raise_row(error, row(c, c->dq, c->n_heads, at.b, at.i, at.h), s->dq, D);
}

/* at.i is the key. */
static void check_dkv(const qn_attention_check *c, place at, scratch *s, double *error) {
    const int64_t D = c->head_dim, group = c->n_heads / c->n_kv_heads, kv_head = at.h / group;
    const float *k = row(c, c->k, c->n_kv_heads, at.b, at.i, kv_head);
    const float *v = row(c, c->v, c->n_kv_heads, at.b, at.i, kv_head);
    int64_t lo, hi;
    for (int64_t d = 0; d < D; d++) s->dk[d] = s->dv[d] = 0;
    visible_queries(c, at.i, &lo, &hi);
    for (int64_t h = kv_head * group; h < (kv_head + 1) * group; h++) {
        for (int64_t i = lo; i < hi; i++) {
            const float *q = row(c, c->q, c->n_heads, at.b, i, h);
            const float *dout = row(c, c->dout, c->n_heads, at.b, i, h);
            const double delta = dot(dout, row(c, c->o, c->n_heads, at.b, i, h), D);
            const double lse = c->lse[(at.b * c->n_heads + h) * c->seq_len + i];
            const double p = exp(c->scale * dot(q, k, D) - lse);
            const double ds = p * (dot(dout, v, D) - delta);
            for (int64_t d = 0; d < D; d++) {
                s->dk[d] += c->scale * ds * q[d];
                s->dv[d] += p * dout[d];
            }
        }
    }
    raise_row(error, row(c, c->dk, c->n_kv_heads, at.b, at.i, kv_head), s->dk, D);
    raise_row(error, row(c, c->dv, c->n_kv_heads, at.b, at.i, kv_head), s->dv, D);
}

qn_status qn_attention_check_backward(const qn_attention_check *c, double *error) {
    scratch s;
    *error = 0;
    QN_TRY(make_scratch(c, &s));
    for (int64_t n = 0; n < QN_ATTENTION_CHECK_ROWS; n++) {
        check_dq(c, sample(c, n), &s, error);
        check_dkv(c, sample(c, n), &s, error);
    }
    free(s.p);
    return QN_OK;
}
