#include "train/inspect_draw.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- sentences as tokens --------------------------------------------------------------------- */

static qn_status add_piece(const qn_tokenizer *tokenizer, qn_sentence *s, int32_t id) {
    size_t length;
    s->ids[s->count] = id;
    QN_TRY(qn_tokenizer_decode(tokenizer, &id, 1, &s->pieces[s->count], &length));
    s->count++;
    return QN_OK;
}

static qn_status encode(const qn_tokenizer *tokenizer, int32_t boundary, const char *text,
                        int64_t most, qn_sentence *out) {
    int32_t *ids;
    size_t count;
    QN_TRY(qn_tokenizer_encode(tokenizer, text, strlen(text), &ids, &count));
    qn_status status = boundary >= 0 ? add_piece(tokenizer, out, boundary) : QN_OK;
    for (size_t i = 0; i < count && out->count < most && !status; i++)
        status = add_piece(tokenizer, out, ids[i]);
    free(ids);
    return status;
}

qn_status qn_sentences_encode(const qn_tokenizer *tokenizer, int32_t boundary,
                              const char *const *texts, int64_t count, int64_t most,
                              qn_sentences *out) {
    *out = (qn_sentences){calloc((size_t)count, sizeof *out->items), count};
    if (!out->items) return qn_error(QN_CODE_MEMORY, "no memory for sentences");
    if (most > QN_LONGEST_SENTENCE) most = QN_LONGEST_SENTENCE;
    qn_status status = QN_OK;
    for (int64_t i = 0; i < count && !status; i++)
        status = encode(tokenizer, boundary, texts[i], most, &out->items[i]);
    if (status) qn_sentences_free(out);
    return status;
}

void qn_sentences_free(qn_sentences *sentences) {
    for (int64_t i = 0; i < sentences->count && sentences->items; i++)
        for (int64_t j = 0; j < QN_LONGEST_SENTENCE; j++) free(sentences->items[i].pieces[j]);
    free(sentences->items);
    *sentences = (qn_sentences){0};
}

/* ---- a picture ------------------------------------------------------------------------------- */

/* Text as a JSON string; bytes that are no UTF-8 by themselves, as parts of a character are, as
 * "\xNN". */
static qn_status write_piece(FILE *out, const char *piece) {
    json_t *string = json_string(piece);
    char bytes[8 * QN_LONGEST_SENTENCE];
    size_t at = 0;
    for (const char *c = piece; !string && *c && at + 5 < sizeof bytes; c++)
        at += (size_t)snprintf(bytes + at, sizeof bytes - at, "\\x%02x", (unsigned char)*c);
    if (!string) string = json_stringn(bytes, at);
    const int failed = !string || json_dumpf(string, out, JSON_ENCODE_ANY);
    json_decref(string);
    return failed ? qn_error(QN_CODE_MEMORY, "no memory for a token's text") : QN_OK;
}

static qn_status write_tokens(FILE *out, const qn_sentence *s) {
    for (int64_t i = 0; i < s->count; i++) {
        if (i) fputc(',', out);
        QN_TRY(write_piece(out, s->pieces[i]));
    }
    return QN_OK;
}

static void write_weights(FILE *out, const double *weights, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j <= i; j++) {
            const double weight = weights[i * count + j];
            if (i) fputc(',', out);
            isfinite(weight) ? fprintf(out, "%ld", lround(100 * weight)) : fputs("null", out);
        }
}

static qn_status draw_head(const qn_sentence *s, int64_t number, qn_model *model, int64_t layer,
                           int64_t head, const qn_inspect_place *place, FILE *out) {
    double weights[QN_LONGEST_SENTENCE * QN_LONGEST_SENTENCE];
    QN_TRY(qn_probe_weights(model, layer, head, 0, s->count, weights));
    fprintf(out, "{\"step\":%lld,\"layer\":%lld,\"head\":%lld,\"sentence\":%lld,\"tokens\":[",
            (long long)place->step, (long long)layer, (long long)head, (long long)number);
    QN_TRY(write_tokens(out, s));
    fputs("],\"weights\":[", out);
    write_weights(out, weights, s->count);
    fputs("]}\n", out);
    return QN_OK;
}

/* The sentence is the first sequence of the batch; what follows it is padding. `ids`: 3·B·T. */
static qn_status run_sentence(const qn_sentence *s, qn_model *model, int32_t *ids) {
    const qn_plan_options *plan = &qn_model_plan(model)->options;
    const int64_t N = plan->batch_size * plan->seq_len;
    double loss;
    memset(ids, 0, (size_t)(3 * N) * sizeof *ids);
    memcpy(ids, s->ids, (size_t)s->count * sizeof *ids);
    for (int64_t i = 0; i < N; i++) ids[N + i] = -1;
    const qn_batch batch = {ids, ids + N, ids + 2 * N};
    return qn_model_evaluate(model, &batch, &loss);
}

static qn_status draw(const qn_sentence *s, int64_t number, qn_model *model, int32_t *ids,
                      const qn_inspect_place *place, FILE *out) {
    const qn_config *config = &qn_model_plan(model)->config;
    QN_TRY(run_sentence(s, model, ids));
    for (int64_t l = 0; l < config->n_layers; l++)
        for (int64_t h = 0; h < config->n_heads; h++)
            QN_TRY(draw_head(s, number, model, l, h, place, out));
    return QN_OK;
}

qn_status qn_draw_all(const qn_sentences *sentences, qn_model *model, const qn_inspect_place *place,
                      FILE *out) {
    const qn_plan_options *plan = &qn_model_plan(model)->options;
    int32_t *ids = malloc((size_t)(3 * plan->batch_size * plan->seq_len) * sizeof *ids);
    if (!ids) return qn_error(QN_CODE_MEMORY, "no memory for a sentence's batch");
    qn_status status = QN_OK;
    for (int64_t i = 0; i < sentences->count && !status; i++)
        status = draw(&sentences->items[i], i, model, ids, place, out);
    free(ids);
    return status;
}
