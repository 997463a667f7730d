/* synonyms.c: whether words of one meaning have one direction, head by head. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lens/pair_measure.h"
#include "lens/probe_text.h"
#include "lens/rotation.h"
#include "quern/activations.h"

enum {
    FEWEST_PAIRS = 8,
    FIXED_KEYS = 64,      /* of the commonest words, for rows of scores */
    BINS = 20,            /* of cosines, from −1 to 1 */
    SUM_BYTES = 256 << 20 /* of vectors at once; more layers take more passes over the text */
};

/* How many pairs have a cosine in each bin. */
typedef struct histogram {
    int64_t synonyms[BINS], matched[BINS];
} histogram;

typedef struct probe {
    qn_model *model;
    const qn_config *config;
    const qn_probe_text *text;
    qn_pair_sample sample;
    qn_rotation rotation;
    int64_t layers_at_once, q_width, k_width, keys[FIXED_KEYS], n_keys; /* keys: words */
    double *q, *k;   /* (layers_at_once, n_words, width) sums, then means, before rotation */
    float *heads;    /* (N, q_width or k_width) */
    double *vectors; /* (n_words, head_dim, n_keys or hidden_size) */
    double *cosines[QN_N_PAIR_SETS];
    histogram of_q, of_k; /* of a layer's heads */
    qn_lens_figures *out;
} probe;

/* ---- figures of one set of vectors ----------------------------------------------------------- */

typedef struct names {
    const char *synonym_cosine, *synonym_auc, *antonym_cosine, *antonym_auc, *shuffled_auc;
} names;

#define NAMES_OF(what)                                                                             \
    {                                                                                              \
        what "_synonym_cosine", what "_synonym_auc", what "_antonym_cosine", what "_antonym_auc",  \
            what "_shuffled_auc"                                                                   \
    }

static const names names_of_q = NAMES_OF("q"), names_of_k = NAMES_OF("k"),
                   names_of_rows = NAMES_OF("row"), names_of_embedding = NAMES_OF("embedding");

typedef struct place {
    int64_t layer, head;
} place;

static bool enough(const probe *p, qn_pair_set_id pairs, qn_pair_set_id matched) {
    return p->sample.sets[pairs].count >= FEWEST_PAIRS && p->sample.sets[matched].count > 0;
}

static qn_status add(const probe *p, place at, const char *metric, qn_pair_set_id pairs,
                     qn_measure measure, double baseline) {
    return qn_lens_add(p->out, (qn_lens_figure){.layer = at.layer,
                                                .head = at.head,
                                                .metric = metric,
                                                .value = measure.value,
                                                .baseline = baseline,
                                                .n = p->sample.sets[pairs].count,
                                                .at = -1,
                                                .error = measure.error});
}

static qn_status add_cosine(const probe *p, place at, const char *metric, qn_pair_set_id pairs,
                            qn_pair_set_id matched) {
    const qn_pair_set *sets = p->sample.sets;
    qn_measure own = {(double)NAN, (double)NAN}, other = own;
    if (enough(p, pairs, matched)) {
        QN_TRY(qn_pair_mean(&sets[pairs], p->cosines[pairs], p->sample.n_words, &own));
        QN_TRY(qn_pair_mean(&sets[matched], p->cosines[matched], p->sample.n_words, &other));
    }
    return add(p, at, metric, pairs, own, other.value);
}

static qn_status add_auc(const probe *p, place at, const char *metric, qn_pair_set_id pairs,
                         qn_pair_set_id matched) {
    const qn_pair_set *sets = p->sample.sets;
    qn_measure auc = {(double)NAN, (double)NAN};
    if (enough(p, pairs, matched))
        QN_TRY(qn_pair_auc(&sets[pairs], p->cosines[pairs], &sets[matched], p->cosines[matched],
                           p->sample.n_words, &auc));
    return add(p, at, metric, pairs, auc, 0.5);
}

/* Of p->vectors (n_words, width), which are centred. */
static qn_status add_figures(probe *p, place at, const names *of, int64_t width) {
    qn_centre(p->vectors, p->sample.n_words, width);
    for (int i = 0; i < QN_N_PAIR_SETS; i++)
        qn_cosines(&p->sample.sets[i], p->vectors, width, p->cosines[i]);
    QN_TRY(add_cosine(p, at, of->synonym_cosine, QN_SYNONYMS, QN_SYNONYMS_MATCHED));
    QN_TRY(add_auc(p, at, of->synonym_auc, QN_SYNONYMS, QN_SYNONYMS_MATCHED));
    QN_TRY(add_cosine(p, at, of->antonym_cosine, QN_ANTONYMS, QN_ANTONYMS_MATCHED));
    QN_TRY(add_auc(p, at, of->antonym_auc, QN_ANTONYMS, QN_ANTONYMS_MATCHED));
    return add_auc(p, at, of->shuffled_auc, QN_SYNONYMS_REPAIRED, QN_SYNONYMS_MATCHED);
}

/* ---- histograms of cosines ---------------------------------------------------------------------
 */

static void count_set(const probe *p, qn_pair_set_id set, int64_t *bins) {
    for (int64_t i = 0; i < p->sample.sets[set].count; i++) {
        const double cosine = p->cosines[set][i];
        if (isnan(cosine)) continue;
        const int64_t bin = (int64_t)(0.5 * (cosine + 1) * BINS);
        bins[bin < 0 ? 0 : bin < BINS ? bin : BINS - 1]++;
    }
}

/* Of the vectors measured last. */
static void count_cosines(const probe *p, histogram *h) {
    count_set(p, QN_SYNONYMS, h->synonyms);
    count_set(p, QN_SYNONYMS_MATCHED, h->matched);
}

static int64_t total(const int64_t *bins) {
    int64_t sum = 0;
    for (int i = 0; i < BINS; i++) sum += bins[i];
    return sum;
}

static qn_status add_histogram(const probe *p, int64_t layer, const char *metric,
                               const histogram *h) {
    if (!enough(p, QN_SYNONYMS, QN_SYNONYMS_MATCHED)) return QN_OK;
    const int64_t synonyms = total(h->synonyms), matched = total(h->matched);
    for (int64_t i = 0; i < BINS; i++) {
        QN_TRY(qn_lens_add(p->out,
                           (qn_lens_figure){.layer = layer,
                                            .head = -1,
                                            .metric = metric,
                                            .value = (double)h->synonyms[i] / (double)synonyms,
                                            .baseline = (double)h->matched[i] / (double)matched,
                                            .n = synonyms,
                                            .at = i,
                                            .error = (double)NAN}));
    }
    return QN_OK;
}

/* ---- the embeddings -------------------------------------------------------------------------- */

static qn_status measure_embeddings(probe *p) {
    const qn_param *wte = qn_params_find(qn_model_params(p->model), QN_WTE, -1);
    const int64_t C = p->config->hidden_size;
    float *table = malloc((size_t)wte->count * sizeof *table);
    if (!table) return qn_error(QN_CODE_MEMORY, "no host memory for the embeddings");
    qn_status status = qn_model_read_param(p->model, wte, table);
    for (int64_t w = 0; w < p->sample.n_words && !status; w++)
        for (int64_t c = 0; c < C; c++)
            p->vectors[w * C + c] = (double)table[p->sample.ids[w] * C + c];
    free(table);
    histogram cosines = {0};
    if (!status) status = add_figures(p, (place){-1, -1}, &names_of_embedding, C);
    count_cosines(p, &cosines);
    return status ? status : add_histogram(p, -1, "embedding_synonym_bin", &cosines);
}

/* ---- mean q and k of words ------------------------------------------------------------------- */

/* Adds the heads of a layer that the last pass left to the sums (n_words, width) of words. */
static qn_status add_heads(probe *p, const qn_batch *batch, int64_t layer, qn_head_part part,
                           int64_t width, double *sums) {
    const int64_t T = qn_model_plan(p->model)->options.seq_len, D = p->config->head_dim;
    QN_TRY(qn_model_read_heads(p->model, layer, part, p->heads));
    for (int64_t n = 0; n < qn_batch_tokens(p->model); n++) {
        const int32_t word = p->sample.word_of[batch->tokens[n]];
        if (word < 0 || batch->targets[n] < 0) continue;
        for (int64_t at = 0; at < width; at += D)
            qn_rotation_add_undone(&p->rotation, n % T, p->heads + n * width + at,
                                   sums + word * width + at);
    }
    return QN_OK;
}

static void divide_by_counts(const probe *p, int64_t width, double *sums) {
    for (int64_t w = 0; w < p->sample.n_words; w++)
        for (int64_t i = 0; i < width; i++) sums[w * width + i] /= (double)p->sample.counts[w];
}

static double *q_of(const probe *p, int64_t slot) {
    return p->q + slot * p->sample.n_words * p->q_width;
}
static double *k_of(const probe *p, int64_t slot) {
    return p->k + slot * p->sample.n_words * p->k_width;
}

static qn_status read_layers(probe *p, int64_t first, int64_t count) {
    const int64_t words = p->layers_at_once * p->sample.n_words;
    memset(p->q, 0, (size_t)(words * p->q_width) * sizeof *p->q);
    memset(p->k, 0, (size_t)(words * p->k_width) * sizeof *p->k);
    for (int64_t b = 0; b < p->text->n_batches; b++) {
        const qn_batch *batch = &p->text->batches[b];
        double loss;
        QN_TRY(qn_model_evaluate(p->model, batch, &loss));
        for (int64_t l = 0; l < count; l++) {
            QN_TRY(add_heads(p, batch, first + l, QN_HEAD_Q, p->q_width, q_of(p, l)));
            QN_TRY(add_heads(p, batch, first + l, QN_HEAD_K, p->k_width, k_of(p, l)));
        }
    }
    for (int64_t l = 0; l < count; l++) {
        divide_by_counts(p, p->q_width, q_of(p, l));
        divide_by_counts(p, p->k_width, k_of(p, l));
    }
    return QN_OK;
}

/* ---- a head ---------------------------------------------------------------------------------- */

/* A head's columns of means (n_words, width). */
static void take_columns(probe *p, const double *means, int64_t width, int64_t first) {
    const int64_t D = p->config->head_dim;
    for (int64_t w = 0; w < p->sample.n_words; w++)
        memcpy(p->vectors + w * D, means + w * width + first, (size_t)D * sizeof *means);
}

/* Scores of the words' q against the fixed keys. */
static void take_rows(probe *p, const double *q, const double *k) {
    for (int64_t w = 0; w < p->sample.n_words; w++)
        for (int64_t u = 0; u < p->n_keys; u++) {
            const double *a = q + w * p->q_width, *b = k + p->keys[u] * p->k_width;
            double score = 0;
            for (int64_t i = 0; i < p->config->head_dim; i++) score += a[i] * b[i];
            p->vectors[w * p->n_keys + u] = score;
        }
}

static qn_status measure_head(probe *p, int64_t layer, int64_t head, const double *q,
                              const double *k) {
    const int64_t D = p->config->head_dim, group = p->config->n_heads / p->config->n_kv_heads;
    const int64_t q_at = head * D, k_at = head / group * D;
    const place at = {layer, head};
    take_columns(p, q, p->q_width, q_at);
    QN_TRY(add_figures(p, at, &names_of_q, D));
    count_cosines(p, &p->of_q);
    take_columns(p, k, p->k_width, k_at);
    QN_TRY(add_figures(p, at, &names_of_k, D));
    if (head % group == 0) count_cosines(p, &p->of_k);
    take_rows(p, q + q_at, k + k_at);
    return add_figures(p, at, &names_of_rows, p->n_keys);
}

static qn_status measure_layer(probe *p, int64_t layer, const double *q, const double *k) {
    p->of_q = p->of_k = (histogram){0};
    for (int64_t h = 0; h < p->config->n_heads; h++) QN_TRY(measure_head(p, layer, h, q, k));
    QN_TRY(add_histogram(p, layer, "q_synonym_bin", &p->of_q));
    return add_histogram(p, layer, "k_synonym_bin", &p->of_k);
}

static qn_status measure_layers(probe *p) {
    const int64_t L = p->config->n_layers, step = p->layers_at_once;
    for (int64_t first = 0; first < L; first += step) {
        const int64_t count = L - first < step ? L - first : step;
        QN_TRY(read_layers(p, first, count));
        for (int64_t l = 0; l < count; l++)
            QN_TRY(measure_layer(p, first + l, q_of(p, l), k_of(p, l)));
    }
    return QN_OK;
}

/* ---- setting up ------------------------------------------------------------------------------ */

/* The commonest words, each once; of equals the first. */
static void choose_keys(probe *p) {
    const qn_pair_sample *s = &p->sample;
    while (p->n_keys < FIXED_KEYS && p->n_keys < s->n_words) {
        int64_t best = -1;
        for (int64_t w = 0; w < s->n_words; w++) {
            bool taken = false;
            for (int64_t u = 0; u < p->n_keys; u++) taken |= p->keys[u] == w;
            if (!taken && (best < 0 || s->counts[w] > s->counts[best])) best = w;
        }
        p->keys[p->n_keys++] = best;
    }
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static qn_status allocate(probe *p) {
    const int64_t W = p->sample.n_words, widths = p->q_width + p->k_width;
    const int64_t fitting = SUM_BYTES / ((W + 1) * widths * (int64_t)sizeof *p->q);
    p->layers_at_once = fitting < 1 ? 1 : fitting;
    if (p->layers_at_once > p->config->n_layers) p->layers_at_once = p->config->n_layers;
    const int64_t widest = larger(larger(p->config->hidden_size, p->config->head_dim), FIXED_KEYS);
    const size_t words = (size_t)(p->layers_at_once * (W + 1));
    p->q = malloc(words * (size_t)p->q_width * sizeof *p->q);
    p->k = malloc(words * (size_t)p->k_width * sizeof *p->k);
    p->heads = malloc((size_t)(qn_batch_tokens(p->model) * p->q_width) * sizeof *p->heads);
    p->vectors = malloc((size_t)((W + 1) * widest) * sizeof *p->vectors);
    bool room = p->q && p->k && p->heads && p->vectors;
    for (int i = 0; i < QN_N_PAIR_SETS; i++) {
        p->cosines[i] = malloc((size_t)(p->sample.sets[i].count + 1) * sizeof **p->cosines);
        room = room && p->cosines[i];
    }
    return room ? QN_OK
                : qn_error(QN_CODE_MEMORY, "synonyms: no host memory for q and k of %lld words",
                           (long long)W);
}

static qn_status measure(probe *p) {
    QN_TRY(qn_rotation_make(qn_model_plan(p->model), &p->rotation));
    QN_TRY(allocate(p));
    choose_keys(p);
    QN_TRY(measure_embeddings(p));
    return measure_layers(p);
}

qn_status qn_probe_synonyms(qn_model *model, const qn_probe_text *text,
                            const qn_word_pairs *synonyms, const qn_word_pairs *antonyms,
                            uint64_t seed, qn_lens_figures *out) {
    const qn_config *config = &qn_model_plan(model)->config;
    probe p = {.model = model, .config = config, .text = text, .out = out};
    p.q_width = config->n_heads * config->head_dim;
    p.k_width = config->n_kv_heads * config->head_dim;
    QN_TRY(qn_pair_sample_make(model, text, synonyms, antonyms, seed, &p.sample));
    qn_status status = measure(&p);
    free(p.q);
    free(p.k);
    free(p.heads);
    free(p.vectors);
    for (int i = 0; i < QN_N_PAIR_SETS; i++) free(p.cosines[i]);
    qn_rotation_free(&p.rotation);
    qn_pair_sample_free(&p.sample);
    return status;
}
