/* synonyms.c: whether words of like meaning have like vectors.
 *
 * Of each word the mean of its q (and k), before rotation, over its occurrences; all centred;
 * cosines of pairs against those of pairs matched by frequency. Vectors alone depend on the basis
 * of a head: (Wq, Wk) → (M·Wq, M⁻ᵀ·Wk) changes them and no score. So rows of scores against fixed
 * keys are compared as well. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lens/heads.h"
#include "quern/philox.h"
#include "quern/probe.h"

enum {
    FEWEST_OCCURRENCES = 5,
    FEWEST_PAIRS = 6,
    MATCHES = 10,  /* of each pair */
    TRIES = 50,    /* to find a match of the same frequency */
    REPEATS = 200, /* of the bootstrap */
    ROW_KEYS = 64, /* the commonest words */
};

typedef enum relation { SYNONYM, ANTONYM, SHUFFLED, N_RELATIONS } relation;
typedef enum space { SPACE_Q, SPACE_K, SPACE_ROW, SPACE_EMBEDDING, N_SPACES } space;

static const struct {
    const char *cosine,
        *auc; /* no cosine of SHUFFLED: the mean of pairs at random is the baseline */
} names[N_SPACES][N_RELATIONS] = {
    {{"q_synonym_cosine", "q_synonym_auc"},
     {"q_antonym_cosine", "q_antonym_auc"},
     {NULL, "q_shuffled_auc"}},
    {{"k_synonym_cosine", "k_synonym_auc"},
     {"k_antonym_cosine", "k_antonym_auc"},
     {NULL, "k_shuffled_auc"}},
    {{"row_synonym_cosine", "row_synonym_auc"},
     {"row_antonym_cosine", "row_antonym_auc"},
     {NULL, "row_shuffled_auc"}},
    {{"embedding_synonym_cosine", "embedding_synonym_auc"},
     {"embedding_antonym_cosine", "embedding_antonym_auc"},
     {NULL, "embedding_shuffled_auc"}},
};

/* Two words, as places in the pool. */
typedef struct pair {
    int32_t a, b;
    bool related; /* else a match */
} pair;

/* Pairs of a relation and their matches. */
typedef struct contest {
    pair *pairs;
    int64_t count, related;
} contest;

typedef struct probe {
    qn_heads heads;
    int64_t n_layers, V, C;
    int32_t *place;  /* (V): of a token in the pool; −1 */
    int32_t *tokens; /* (words) */
    int64_t *seen;   /* (words): occurrences */
    int64_t words;
    double *q, *k; /* sums: (L,Hq,words,D), (L,Hkv,words,D) */
    contest of[N_RELATIONS];
    double *bootstrap; /* (REPEATS,words): how often each word was drawn */
    uint64_t seed, drawn;
} probe;

static qn_status no_memory(void) {
    return qn_error(QN_CODE_MEMORY, "no host memory for the vectors of words");
}

static int64_t draw(probe *p, int64_t below) {
    const uint32_t word = qn_philox_at(p->seed, QN_RANDOM_PROBE, UINT32_MAX, p->drawn++).x[0];
    return (int64_t)(((uint64_t)word * (uint64_t)below) >> 32);
}

/* ---- the pool: words of the pairs that the text has often enough --------------------------------
 */

static void count_occurrences(const probe *p, const qn_probe_text *text, int64_t *seen) {
    for (int64_t i = 0; i < text->n_batches; i++) {
        const qn_batch *batch = &text->batches[i];
        for (int64_t n = 0; n < p->heads.B * p->heads.T; n++)
            if (batch->targets[n] >= 0) seen[batch->tokens[n]]++;
    }
}

static void add_words(probe *p, const qn_word_pairs *pairs, const int64_t *seen) {
    for (int64_t i = 0; i < pairs->count; i++) {
        const int32_t both[] = {pairs->items[i].a, pairs->items[i].b};
        for (int j = 0; j < 2; j++) {
            if (p->place[both[j]] >= 0 || seen[both[j]] < FEWEST_OCCURRENCES) continue;
            p->place[both[j]] = (int32_t)p->words;
            p->tokens[p->words] = both[j];
            p->seen[p->words++] = seen[both[j]];
        }
    }
}

static qn_status check_pairs(const probe *p, const qn_word_pairs *pairs) {
    for (int64_t i = 0; i < pairs->count; i++) {
        const qn_word_pair w = pairs->items[i];
        if (w.a < 0 || w.b < 0 || w.a >= p->V || w.b >= p->V || w.a == w.b)
            return qn_error(QN_CODE_INVALID,
                            "words %d and %d: expected two ids of a vocabulary of %lld", w.a, w.b,
                            (long long)p->V);
    }
    return QN_OK;
}

static qn_status make_pool(probe *p, const qn_probe_text *text, const qn_word_pairs *synonyms,
                           const qn_word_pairs *antonyms) {
    const size_t V = (size_t)p->V;
    QN_TRY(check_pairs(p, synonyms));
    QN_TRY(check_pairs(p, antonyms));
    int64_t *seen = calloc(V, sizeof *seen);
    p->place = malloc(V * sizeof *p->place);
    p->tokens = malloc(V * sizeof *p->tokens);
    p->seen = malloc(V * sizeof *p->seen);
    if (!seen || !p->place || !p->tokens || !p->seen) {
        free(seen);
        return no_memory();
    }
    for (size_t v = 0; v < V; v++) p->place[v] = -1;
    count_occurrences(p, text, seen);
    add_words(p, synonyms, seen);
    add_words(p, antonyms, seen);
    free(seen);
    return QN_OK;
}

/* ---- pairs and their matches
 * ------------------------------------------------------------------------ */

static int frequency_bin(const probe *p, int32_t word) { return ilogb((double)p->seen[word]); }

static bool are_related(const probe *p, int32_t a, int32_t b) {
    for (relation r = SYNONYM; r <= ANTONYM; r++) {
        for (int64_t i = 0; i < p->of[r].related; i++) {
            const pair w = p->of[r].pairs[i];
            if ((w.a == a && w.b == b) || (w.a == b && w.b == a)) return true;
        }
    }
    return false;
}

/* Unrelated words as frequent as a and b, to a factor of two each; false where none was found. */
static bool draw_match(probe *p, pair to, pair *out) {
    for (int i = 0; i < TRIES; i++) {
        const int32_t a = (int32_t)draw(p, p->words), b = (int32_t)draw(p, p->words);
        if (a == b || frequency_bin(p, a) != frequency_bin(p, to.a) ||
            frequency_bin(p, b) != frequency_bin(p, to.b) || are_related(p, a, b))
            continue;
        *out = (pair){a, b, false};
        return true;
    }
    return false;
}

static qn_status open_contest(contest *c, int64_t pairs) {
    c->pairs = malloc((size_t)(pairs * (1 + MATCHES) + 1) * sizeof *c->pairs);
    return c->pairs ? QN_OK : no_memory();
}

/* The pairs whose words are in the pool. */
static qn_status take_pairs(probe *p, relation r, const qn_word_pairs *pairs) {
    contest *c = &p->of[r];
    QN_TRY(open_contest(c, pairs->count));
    for (int64_t i = 0; i < pairs->count; i++) {
        const int32_t a = p->place[pairs->items[i].a], b = p->place[pairs->items[i].b];
        if (a >= 0 && b >= 0) c->pairs[c->count++] = (pair){a, b, true};
    }
    c->related = c->count;
    return QN_OK;
}

/* Synonyms with the second words dealt out anew, less those that are related after all. */
static qn_status shuffle_pairs(probe *p) {
    const contest *from = &p->of[SYNONYM];
    contest *c = &p->of[SHUFFLED];
    QN_TRY(open_contest(c, from->related));
    for (int64_t i = 0; i < from->related; i++) c->pairs[i] = from->pairs[i];
    for (int64_t i = from->related - 1; i > 0; i--) {
        const int64_t j = draw(p, i + 1);
        const int32_t b = c->pairs[i].b;
        c->pairs[i].b = c->pairs[j].b;
        c->pairs[j].b = b;
    }
    for (int64_t i = 0; i < from->related; i++) {
        const pair w = c->pairs[i];
        if (w.a != w.b && !are_related(p, w.a, w.b)) c->pairs[c->count++] = w;
    }
    c->related = c->count;
    return QN_OK;
}

static void add_matches(probe *p, contest *c) {
    for (int64_t i = 0; i < c->related; i++)
        for (int m = 0; m < MATCHES; m++)
            if (draw_match(p, c->pairs[i], &c->pairs[c->count])) c->count++;
}

static qn_status draw_bootstrap(probe *p) {
    p->bootstrap = calloc((size_t)(REPEATS * p->words + 1), sizeof *p->bootstrap);
    if (!p->bootstrap) return no_memory();
    for (int64_t r = 0; r < REPEATS; r++)
        for (int64_t w = 0; w < p->words; w++) p->bootstrap[r * p->words + draw(p, p->words)]++;
    return QN_OK;
}

static qn_status make_contests(probe *p, const qn_word_pairs *synonyms,
                               const qn_word_pairs *antonyms) {
    QN_TRY(take_pairs(p, SYNONYM, synonyms));
    QN_TRY(take_pairs(p, ANTONYM, antonyms));
    QN_TRY(shuffle_pairs(p));
    for (relation r = SYNONYM; r < N_RELATIONS; r++) add_matches(p, &p->of[r]);
    return draw_bootstrap(p);
}

/* ---- vectors
 * ------------------------------------------------------------------------------------------ */

static double *q_of(const probe *p, int64_t layer, int64_t head) {
    return p->q + (layer * p->heads.n_heads + head) * p->words * p->heads.head_dim;
}
static double *k_of(const probe *p, int64_t layer, int64_t kv_head) {
    return p->k + (layer * p->heads.n_kv_heads + kv_head) * p->words * p->heads.head_dim;
}

static void add_to(double *sums, const qn_heads *s, const float *x, int64_t position, double *out) {
    qn_heads_unrotate(s, x, position, out);
    for (int64_t d = 0; d < s->head_dim; d++) sums[d] += out[d];
}

static void add_token(probe *p, int64_t layer, int64_t n, int64_t word, double *scratch) {
    const qn_heads *s = &p->heads;
    const int64_t at = word * s->head_dim, group = s->n_heads / s->n_kv_heads;
    for (int64_t h = 0; h < s->n_heads; h++)
        add_to(q_of(p, layer, h) + at, s, qn_heads_q(s, n, h), n % s->T, scratch);
    for (int64_t h = 0; h < s->n_kv_heads; h++)
        add_to(k_of(p, layer, h) + at, s, qn_heads_k(s, n, h * group), n % s->T, scratch);
}

static qn_status add_batch(probe *p, const qn_batch *batch, double *scratch) {
    double loss;
    QN_TRY(qn_model_evaluate(p->heads.model, batch, &loss));
    for (int64_t l = 0; l < p->n_layers; l++) {
        QN_TRY(qn_heads_read(&p->heads, l));
        for (int64_t n = 0; n < p->heads.B * p->heads.T; n++) {
            const int32_t word = p->place[batch->tokens[n]];
            if (word >= 0 && batch->targets[n] >= 0) add_token(p, l, n, word, scratch);
        }
    }
    return QN_OK;
}

static void divide(double *sums, const probe *p, int64_t heads) {
    for (int64_t h = 0; h < heads; h++)
        for (int64_t w = 0; w < p->words; w++)
            for (int64_t d = 0; d < p->heads.head_dim; d++)
                sums[(h * p->words + w) * p->heads.head_dim + d] /= (double)p->seen[w];
}

static qn_status read_vectors(probe *p, const qn_probe_text *text) {
    const qn_heads *s = &p->heads;
    const size_t D = (size_t)s->head_dim, words = (size_t)p->words + 1;
    p->q = calloc((size_t)(p->n_layers * s->n_heads) * words * D, sizeof *p->q);
    p->k = calloc((size_t)(p->n_layers * s->n_kv_heads) * words * D, sizeof *p->k);
    double *scratch = malloc(D * sizeof *scratch);
    qn_status status = p->q && p->k && scratch ? QN_OK : no_memory();
    for (int64_t i = 0; i < text->n_batches && !status; i++)
        status = add_batch(p, &text->batches[i], scratch);
    free(scratch);
    if (status) return status;
    divide(p->q, p, p->n_layers * s->n_heads);
    divide(p->k, p, p->n_layers * s->n_kv_heads);
    return QN_OK;
}

/* ---- a contest in one space
 * ------------------------------------------------------------------------------ */

/* Subtracts the mean of all words, and makes each of length 1. (words,width) */
static void centre(double *x, int64_t words, int64_t width) {
    for (int64_t i = 0; i < width; i++) {
        double mean = 0;
        for (int64_t w = 0; w < words; w++) mean += x[w * width + i] / (double)words;
        for (int64_t w = 0; w < words; w++) x[w * width + i] -= mean;
    }
    for (int64_t w = 0; w < words; w++) {
        double square = 0;
        for (int64_t i = 0; i < width; i++) square += x[w * width + i] * x[w * width + i];
        const double scale = square > 0 ? 1 / sqrt(square) : 0;
        for (int64_t i = 0; i < width; i++) x[w * width + i] *= scale;
    }
}

typedef struct scored {
    double cosine;
    pair words;
} scored;

static int by_cosine(const void *a, const void *b) {
    const double x = ((const scored *)a)->cosine, y = ((const scored *)b)->cosine;
    return (x > y) - (x < y);
}

typedef struct outcome {
    double auc, cosine, match_cosine;
} outcome;

/* Area under the curve and mean cosines of pairs in ascending order, each as often as both its
 * words were drawn (`times` NULL: once). Equal cosines are half won. */
static outcome judge(const scored *s, int64_t count, const double *times) {
    double won = 0, related = 0, matches = 0, related_sum = 0, match_sum = 0;
    for (int64_t i = 0; i < count;) {
        double tied_related = 0, tied_matches = 0;
        const double cosine = s[i].cosine;
        for (; i < count && s[i].cosine == cosine; i++) {
            const double weight = times ? times[s[i].words.a] * times[s[i].words.b] : 1;
            *(s[i].words.related ? &tied_related : &tied_matches) += weight;
        }
        won += tied_related * (matches + tied_matches / 2);
        related += tied_related;
        matches += tied_matches;
        related_sum += tied_related * cosine;
        match_sum += tied_matches * cosine;
    }
    return (outcome){won / (related * matches), related_sum / related, match_sum / matches};
}

/* Standard deviations over the bootstrap's draws of words. */
static outcome deviation(const probe *p, const scored *s, int64_t count) {
    outcome sum = {0}, square = {0};
    double n = 0;
    for (int64_t r = 0; r < REPEATS; r++) {
        const outcome o = judge(s, count, p->bootstrap + r * p->words);
        if (!isfinite(o.auc)) continue; /* no pair had both its words drawn */
        sum.auc += o.auc;
        square.auc += o.auc * o.auc;
        sum.cosine += o.cosine;
        square.cosine += o.cosine * o.cosine;
        n++;
    }
    return (outcome){.auc = sqrt(fmax(0, square.auc - sum.auc * sum.auc / n) / (n - 1)),
                     .cosine =
                         sqrt(fmax(0, square.cosine - sum.cosine * sum.cosine / n) / (n - 1))};
}

static qn_status add_outcome(const probe *p, const contest *c, const scored *s, int64_t layer,
                             int64_t head, space where, relation r, qn_lens_figures *out) {
    const double none = (double)NAN;
    const bool enough = c->related >= FEWEST_PAIRS && c->count > c->related;
    const outcome o = enough ? judge(s, c->count, NULL) : (outcome){none, none, none};
    const outcome error = enough ? deviation(p, s, c->count) : (outcome){none, none, none};
    qn_lens_figure f = {.layer = layer, .head = head, .n = c->related, .at = -1};
    if (names[where][r].cosine) {
        f.metric = names[where][r].cosine;
        f.value = o.cosine;
        f.baseline = o.match_cosine;
        f.error = error.cosine;
        QN_TRY(qn_lens_add(out, f));
    }
    f.metric = names[where][r].auc;
    f.value = o.auc;
    f.baseline = 0.5;
    f.error = error.auc;
    return qn_lens_add(out, f);
}

/* Vectors (words,width), which are lost. */
static qn_status compare(const probe *p, double *x, int64_t width, int64_t layer, int64_t head,
                         space where, qn_lens_figures *out) {
    qn_status status = QN_OK;
    centre(x, p->words, width);
    for (relation r = SYNONYM; r < N_RELATIONS && !status; r++) {
        const contest *c = &p->of[r];
        scored *s = malloc((size_t)(c->count + 1) * sizeof *s);
        if (!s) return no_memory();
        for (int64_t i = 0; i < c->count; i++) {
            const double *a = x + c->pairs[i].a * width, *b = x + c->pairs[i].b * width;
            double cosine = 0;
            for (int64_t d = 0; d < width; d++) cosine += a[d] * b[d];
            s[i] = (scored){cosine, c->pairs[i]};
        }
        qsort(s, (size_t)c->count, sizeof *s, by_cosine);
        status = add_outcome(p, c, s, layer, head, where, r, out);
        free(s);
    }
    return status;
}

/* ---- the spaces
 * --------------------------------------------------------------------------------------------- */

/* The commonest words, whose keys rows of scores are against. */
static int64_t choose_keys(const probe *p, int32_t *keys) {
    int64_t count = 0;
    for (int32_t w = 0; w < p->words; w++) {
        int64_t at = count < ROW_KEYS ? count++ : ROW_KEYS;
        for (; at > 0 && p->seen[keys[at - 1]] < p->seen[w]; at--)
            if (at < ROW_KEYS) keys[at] = keys[at - 1];
        if (at < ROW_KEYS) keys[at] = w;
    }
    return count;
}

static int64_t make_rows(const probe *p, const double *q, const double *k, double *rows) {
    int32_t keys[ROW_KEYS];
    const int64_t D = p->heads.head_dim, width = choose_keys(p, keys);
    for (int64_t w = 0; w < p->words; w++) {
        for (int64_t u = 0; u < width; u++) {
            double sum = 0;
            for (int64_t d = 0; d < D; d++) sum += q[w * D + d] * k[keys[u] * D + d];
            rows[w * width + u] = sum;
        }
    }
    return width;
}

/* k of a head is a copy, as other heads of its group read the same. */
static qn_status compare_head(const probe *p, int64_t layer, int64_t head, double *scratch,
                              qn_lens_figures *out) {
    const qn_heads *s = &p->heads;
    const int64_t D = s->head_dim;
    double *q = q_of(p, layer, head);
    const double *k = k_of(p, layer, head / (s->n_heads / s->n_kv_heads));
    const int64_t width = make_rows(p, q, k, scratch);
    QN_TRY(compare(p, scratch, width, layer, head, SPACE_ROW, out));
    memcpy(scratch, k, (size_t)(p->words * D) * sizeof *scratch);
    QN_TRY(compare(p, scratch, D, layer, head, SPACE_K, out));
    return compare(p, q, D, layer, head, SPACE_Q, out);
}

static qn_status compare_heads(const probe *p, qn_lens_figures *out) {
    const int64_t D = p->heads.head_dim, width = D > ROW_KEYS ? D : ROW_KEYS;
    double *scratch = malloc((size_t)(p->words * width + 1) * sizeof *scratch);
    qn_status status = scratch ? QN_OK : no_memory();
    for (int64_t l = 0; l < p->n_layers && !status; l++)
        for (int64_t h = 0; h < p->heads.n_heads && !status; h++)
            status = compare_head(p, l, h, scratch, out);
    free(scratch);
    return status;
}

static qn_status compare_embeddings(const probe *p, qn_lens_figures *out) {
    qn_model *model = p->heads.model;
    const qn_param *wte = qn_params_find(qn_model_params(model), QN_WTE, -1);
    float *table = malloc((size_t)wte->count * sizeof *table);
    double *x = malloc((size_t)(p->words * p->C + 1) * sizeof *x);
    qn_status status = table && x ? qn_model_read_param(model, wte, table) : no_memory();
    for (int64_t w = 0; w < p->words && !status; w++)
        for (int64_t c = 0; c < p->C; c++) x[w * p->C + c] = (double)table[p->tokens[w] * p->C + c];
    if (!status) status = compare(p, x, p->C, -1, -1, SPACE_EMBEDDING, out);
    free(x);
    free(table);
    return status;
}

/* ---- the probe
 * ------------------------------------------------------------------------------------------------
 */

static void close_probe(probe *p) {
    for (relation r = SYNONYM; r < N_RELATIONS; r++) free(p->of[r].pairs);
    free(p->place);
    free(p->tokens);
    free(p->seen);
    free(p->q);
    free(p->k);
    free(p->bootstrap);
    qn_heads_close(&p->heads);
}

qn_status qn_probe_synonyms(qn_model *model, const qn_probe_text *text,
                            const qn_word_pairs *synonyms, const qn_word_pairs *antonyms,
                            uint64_t seed, qn_lens_figures *out) {
    const qn_config *c = &qn_model_plan(model)->config;
    probe p = {.n_layers = c->n_layers, .V = c->vocab_size, .C = c->hidden_size, .seed = seed};
    QN_TRY(qn_heads_open(model, &p.heads));
    qn_status status = make_pool(&p, text, synonyms, antonyms);
    if (!status) status = make_contests(&p, synonyms, antonyms);
    if (!status) status = read_vectors(&p, text);
    if (!status) status = compare_embeddings(&p, out);
    if (!status) status = compare_heads(&p, out);
    close_probe(&p);
    return status;
}
