#include "lens/pair_sample.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lens/probe_text.h"
#include "quern/philox.h"

enum {
    NEAREST = 16, /* words that count as frequent as one, itself among them */
    SHUFFLED = 8, /* pairs, as frequent in their second words, that exchange them */
    ATTEMPTS = 16
};

typedef struct maker {
    qn_pair_sample *sample;
    const qn_word_pairs *synonyms, *antonyms;
    uint64_t seed, drawn;
    int32_t *ranked;   /* (n_words) words, rarest first */
    int64_t *rank_of;  /* (n_words) */
    uint64_t *related; /* sorted keys of pairs of words that are either relation */
    int64_t n_related;
} maker;

static qn_status no_memory(int64_t count) {
    return qn_error(QN_CODE_MEMORY, "no memory for %lld words and their pairs", (long long)count);
}

/* ---- words ----------------------------------------------------------------------------------- */

static qn_status count_tokens(qn_model *model, const qn_probe_text *text, int64_t V,
                              int64_t *counts) {
    for (int64_t b = 0; b < text->n_batches; b++) {
        const qn_batch *batch = &text->batches[b];
        for (int64_t n = 0; n < qn_batch_tokens(model); n++) {
            const int32_t token = batch->tokens[n];
            if (token < 0 || token >= V)
                return qn_error(QN_CODE_INVALID, "token %d of a text: expected 0 to %lld", token,
                                (long long)V - 1);
            counts[token] += batch->targets[n] >= 0;
        }
    }
    return QN_OK;
}

static qn_status mark_words(const qn_word_pairs *pairs, int64_t V, int32_t *word_of) {
    for (int64_t i = 0; i < pairs->count; i++) {
        const qn_word_pair p = pairs->items[i];
        if (p.a < 0 || p.a >= V || p.b < 0 || p.b >= V || p.a == p.b)
            return qn_error(QN_CODE_INVALID,
                            "pair %lld of words is %d, %d: expected two ids below %lld",
                            (long long)i, p.a, p.b, (long long)V);
        word_of[p.a] = word_of[p.b] = 0;
    }
    return QN_OK;
}

static void number_words(qn_pair_sample *s, const int64_t *counts) {
    for (int64_t id = 0; id < s->vocab_size; id++) {
        if (s->word_of[id] < 0) continue;
        if (counts[id] < QN_WORD_OCCURRENCES) {
            s->word_of[id] = -1;
            continue;
        }
        s->word_of[id] = (int32_t)s->n_words;
        s->ids[s->n_words] = (int32_t)id;
        s->counts[s->n_words++] = counts[id];
    }
}

static qn_status choose_words(qn_model *model, const qn_probe_text *text, maker *m) {
    qn_pair_sample *s = m->sample;
    const size_t V = (size_t)s->vocab_size;
    int64_t *counts = calloc(V, sizeof *counts);
    s->word_of = malloc(V * sizeof *s->word_of);
    s->ids = malloc(V * sizeof *s->ids);
    s->counts = malloc(V * sizeof *s->counts);
    const bool room = counts && s->word_of && s->ids && s->counts;
    qn_status status = room ? QN_OK : no_memory(s->vocab_size);
    for (size_t id = 0; id < V && room; id++) s->word_of[id] = -1;
    if (!status) status = count_tokens(model, text, s->vocab_size, counts);
    if (!status) status = mark_words(m->synonyms, s->vocab_size, s->word_of);
    if (!status) status = mark_words(m->antonyms, s->vocab_size, s->word_of);
    if (!status) number_words(s, counts);
    free(counts);
    return status;
}

/* ---- words that are as frequent -------------------------------------------------------------- */

typedef struct frequency {
    int64_t count, index;
} frequency;

static int by_frequency(const void *x, const void *y) {
    const frequency *a = x, *b = y;
    if (a->count != b->count) return a->count < b->count ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static qn_status rank_words(maker *m) {
    const int64_t n = m->sample->n_words;
    frequency *words = malloc((size_t)(n + 1) * sizeof *words);
    m->ranked = malloc((size_t)(n + 1) * sizeof *m->ranked);
    m->rank_of = malloc((size_t)(n + 1) * sizeof *m->rank_of);
    const bool room = words && m->ranked && m->rank_of;
    if (room) {
        for (int64_t w = 0; w < n; w++) words[w] = (frequency){m->sample->counts[w], w};
        qsort(words, (size_t)n, sizeof *words, by_frequency);
        for (int64_t rank = 0; rank < n; rank++) {
            m->ranked[rank] = (int32_t)words[rank].index;
            m->rank_of[words[rank].index] = rank;
        }
    }
    free(words);
    return room ? QN_OK : no_memory(n);
}

/* In [0, n). */
static int64_t draw(maker *m, int64_t n) {
    const qn_philox words = qn_philox_at(m->seed, QN_RANDOM_PROBE, 0, m->drawn++);
    return (int64_t)(qn_uniform(words.x[0]) * (double)n);
}

/* One of the words nearest in rank by the ratio of their counts. */
static int32_t draw_like(maker *m, int32_t word) {
    const int64_t *counts = m->sample->counts, n = m->sample->n_words;
    const double count = (double)counts[word];
    int64_t low = m->rank_of[word], high = low;
    while (high - low + 1 < NEAREST && high - low + 1 < n) {
        const double rarer = low ? count / (double)counts[m->ranked[low - 1]] : INFINITY;
        const double commoner =
            high + 1 < n ? (double)counts[m->ranked[high + 1]] / count : INFINITY;
        rarer < commoner ? low-- : high++;
    }
    return m->ranked[low + draw(m, high - low + 1)];
}

/* ---- relations ------------------------------------------------------------------------------- */

static uint64_t key_of(int32_t a, int32_t b) {
    return a < b ? (uint64_t)a << 32 | (uint64_t)b : (uint64_t)b << 32 | (uint64_t)a;
}

static int by_key(const void *x, const void *y) {
    const uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return (a > b) - (a < b);
}

static bool comparable(const maker *m, int32_t a, int32_t b) {
    const uint64_t key = key_of(a, b);
    return a != b &&
           !(m->n_related && bsearch(&key, m->related, (size_t)m->n_related, sizeof key, by_key));
}

/* Pairs both words of which the text has. */
static qn_status take_pairs(maker *m, const qn_word_pairs *pairs, qn_pair_set *out) {
    out->items = malloc((size_t)(pairs->count + 1) * sizeof *out->items);
    if (!out->items) return no_memory(pairs->count);
    for (int64_t i = 0; i < pairs->count; i++) {
        const int32_t a = m->sample->word_of[pairs->items[i].a];
        const int32_t b = m->sample->word_of[pairs->items[i].b];
        if (a < 0 || b < 0) continue;
        out->items[out->count++] = (qn_word_pair){a, b};
        m->related[m->n_related++] = key_of(a, b);
    }
    return QN_OK;
}

static qn_status relate(maker *m) {
    const int64_t most = m->synonyms->count + m->antonyms->count;
    m->related = malloc((size_t)(most + 1) * sizeof *m->related);
    if (!m->related) return no_memory(most);
    QN_TRY(take_pairs(m, m->synonyms, &m->sample->sets[QN_SYNONYMS]));
    QN_TRY(take_pairs(m, m->antonyms, &m->sample->sets[QN_ANTONYMS]));
    if (m->n_related) qsort(m->related, (size_t)m->n_related, sizeof *m->related, by_key);
    return QN_OK;
}

/* ---- pairs to compare with ------------------------------------------------------------------- */

static qn_status match(maker *m, const qn_pair_set *pairs, qn_pair_set *out) {
    out->items = malloc((size_t)(pairs->count * QN_MATCHED_PER_PAIR + 1) * sizeof *out->items);
    if (!out->items) return no_memory(pairs->count);
    for (int64_t i = 0; i < pairs->count * QN_MATCHED_PER_PAIR; i++) {
        const qn_word_pair p = pairs->items[i / QN_MATCHED_PER_PAIR];
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            const int32_t a = draw_like(m, p.a), b = draw_like(m, p.b);
            const bool own = a == p.a || a == p.b || b == p.a || b == p.b;
            if (own || !comparable(m, a, b)) continue;
            out->items[out->count++] = (qn_word_pair){a, b};
            break;
        }
    }
    return QN_OK;
}

/* Shuffles the second words of the pairs at `places` (Fisher and Yates). */
static void shuffle(maker *m, qn_pair_set *pairs, const frequency *places, int64_t n) {
    for (; n > 1; n--) {
        int32_t *last = &pairs->items[places[n - 1].index].b,
                *other = &pairs->items[places[draw(m, n)].index].b;
        const int32_t word = *last;
        *last = *other;
        *other = word;
    }
}

static void drop_incomparable(const maker *m, qn_pair_set *pairs) {
    int64_t kept = 0;
    for (int64_t i = 0; i < pairs->count; i++)
        if (comparable(m, pairs->items[i].a, pairs->items[i].b))
            pairs->items[kept++] = pairs->items[i];
    pairs->count = kept;
}

static qn_status pair_again(maker *m, const qn_pair_set *pairs, qn_pair_set *out) {
    const int64_t n = pairs->count;
    frequency *places = malloc((size_t)(n + 1) * sizeof *places);
    out->items = malloc((size_t)(n + 1) * sizeof *out->items);
    if (!places || !out->items) {
        free(places);
        return no_memory(n);
    }
    for (int64_t i = 0; i < n; i++) {
        out->items[out->count++] = pairs->items[i];
        places[i] = (frequency){m->rank_of[pairs->items[i].b], i};
    }
    qsort(places, (size_t)n, sizeof *places, by_frequency);
    for (int64_t i = 0; i < n; i += SHUFFLED)
        shuffle(m, out, places + i, n - i < SHUFFLED ? n - i : SHUFFLED);
    drop_incomparable(m, out);
    free(places);
    return QN_OK;
}

static qn_status make(qn_model *model, const qn_probe_text *text, maker *m) {
    qn_pair_set *sets = m->sample->sets;
    QN_TRY(choose_words(model, text, m));
    QN_TRY(rank_words(m));
    QN_TRY(relate(m));
    QN_TRY(match(m, &sets[QN_SYNONYMS], &sets[QN_SYNONYMS_MATCHED]));
    QN_TRY(match(m, &sets[QN_ANTONYMS], &sets[QN_ANTONYMS_MATCHED]));
    return pair_again(m, &sets[QN_SYNONYMS], &sets[QN_SYNONYMS_REPAIRED]);
}

qn_status qn_pair_sample_make(qn_model *model, const qn_probe_text *text,
                              const qn_word_pairs *synonyms, const qn_word_pairs *antonyms,
                              uint64_t seed, qn_pair_sample *out) {
    *out = (qn_pair_sample){.vocab_size = qn_model_plan(model)->config.vocab_size};
    maker m = {.sample = out, .synonyms = synonyms, .antonyms = antonyms, .seed = seed};
    qn_status status = make(model, text, &m);
    free(m.ranked);
    free(m.rank_of);
    free(m.related);
    if (status) qn_pair_sample_free(out);
    return status;
}

void qn_pair_sample_free(qn_pair_sample *s) {
    free(s->word_of);
    free(s->ids);
    free(s->counts);
    for (int i = 0; i < QN_N_PAIR_SETS; i++) free(s->sets[i].items);
    *s = (qn_pair_sample){0};
}
