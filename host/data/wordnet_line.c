#include "data/wordnet_line.h"

#include <string.h>

/* The next of the fields, which single spaces separate; empty at the end. */
static qn_span next_field(qn_span *rest) {
    const char *space = rest->length ? memchr(rest->text, ' ', rest->length) : NULL;
    const size_t length = space ? (size_t)(space - rest->text) : rest->length;
    const qn_span field = {rest->text, length};
    const size_t step = space ? length + 1 : length;
    rest->text += step;
    rest->length -= step;
    return field;
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return 99;
}

/* A field of 1 to 9 digits. */
static bool number(qn_span field, int base, int64_t *out) {
    if (field.length < 1 || field.length > 9) return false;
    *out = 0;
    for (size_t i = 0; i < field.length; i++) {
        if (digit(field.text[i]) >= base) return false;
        *out = *out * base + digit(field.text[i]);
    }
    return true;
}

static bool next_number(qn_span *rest, int base, int64_t *out) {
    return number(next_field(rest), base, out);
}

static bool skip_fields(qn_span *rest, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (next_field(rest).length == 0) return false;
    return true;
}

/* lemma pos synset_cnt p_cnt [symbol...] sense_cnt tagsense_cnt synset_offset... */
bool qn_index_line_parse(qn_span line, qn_index_line *out) {
    int64_t pointers, senses, counted, offset;
    out->lemma = next_field(&line);
    const qn_span part = next_field(&line);
    if (out->lemma.length == 0 || part.length != 1) return false;
    if (!next_number(&line, 10, &out->n_senses) || out->n_senses < 1) return false;
    if (!next_number(&line, 10, &pointers) || !skip_fields(&line, pointers)) return false;
    if (!next_number(&line, 10, &senses) || senses != out->n_senses) return false;
    if (!next_number(&line, 10, &counted)) return false;
    out->counted = counted > 0;
    out->senses = line;
    for (int64_t i = 0; i < out->n_senses; i++)
        if (!qn_next_sense(&line, &offset)) return false;
    return true;
}

bool qn_next_sense(qn_span *senses, int64_t *offset) { return next_number(senses, 10, offset); }

/* synset_offset lex_filenum ss_type w_cnt word lex_id [word lex_id...] p_cnt [ptr...] … */
bool qn_synset_parse(qn_span line, qn_synset *out) {
    if (!next_number(&line, 10, &out->offset) || !skip_fields(&line, 2)) return false;
    if (!next_number(&line, 16, &out->n_words)) return false;
    out->words = line;
    if (!skip_fields(&line, 2 * out->n_words)) return false;
    if (!next_number(&line, 10, &out->n_pointers)) return false;
    out->pointers = line;
    return skip_fields(&line, 4 * out->n_pointers);
}

bool qn_synset_word(const qn_synset *set, int64_t n, qn_span *out) {
    qn_span words = set->words;
    if (n < 1 || n > set->n_words || !skip_fields(&words, 2 * (n - 1))) return false;
    *out = next_field(&words);
    const char *marker = memchr(out->text, '(', out->length);
    if (marker) out->length = (size_t)(marker - out->text);
    return true;
}

/* pointer_symbol synset_offset pos source/target */
bool qn_next_pointer(qn_span *pointers, qn_pointer *out) {
    out->symbol = next_field(pointers);
    if (!next_number(pointers, 10, &out->offset)) return false;
    const qn_span part = next_field(pointers), words = next_field(pointers);
    if (part.length != 1 || words.length != 4) return false;
    out->part = part.text[0];
    return number((qn_span){words.text, 2}, 16, &out->source) &&
           number((qn_span){words.text + 2, 2}, 16, &out->target);
}
