/* patterns.c: what heads attend to on random tokens, where only position and repetition can tell
 * keys apart. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lens/heads.h"
#include "quern/philox.h"
#include "quern/probe.h"

enum {
    SEQUENCES = 32,      /* of each kind, at least */
    SHORTEST_PERIOD = 8, /* of repetitions; the longest is as in Olsson et al.'s range */
    LONGEST_PERIOD = 30,
    FEWEST_ROWS = 8, /* of a sequence, that a distance is judged by */
};

/* ---- random sequences ------------------------------------------------------------------------ */

typedef struct sequences {
    const qn_probe_tokens *tokens;
    int64_t B, T, drawn; /* drawn: sequences so far, which numbers the next */
    int32_t *ids;        /* 3·(B,T): tokens, targets, document starts */
    int64_t *periods;    /* (B) of the pass; 0: nothing is repeated */
} sequences;

static int64_t draw(const sequences *s, uint64_t at, int64_t below) {
    const uint32_t word =
        qn_philox_at(s->tokens->seed, QN_RANDOM_PROBE, (uint32_t)s->drawn, at).x[0];
    return (int64_t)(((uint64_t)word * (uint64_t)below) >> 32);
}

static bool is_among(const int32_t *ids, int64_t count, int32_t id) {
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] == id) return true;
    }
    return false;
}

/* `count` tokens, all different while the vocabulary has that many; `at` numbers the draws. */
static void draw_tokens(const sequences *s, int32_t *out, int64_t count, uint64_t at) {
    const int64_t words = s->tokens->end - s->tokens->first;
    for (int64_t i = 0; i < count; i++) {
        do {
            out[i] = s->tokens->first + (int32_t)draw(s, at++, words);
        } while (i < words && is_among(out, i, out[i]));
    }
}

/* A boundary (where there is one), then random tokens; or, repeated, a period twice and random
 * tokens after it. Returns the period. */
static int64_t fill_sequence(const sequences *s, int32_t *out, bool repeat) {
    const int64_t begin = s->tokens->bos >= 0, room = s->T - begin;
    if (begin) out[0] = s->tokens->bos;
    if (!repeat) {
        draw_tokens(s, out + begin, room, 1);
        return 0;
    }
    const int64_t longest = room / 2 < LONGEST_PERIOD ? room / 2 : LONGEST_PERIOD;
    const int64_t P = SHORTEST_PERIOD + draw(s, 0, longest - SHORTEST_PERIOD + 1);
    draw_tokens(s, out + begin, P, 1);
    memcpy(out + begin + P, out + begin, (size_t)P * sizeof *out);
    draw_tokens(s, out + begin + 2 * P, room - 2 * P, 1U << 20);
    return P;
}

static qn_status run_pass(qn_model *model, sequences *s, bool repeat) {
    const int64_t N = s->B * s->T;
    const qn_batch batch = {s->ids, s->ids + N, s->ids + 2 * N};
    double loss;
    memset(s->ids, 0, (size_t)(3 * N) * sizeof *s->ids);
    for (int64_t b = 0; b < s->B; b++, s->drawn++)
        s->periods[b] = fill_sequence(s, s->ids + b * s->T, repeat);
    return qn_model_evaluate(model, &batch, &loss);
}

/* ---- sums of weights ------------------------------------------------------------------------- */

/* Sums of one head: weights on a key, what uniform weights give there, rows; and of the squares of
 * means over sequences. */
typedef struct tally {
    double weight, uniform, mean, square;
    int64_t rows, sequences;
} tally;

/* Adds the rows of one sequence. */
static void add_sequence(tally *t, double weight, double uniform, int64_t rows) {
    if (!rows) return;
    const double mean = weight / (double)rows;
    t->weight += weight;
    t->uniform += uniform;
    t->rows += rows;
    t->mean += mean;
    t->square += mean * mean;
    t->sequences++;
}

static double value_of(const tally *t) {
    return t->rows ? t->weight / (double)t->rows : (double)NAN;
}

/* Standard error over sequences. */
static double error_of(const tally *t) {
    const double n = (double)t->sequences;
    if (t->sequences < 2) return (double)NAN;
    const double spread = t->square - t->mean * t->mean / n;
    return sqrt((spread < 0 ? 0 : spread) / (n * (n - 1)));
}

/* What a probe of patterns adds up, of every layer and head: by distance 0 … T − 1 on sequences
 * without repetition, and one period back and one forward on those with it. */
typedef struct tallies {
    tally *by_distance; /* (L,Hq,T) */
    tally *induction;   /* (L,Hq) */
} tallies;

static tally *distances_of(const tallies *t, const qn_heads *s, int64_t layer, int64_t head) {
    return t->by_distance + (layer * s->n_heads + head) * s->T;
}

/* Keys at position 0 are left out: they hold the boundary, or stand in its place, and heads with
 * nothing to look for look there. */
static void add_distances(const qn_heads *s, int64_t b, int64_t head, double *row, double *sums,
                          tally *out) {
    double *weight = sums, *uniform = sums + s->T;
    memset(sums, 0, (size_t)(2 * s->T) * sizeof *sums);
    for (int64_t i = 1; i < s->T; i++) {
        const int64_t first = qn_heads_first_key(s, NULL, i), n = i - first + 1;
        qn_heads_scores(s, head, b, i, first, row);
        qn_softmax(row, n);
        for (int64_t j = first > 1 ? first : 1; j <= i; j++) {
            weight[i - j] += row[j - first];
            uniform[i - j] += 1 / (double)n;
        }
    }
    for (int64_t d = 0; d < s->T - 1; d++) {
        const bool seen = !s->window || d < s->window;
        add_sequence(&out[d], weight[d], uniform[d], seen ? s->T - 1 - d : 0);
    }
}

/* Rows of the second copy, whose token stood one period before; the key is the one after it. */
static void add_induction(const qn_heads *s, int64_t b, int64_t head, int64_t begin, int64_t period,
                          double *row, tally *out) {
    double weight = 0, uniform = 0;
    int64_t rows = 0;
    for (int64_t i = begin + period; i < begin + 2 * period; i++) {
        const int64_t first = qn_heads_first_key(s, NULL, i), key = i - period + 1;
        if (key < first) continue;
        qn_heads_scores(s, head, b, i, first, row);
        qn_softmax(row, i - first + 1);
        weight += row[key - first];
        uniform += 1 / (double)(i - first + 1);
        rows++;
    }
    add_sequence(out, weight, uniform, rows);
}

static qn_status add_pass(qn_heads *s, const sequences *drawn, bool repeat, double *scratch,
                          tallies *t) {
    const int64_t n_layers = qn_model_plan(s->model)->config.n_layers;
    for (int64_t l = 0; l < n_layers; l++) {
        QN_TRY(qn_heads_read(s, l));
        for (int64_t h = 0; h < s->n_heads; h++) {
            for (int64_t b = 0; b < s->B; b++) {
                if (repeat) {
                    add_induction(s, b, h, drawn->tokens->bos >= 0, drawn->periods[b], scratch,
                                  &t->induction[l * s->n_heads + h]);
                } else {
                    add_distances(s, b, h, scratch, scratch + s->T, distances_of(t, s, l, h));
                }
            }
        }
    }
    return QN_OK;
}

/* ---- figures --------------------------------------------------------------------------------- */

static qn_lens_figure figure(const char *metric, int64_t layer, int64_t head, const tally *t,
                             int64_t at) {
    return (qn_lens_figure){.layer = layer,
                            .head = head,
                            .metric = metric,
                            .value = value_of(t),
                            .baseline = t->rows ? t->uniform / (double)t->rows : (double)NAN,
                            .n = t->rows,
                            .at = at,
                            .error = error_of(t)};
}

/* Of all distances from 1 on that enough rows reach. */
static int64_t strongest_distance(const qn_heads *s, const tally *by_distance) {
    int64_t best = 1;
    for (int64_t d = 1; d < s->T - FEWEST_ROWS; d++) {
        if (by_distance[d].rows && value_of(&by_distance[d]) > value_of(&by_distance[best]))
            best = d;
    }
    return best;
}

static qn_status add_figures(const qn_heads *s, const tallies *t, qn_lens_figures *out) {
    const int64_t n_layers = qn_model_plan(s->model)->config.n_layers;
    for (int64_t l = 0; l < n_layers; l++) {
        for (int64_t h = 0; h < s->n_heads; h++) {
            const tally *by_distance = distances_of(t, s, l, h);
            const int64_t best = strongest_distance(s, by_distance);
            QN_TRY(qn_lens_add(out, figure("previous_token", l, h, &by_distance[1], -1)));
            QN_TRY(qn_lens_add(out, figure("offset", l, h, &by_distance[best], best)));
            QN_TRY(
                qn_lens_add(out, figure("induction", l, h, &t->induction[l * s->n_heads + h], -1)));
        }
    }
    return QN_OK;
}

/* ---- the probe ------------------------------------------------------------------------------- */

static qn_status check(const qn_model *model, const qn_probe_tokens *tokens) {
    const qn_plan *plan = qn_model_plan(model);
    const int64_t V = plan->config.vocab_size;
    if (plan->options.seq_len < QN_PATTERN_TOKENS) {
        return qn_error(QN_CODE_USAGE, "sequences of %lld tokens: patterns take at least %d",
                        (long long)plan->options.seq_len, QN_PATTERN_TOKENS);
    }
    if (tokens->first >= 0 && tokens->first < tokens->end && tokens->end <= V &&
        tokens->bos >= -1 && tokens->bos < V)
        return QN_OK;
    return qn_error(
        QN_CODE_INVALID,
        "random tokens %d to %d, boundary %d: expected ids of a vocabulary of %lld, or no "
        "boundary, -1",
        tokens->first, tokens->end - 1, tokens->bos, (long long)V);
}

static qn_status run_passes(qn_heads *s, sequences *drawn, double *scratch, tallies *t) {
    for (int repeat = 0; repeat < 2; repeat++) {
        for (int64_t done = 0; done < SEQUENCES; done += s->B) {
            QN_TRY(run_pass(s->model, drawn, repeat));
            QN_TRY(add_pass(s, drawn, repeat, scratch, t));
        }
    }
    return QN_OK;
}

qn_status qn_probe_patterns(qn_model *model, const qn_probe_tokens *tokens, qn_lens_figures *out) {
    qn_heads s;
    QN_TRY(check(model, tokens));
    QN_TRY(qn_heads_open(model, &s));
    const size_t heads = (size_t)(qn_model_plan(model)->config.n_layers * s.n_heads);
    tallies t = {calloc(heads * (size_t)s.T, sizeof *t.by_distance),
                 calloc(heads, sizeof *t.induction)};
    sequences drawn = {.tokens = tokens,
                       .B = s.B,
                       .T = s.T,
                       .ids = malloc((size_t)(3 * s.B * s.T) * sizeof *drawn.ids),
                       .periods = malloc((size_t)s.B * sizeof *drawn.periods)};
    double *scratch = malloc((size_t)(3 * s.T) * sizeof *scratch);
    qn_status status = QN_OK;
    if (!t.by_distance || !t.induction || !drawn.ids || !drawn.periods || !scratch)
        status = qn_error(QN_CODE_MEMORY, "no host memory for the patterns of %zu heads", heads);
    if (!status) status = run_passes(&s, &drawn, scratch, &t);
    if (!status) status = add_figures(&s, &t, out);
    free(scratch);
    free(drawn.periods);
    free(drawn.ids);
    free(t.induction);
    free(t.by_distance);
    qn_heads_close(&s);
    return status;
}
