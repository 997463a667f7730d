/* distance.c: how much of a score is where the key stands, and how much what it is. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lens/heads.h"
#include "quern/probe.h"

enum {
    DENSE_DISTANCES = 32, /* of a profile; behind them eight to an octave */
    GROUPS = 16           /* of sequences, for standard errors */
};

/* Scores of some sequences, by distance. */
typedef struct scores {
    double *sum;    /* (T) */
    int64_t *pairs; /* (T) */
    double square;  /* of all of them */
} scores;

/* Scores as attention makes them, and those of the same q and k before rotation. */
enum { TURNED, UNTURNED, N_KINDS };

/* Of one head: the sum of its q and k before rotation, and its scores by groups of sequences. */
typedef struct sums {
    double *q, *k; /* (D) */
    scores group[N_KINDS][GROUPS];
    double row_variance; /* summed over rows that see two keys and more */
    int64_t tokens, rows;
} sums;

typedef struct probe {
    qn_heads heads;
    int64_t n_layers, sequence; /* sequence: how many went before */
    sums *of_head;              /* (L,Hq) */
    double *row;                /* (T) scores */
} probe;

/* ---- memory ---------------------------------------------------------------------------------- */

static qn_status open_sums(sums *s, int64_t D, int64_t T) {
    s->q = calloc((size_t)(2 * D + N_KINDS * GROUPS * T), sizeof *s->q);
    int64_t *pairs = s->group[0][0].pairs = calloc((size_t)(N_KINDS * GROUPS * T), sizeof *pairs);
    if (!s->q || !pairs) return qn_error(QN_CODE_MEMORY, "no host memory for scores by distance");
    s->k = s->q + D;
    for (int i = 0; i < N_KINDS * GROUPS; i++)
        s->group[i / GROUPS][i % GROUPS] =
            (scores){.sum = s->k + D + i * T, .pairs = pairs + i * T};
    return QN_OK;
}

static void close_probe(probe *p) {
    for (int64_t i = 0; p->of_head && i < p->n_layers * p->heads.n_heads; i++) {
        free(p->of_head[i].q);
        free(p->of_head[i].group[0][0].pairs);
    }
    free(p->of_head);
    free(p->row);
    qn_heads_close(&p->heads);
}

static qn_status open_probe(qn_model *model, probe *p) {
    *p = (probe){.n_layers = qn_model_plan(model)->config.n_layers};
    QN_TRY(qn_heads_open(model, &p->heads));
    const int64_t count = p->n_layers * p->heads.n_heads, D = p->heads.head_dim, T = p->heads.T;
    p->of_head = calloc((size_t)count, sizeof *p->of_head);
    p->row = malloc((size_t)T * sizeof *p->row);
    qn_status status = p->of_head && p->row
                           ? QN_OK
                           : qn_error(QN_CODE_MEMORY, "no host memory for scores by distance");
    for (int64_t i = 0; i < count && !status; i++) status = open_sums(&p->of_head[i], D, T);
    if (status) close_probe(p);
    return status;
}

/* ---- sums ------------------------------------------------------------------------------------ */

static void add_vectors(probe *p, sums *to, int64_t head, int64_t b, int64_t i) {
    const qn_heads *s = &p->heads;
    const int64_t n = b * s->T + i;
    qn_rotation_add_undone(&s->rotation, i, qn_heads_q(s, n, head), to->q);
    qn_rotation_add_undone(&s->rotation, i, qn_heads_k(s, n, head), to->k);
    to->tokens++;
}

static void add_scores(probe *p, sums *to, int kind, int64_t head, int64_t b, int64_t i,
                       const int32_t *doc_start) {
    const int64_t first = qn_heads_first_key(&p->heads, doc_start, i), n = i + 1 - first;
    scores *group = &to->group[kind][(p->sequence + b) % GROUPS];
    double sum = 0, square = 0;
    qn_heads_scores(&p->heads, head, b, i, first, p->row);
    for (int64_t j = first; j <= i; j++) {
        const double score = p->row[j - first];
        group->sum[i - j] += score;
        group->pairs[i - j]++;
        sum += score;
        square += score * score;
    }
    group->square += square;
    if (kind != TURNED || n < 2) return;
    to->row_variance += (square - sum * sum / (double)n) / (double)n;
    to->rows++;
}

/* Rows whose target counts, of all heads of a layer. */
static void add_layer(probe *p, sums *of_layer, int kind, const qn_batch *batch) {
    const int64_t T = p->heads.T, n_heads = p->heads.n_heads;
    const bool documents = qn_model_plan(p->heads.model)->options.documents;
    for (int64_t n = 0; n < p->heads.B * T; n++) {
        const int64_t b = n / T, i = n % T;
        const int32_t *doc_start = documents ? batch->doc_start + b * T : NULL;
        for (int64_t h = 0; h < n_heads && batch->targets[n] >= 0; h++) {
            if (kind == TURNED) add_vectors(p, &of_layer[h], h, b, i);
            add_scores(p, &of_layer[h], kind, h, b, i, doc_start);
        }
    }
}

static qn_status add_batch(probe *p, const qn_batch *batch) {
    double loss;
    QN_TRY(qn_model_evaluate(p->heads.model, batch, &loss));
    for (int64_t l = 0; l < p->n_layers; l++) {
        sums *of_layer = &p->of_head[l * p->heads.n_heads];
        QN_TRY(qn_heads_read(&p->heads, l));
        add_layer(p, of_layer, TURNED, batch);
        if (!p->heads.rotation.turns) continue;
        qn_heads_turn_back(&p->heads);
        add_layer(p, of_layer, UNTURNED, batch);
    }
    p->sequence += p->heads.B;
    return QN_OK;
}

/* ---- figures --------------------------------------------------------------------------------- */

/* Re Σ q̄·conj(k̄)·e^{iθΔ}/√D with (first half) + i·(second half) as the complex numbers: the score
 * of two vectors at distance Δ, as the query's angle is Δθ ahead of the key's. */
static double profile_at(const qn_heads *s, const sums *of, int64_t distance) {
    const int64_t half = s->head_dim / 2;
    const double *angle = s->rotation.turns + distance * s->head_dim, n = (double)of->tokens;
    double sum = 0;
    for (int64_t c = 0; c < half; c++) {
        const double qr = of->q[c], qi = of->q[half + c], kr = of->k[c], ki = of->k[half + c];
        sum += (qr * kr + qi * ki) * angle[c] - (qi * kr - qr * ki) * angle[half + c];
    }
    return s->scale * sum / (n * n);
}

/* The distance after `d` in a profile. */
static int64_t next_distance(int64_t d) {
    if (d < DENSE_DISTANCES) return d + 1;
    const int64_t step = (int64_t)((double)d * (exp2(0.125) - 1));
    return d + (step > 1 ? step : 1);
}

static qn_status add_profile(const qn_heads *s, const sums *of, qn_lens_figure f,
                             qn_lens_figures *out) {
    f.metric = "profile";
    f.baseline = (double)NAN;
    f.n = of->tokens;
    for (int64_t d = 0; d < s->T; d = next_distance(d)) {
        f.at = d;
        f.value = of->tokens ? profile_at(s, of, d) : (double)NAN;
        QN_TRY(qn_lens_add(out, f));
    }
    return QN_OK;
}

/* Var(E[s|Δ]) / Var(s) without one group of sequences (-1: of all); NaN where all scores are one.
 * *pairs: how many. */
static double share_without(const scores *group, int64_t T, int left_out, int64_t *pairs) {
    double score = 0, square = 0, between = 0, n = 0;
    for (int g = 0; g < GROUPS; g++) square += g == left_out ? 0 : group[g].square;
    for (int64_t d = 0; d < T; d++) {
        double sum = 0, count = 0;
        for (int g = 0; g < GROUPS; g++) {
            if (g == left_out) continue;
            sum += group[g].sum[d];
            count += (double)group[g].pairs[d];
        }
        if (count == 0) continue;
        score += sum;
        between += sum * sum / count;
        n += count;
    }
    *pairs = (int64_t)n;
    const double centre = n > 0 ? score * score / n : 0, all = square - centre;
    return all > 0 ? (between - centre) / all : (double)NAN;
}

static bool is_empty(const scores *group, int64_t T) {
    for (int64_t d = 0; d < T; d++)
        if (group->pairs[d]) return false;
    return true;
}

/* The jackknife that leaves out one group of sequences at a time; NaN where there is one alone. */
static double error_of_share(const scores *group, int64_t T) {
    double sum = 0, square = 0, n = 0;
    for (int g = 0; g < GROUPS; g++) {
        if (is_empty(&group[g], T)) continue;
        int64_t pairs;
        const double value = share_without(group, T, g, &pairs);
        sum += value;
        square += value * value;
        n++;
    }
    const double spread = square - sum * sum / n;
    return n > 1 ? sqrt((spread < 0 ? 0 : spread) * (n - 1) / n) : (double)NAN;
}

static qn_status add_share(const qn_heads *s, const sums *of, qn_lens_figure f,
                           qn_lens_figures *out) {
    int64_t same_pairs;
    f.metric = "position_share";
    f.at = -1;
    f.value = share_without(of->group[TURNED], s->T, -1, &f.n);
    f.error = error_of_share(of->group[TURNED], s->T);
    f.baseline =
        s->rotation.turns ? share_without(of->group[UNTURNED], s->T, -1, &same_pairs) : (double)NAN;
    return qn_lens_add(out, f);
}

static qn_status add_deviation(const sums *of, qn_lens_figure f, qn_lens_figures *out) {
    f.metric = "score_deviation";
    f.at = -1;
    f.n = of->rows;
    const double variance = of->row_variance / (double)of->rows;
    f.value = of->rows ? sqrt(variance < 0 ? 0 : variance) : (double)NAN;
    f.baseline = (double)NAN;
    return qn_lens_add(out, f);
}

static qn_status add_figures(const probe *p, qn_lens_figures *out) {
    const int64_t n_heads = p->heads.n_heads;
    for (int64_t i = 0; i < p->n_layers * n_heads; i++) {
        const qn_lens_figure f = {.layer = i / n_heads, .head = i % n_heads, .error = (double)NAN};
        QN_TRY(add_share(&p->heads, &p->of_head[i], f, out));
        QN_TRY(add_deviation(&p->of_head[i], f, out));
        if (p->heads.rotation.turns) QN_TRY(add_profile(&p->heads, &p->of_head[i], f, out));
    }
    return QN_OK;
}

qn_status qn_probe_distance(qn_model *model, const qn_probe_text *text, qn_lens_figures *out) {
    probe p;
    QN_TRY(open_probe(model, &p));
    qn_status status = QN_OK;
    for (int64_t i = 0; i < text->n_batches && !status; i++)
        status = add_batch(&p, &text->batches[i]);
    if (!status) status = add_figures(&p, out);
    close_probe(&p);
    return status;
}
