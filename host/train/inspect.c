#include "quern/inspect.h"

#include <stdlib.h>

#include "quern/loader.h"
#include "train/inspect_draw.h"
#include "train/probe_sample.h"

const char *const qn_inspect_names[] = {"patterns", "geometry",   "distance",
                                        "ablation", "logit-lens", "similarity",
                                        "synonyms", "pictures",   NULL};

struct qn_inspector {
    const qn_inspect_options *options;
    unsigned parts; /* those of the options that the data allow */
    qn_probe_tokens random;
    qn_probe_sample held_out, words;
    qn_word_pairs synonyms, antonyms;
    bool *begins_word; /* (V); NULL without a tokenizer */
    qn_sentences sentences;
};

/* Austen's first sentence; one whose end repeats its beginning; one that takes a view back. */
static const char *const own_sentences[] = {
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, "
    "must be in want of a wife.",
    "The old house on the hill was cold, and the old house on the hill was",
    "She gave her sister the letter, because she could not read it herself."};
enum { OWN_SENTENCES = sizeof own_sentences / sizeof *own_sentences };

static bool has(const qn_inspector *i, qn_inspect_part part) { return i->parts >> part & 1; }

/* Leaves parts out, with the reason. */
static void leave_out(qn_inspector *i, unsigned parts, const char *reason) {
    const qn_inspect_options *o = i->options;
    if (i->parts & parts && o->on_note) o->on_note(o->context, reason);
    i->parts &= ~parts;
}

/* ---- random tokens --------------------------------------------------------------------------- */

/* Ids of ordinary pieces: behind the control and byte pieces that a vocabulary begins with, and
 * without the boundary. */
static qn_probe_tokens ordinary_tokens(const qn_model *model, const qn_dataset *dataset,
                                       uint64_t seed) {
    const qn_config *config = &qn_model_plan(model)->config;
    const qn_tokenizer *tokenizer = dataset ? dataset->tokenizer : NULL;
    const int64_t known = dataset && dataset->vocab_size ? dataset->vocab_size : config->vocab_size;
    int32_t first = 0, end = (int32_t)(known < config->vocab_size ? known : config->vocab_size);
    while (tokenizer && first < end - 1 && qn_tokenizer_token_bytes(tokenizer, first) < 2) first++;
    const int64_t boundary = dataset ? dataset->boundary_id : config->bos_id;
    const int32_t bos = boundary >= 0 && boundary < config->vocab_size ? (int32_t)boundary : -1;
    if (bos == first) first++;
    if (bos == end - 1) end--;
    return (qn_probe_tokens){first, end, bos, seed};
}

/* ---- text ------------------------------------------------------------------------------------ */

static qn_status read_text(const qn_model *model, const qn_dataset *dataset, const char *pattern,
                           int64_t max_tokens, qn_probe_sample *out) {
    const qn_plan *plan = qn_model_plan(model);
    const int64_t V = plan->config.vocab_size, T = plan->options.seq_len;
    const qn_loader_options options = {.seq_len = T,
                                       .boundary_id =
                                           dataset->boundary_id < V ? dataset->boundary_id : -1,
                                       .vocab_size = V,
                                       .examples = dataset->examples};
    qn_loader *loader;
    QN_TRY(qn_loader_open(pattern, &options, &loader));
    qn_status status = qn_probe_sample_fill(loader, plan->options.batch_size, T, max_tokens, out);
    qn_loader_close(loader);
    return status;
}

/* ---- words ------------------------------------------------------------------------------- */

/* Tokens of words that go on in the next token do not count: "man" is no word in "man|ner". */
static qn_status count_whole_words(qn_probe_sample *sample, const qn_model *model,
                                   const qn_tokenizer *tokenizer) {
    const qn_plan *plan = qn_model_plan(model);
    const int64_t N = plan->options.batch_size * plan->options.seq_len;
    const int64_t V = plan->config.vocab_size;
    bool *continues = malloc((size_t)V * sizeof *continues);
    qn_status status =
        continues ? QN_OK : qn_error(QN_CODE_MEMORY, "no memory for %lld words", (long long)V);
    if (!status) status = qn_words_of_tokens(tokenizer, V, NULL, continues);
    for (int64_t n = 0; n < sample->text.n_batches * N && !status; n++) {
        int32_t *target = sample->ids + n / N * 3 * N + N + n % N;
        if (*target >= 0 && continues[*target]) *target = -1;
    }
    free(continues);
    return status;
}

static qn_status find_beginnings(qn_inspector *i, const qn_model *model,
                                 const qn_tokenizer *tokenizer) {
    const int64_t V = qn_model_plan(model)->config.vocab_size;
    if (!tokenizer) return QN_OK;
    i->begins_word = malloc((size_t)V * sizeof *i->begins_word);
    if (!i->begins_word) return qn_error(QN_CODE_MEMORY, "no memory for %lld words", (long long)V);
    return qn_words_of_tokens(tokenizer, V, i->begins_word, NULL);
}

static qn_status read_words(qn_inspector *i, const qn_model *model, const qn_dataset *dataset) {
    const qn_inspect_options *o = i->options;
    if (!has(i, QN_INSPECT_SYNONYMS)) return QN_OK;
    qn_status status = qn_words_related(dataset->tokenizer, o->wordnet, &i->synonyms, &i->antonyms);
    if (status) {
        leave_out(i, 1U << QN_INSPECT_SYNONYMS, qn_message(status));
        qn_status_free(status);
        return QN_OK;
    }
    QN_TRY(read_text(model, dataset, dataset->train_pattern, o->word_tokens, &i->words));
    return count_whole_words(&i->words, model, dataset->tokenizer);
}

/* ---- sentences ------------------------------------------------------------------------------- */

static qn_status read_sentences(qn_inspector *i, const qn_model *model, const qn_dataset *dataset) {
    const qn_inspect_options *o = i->options;
    const int64_t T = qn_model_plan(model)->options.seq_len;
    if (!has(i, QN_INSPECT_PICTURES)) return QN_OK;
    return qn_sentences_encode(dataset->tokenizer, i->random.bos,
                               o->sentences ? o->sentences : own_sentences,
                               o->sentences ? o->n_sentences : OWN_SENTENCES, T, &i->sentences);
}

const qn_sentences *qn_inspector_sentences(const qn_inspector *i) { return &i->sentences; }

/* ---- opening --------------------------------------------------------------------------------- */

qn_status qn_inspector_open(const qn_model *model, const qn_dataset *dataset, const char *data,
                            const qn_inspect_options *options, qn_inspector **out) {
    const qn_plan *plan = qn_model_plan(model);
    *out = NULL;
    if (options->layer >= 0) QN_TRY(qn_check_head(&plan->config, options->layer, options->head));
    qn_inspector *i = calloc(1, sizeof *i);
    if (!i) return qn_error(QN_CODE_MEMORY, "no memory for an inspection");
    *i = (qn_inspector){.options = options,
                        .parts = options->parts,
                        .random = ordinary_tokens(model, dataset, options->seed)};
    if (plan->options.seq_len < QN_PATTERN_TOKENS)
        leave_out(i, 1U << QN_INSPECT_PATTERNS,
                  "sequences are shorter than 18 tokens: patterns of heads are left out");
    qn_status status = QN_OK;
    if (!dataset) {
        leave_out(i, ~(1U << QN_INSPECT_PATTERNS),
                  "no data folder: only patterns on random tokens are measured; --data names one");
    } else {
        status = qn_dataset_check_vocab(dataset, data, plan->config.vocab_size, "the model");
        if (!dataset->tokenizer) {
            leave_out(i, 1U << QN_INSPECT_SYNONYMS | 1U << QN_INSPECT_PICTURES,
                      "the data folder has no tokenizer.model: synonyms and pictures are left out");
        }
        if (!status)
            status =
                read_text(model, dataset, dataset->val_pattern, i->options->tokens, &i->held_out);
        if (!status) status = find_beginnings(i, model, dataset->tokenizer);
        if (!status) status = read_words(i, model, dataset);
        if (!status) status = read_sentences(i, model, dataset);
    }
    if (status) {
        qn_inspector_close(i);
    } else {
        *out = i;
    }
    return status;
}

void qn_inspector_close(qn_inspector *i) {
    if (!i) return;
    qn_probe_sample_free(&i->held_out);
    qn_probe_sample_free(&i->words);
    qn_word_pairs_free(&i->synonyms);
    qn_word_pairs_free(&i->antonyms);
    qn_sentences_free(&i->sentences);
    free(i->begins_word);
    free(i);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static qn_status measure_part(const qn_inspector *i, qn_model *model, qn_inspect_part part,
                              qn_lens_figures *out) {
    const qn_inspect_options *o = i->options;
    switch (part) {
    case QN_INSPECT_PATTERNS:
        return qn_probe_patterns(model, &i->random, out);
    case QN_INSPECT_GEOMETRY:
        return qn_probe_geometry(model, &i->held_out.text, out);
    case QN_INSPECT_DISTANCE:
        return qn_probe_distance(model, &i->held_out.text, out);
    case QN_INSPECT_ABLATION:
        return qn_probe_ablation(model, &i->held_out.text, o->layer, o->head, out);
    case QN_INSPECT_LOGIT_LENS:
        return qn_probe_logit_lens(model, &i->held_out.text, i->begins_word, out);
    case QN_INSPECT_SIMILARITY:
        return qn_probe_similarity(model, &i->held_out.text, out);
    case QN_INSPECT_SYNONYMS:
        return qn_probe_synonyms(model, &i->words.text, &i->synonyms, &i->antonyms, o->seed, out);
    default:
        return QN_OK;
    }
}

void qn_inspector_note(const qn_inspector *i, const char *message) {
    if (i->options->on_note) i->options->on_note(i->options->context, message);
}

static void tell_part(const qn_inspector *i, const qn_inspect_place *place, qn_inspect_part part) {
    const qn_inspect_options *o = i->options;
    if (!o->on_part) return;
    const double done = place->done + place->share * (double)part / QN_N_INSPECT_PARTS;
    o->on_part(o->context, place->step, qn_inspect_names[part], done);
}

qn_status qn_inspector_measure(const qn_inspector *i, qn_model *model,
                               const qn_inspect_place *place, qn_lens_figures *out) {
    for (qn_inspect_part part = 0; part < QN_N_INSPECT_PARTS; part++) {
        if (!has(i, part) || (part == QN_INSPECT_ABLATION && !place->last)) continue;
        tell_part(i, place, part);
        QN_TRY(
            qn_context(measure_part(i, model, part, out), "probe of %s", qn_inspect_names[part]));
    }
    return QN_OK;
}
