/* heads.h: q, k and the scores of one layer of a pass, in double precision. */
#ifndef QUERN_LENS_HEADS_H
#define QUERN_LENS_HEADS_H

#include "lens/rotation.h"
#include "quern/activations.h"

/* Of a QN_PLAN_INSPECT model, N = B·T tokens. */
typedef struct qn_heads {
    qn_model *model;
    int64_t B, T, n_heads, n_kv_heads, head_dim;
    int64_t window; /* 0: none */
    double scale;   /* of scores */
    qn_rotation rotation;
    float *q, *k; /* (N,Hq,D), (N,Hkv,D) as attention read them */
} qn_heads;

qn_status qn_heads_open(qn_model *model, qn_heads *out);
void qn_heads_close(qn_heads *heads);

/* Fills q and k from a layer of the last pass. */
qn_status qn_heads_read(qn_heads *heads, int64_t layer);

/* q and k become what they were before rotary positions. */
void qn_heads_turn_back(qn_heads *heads);

/* q of a head, and the k that this head reads, of token n. */
static inline const float *qn_heads_q(const qn_heads *s, int64_t n, int64_t head) {
    return s->q + (n * s->n_heads + head) * s->head_dim;
}
static inline const float *qn_heads_k(const qn_heads *s, int64_t n, int64_t head) {
    const int64_t group = s->n_heads / s->n_kv_heads;
    return s->k + (n * s->n_kv_heads + head / group) * s->head_dim;
}

/* The first key that row i of a sequence sees; doc_start (T) of that sequence, NULL: one document.
 * It sees all from there to i. */
int64_t qn_heads_first_key(const qn_heads *heads, const int32_t *doc_start, int64_t i);

/* Scaled scores of row i of sequence b over keys first … i: out[j − first]. */
void qn_heads_scores(const qn_heads *heads, int64_t head, int64_t b, int64_t i, int64_t first,
                     double *out);

/* Scores of `count` keys become their softmax. */
void qn_softmax(double *scores, int64_t count);

#endif
