#include "cli/attention_check.h"

#include <math.h>
#include <stdlib.h>

#include "quern/bf16.h"

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

/* ---- the two computations -------------------------------------------------------- */

/* Exactly, or with what products read and write rounded to bf16. */
static double rounded(bool plain, double x) { return plain ? qn_round_bf16((float)x) : x; }

static void raise(double *error, double x, double exact) {
    const double e = fabs(x - exact);
    if (!(e <= *error)) *error = e; /* a NaN shows */
}

/* What the rows of a query and of a key are computed in. */
typedef struct scratch {
    double *p;                /* (T): weights of the query */
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
static double attend(const qn_attention_check *c, place at, bool plain, scratch *s) {
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
        for (int64_t d = 0; d < D; d++) s->o[d] += rounded(plain, s->p[j]) * v[d];
    }
    for (int64_t d = 0; d < D; d++) s->o[d] = rounded(plain, s->o[d]);
    return max + log(sum);
}

static void query_gradient(const qn_attention_check *c, place at, bool plain, scratch *s) {
    const int64_t D = c->head_dim, kv_head = at.h / (c->n_heads / c->n_kv_heads);
    const float *dout = row(c, c->dout, c->n_heads, at.b, at.i, at.h);
    double delta = 0;
    int64_t lo, hi;
    attend(c, at, plain, s);
    for (int64_t d = 0; d < D; d++) {
        delta += dout[d] * s->o[d];
        s->dq[d] = 0;
    }
    visible_keys(c, at.i, &lo, &hi);
    for (int64_t j = lo; j < hi; j++) {
        const float *k = row(c, c->k, c->n_kv_heads, at.b, j, kv_head);
        const float *v = row(c, c->v, c->n_kv_heads, at.b, j, kv_head);
        const double ds = rounded(plain, s->p[j] * (dot(dout, v, D) - delta));
        for (int64_t d = 0; d < D; d++) s->dq[d] += c->scale * ds * k[d];
    }
    for (int64_t d = 0; d < D; d++) s->dq[d] = rounded(plain, s->dq[d]);
}

/* at.i is the key. */
static void key_gradients(const qn_attention_check *c, place at, bool plain, scratch *s) {
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
            const double ds = rounded(plain, p * (dot(dout, v, D) - delta));
            for (int64_t d = 0; d < D; d++) {
                s->dk[d] += c->scale * ds * q[d];
                s->dv[d] += rounded(plain, p) * dout[d];
            }
        }
    }
    for (int64_t d = 0; d < D; d++) {
        s->dk[d] = rounded(plain, s->dk[d]);
        s->dv[d] = rounded(plain, s->dv[d]);
    }
}

/* ---- comparing ----------------------------------------------------------------------- */

/* Both computations of some rows, the exact one and the plain one. */
typedef struct both {
    scratch exact, plain;
} both;

static qn_status make_both(const qn_attention_check *c, both *rows) {
    QN_TRY(make_scratch(c, &rows->exact));
    qn_status status = make_scratch(c, &rows->plain);
    if (status) free(rows->exact.p);
    return status;
}

static void free_both(both *rows) {
    free(rows->exact.p);
    free(rows->plain.p);
}

static void compare(const qn_attention_check *c, const float *x, const double *exact,
                    const double *plain, qn_attention_error *error) {
    for (int64_t d = 0; d < c->head_dim; d++) {
        raise(&error->largest, x[d], exact[d]);
        if (c->bf16) raise(&error->plain, plain[d], exact[d]);
    }
}

qn_status qn_attention_check_forward(const qn_attention_check *c, qn_attention_error *error) {
    both rows;
    *error = (qn_attention_error){0};
    QN_TRY(make_both(c, &rows));
    for (int64_t n = 0; n < QN_ATTENTION_CHECK_ROWS; n++) {
        const place at = sample(c, n);
        const double lse = attend(c, at, false, &rows.exact);
        if (c->bf16) attend(c, at, true, &rows.plain);
        raise(&error->largest, c->lse[(at.b * c->n_heads + at.h) * c->seq_len + at.i], lse);
        compare(c, row(c, c->o, c->n_heads, at.b, at.i, at.h), rows.exact.o, rows.plain.o, error);
    }
    free_both(&rows);
    return QN_OK;
}

static void compare_gradients(const qn_attention_check *c, place at, both *rows,
                              qn_attention_error *error) {
    const int64_t kv_head = at.h / (c->n_heads / c->n_kv_heads);
    query_gradient(c, at, false, &rows->exact);
    key_gradients(c, at, false, &rows->exact);
    if (c->bf16) {
        query_gradient(c, at, true, &rows->plain);
        key_gradients(c, at, true, &rows->plain);
    }
    compare(c, row(c, c->dq, c->n_heads, at.b, at.i, at.h), rows->exact.dq, rows->plain.dq, error);
    compare(c, row(c, c->dk, c->n_kv_heads, at.b, at.i, kv_head), rows->exact.dk, rows->plain.dk,
            error);
    compare(c, row(c, c->dv, c->n_kv_heads, at.b, at.i, kv_head), rows->exact.dv, rows->plain.dv,
            error);
}

qn_status qn_attention_check_backward(const qn_attention_check *c, qn_attention_error *error) {
    both rows;
    *error = (qn_attention_error){0};
    QN_TRY(make_both(c, &rows));
    for (int64_t n = 0; n < QN_ATTENTION_CHECK_ROWS; n++)
        compare_gradients(c, sample(c, n), &rows, error);
    free_both(&rows);
    return QN_OK;
}
