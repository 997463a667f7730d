#include "quern/words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "quern/wordnet.h"

enum { SHORTEST = 3 };

void qn_word_pairs_free(qn_word_pairs *pairs) {
    free((void *)pairs->items);
    *pairs = (qn_word_pairs){0};
}

/* A space and a word. */
static bool is_word(const char *text, size_t length) {
    if (length < SHORTEST + 1 || text[0] != ' ') return false;
    for (size_t i = 1; i < length; i++)
        if (text[i] < 'a' || text[i] > 'z') return false;
    return true;
}

static qn_status add_if_word(const qn_tokenizer *tokenizer, int32_t id, qn_words *out) {
    char *text;
    size_t length;
    QN_TRY(qn_tokenizer_decode(tokenizer, &id, 1, &text, &length));
    if (!is_word(text, length)) {
        free(text);
        return QN_OK;
    }
    memmove(text, text + 1, length);
    out->ids[out->count] = id;
    out->text[out->count++] = text;
    return QN_OK;
}

qn_status qn_words_of(const qn_tokenizer *tokenizer, qn_words *out) {
    const int32_t n = (int32_t)qn_tokenizer_vocab_size(tokenizer);
    *out = (qn_words){.text = calloc((size_t)n, sizeof *out->text),
                      .ids = calloc((size_t)n, sizeof *out->ids)};
    qn_status status = out->text && out->ids
                           ? QN_OK
                           : qn_error(QN_CODE_MEMORY, "no memory for the words of %d tokens", n);
    for (int32_t id = 0; id < n && !status; id++) status = add_if_word(tokenizer, id, out);
    if (status) qn_words_free(out);
    return status;
}

/* Every character beyond ASCII counts as a letter but Latin-1's signs (U+0080 to U+00BF) and
 * general punctuation (U+2000 to U+206F): dashes, quotation marks. */
static bool begins_with_letter(const char *text, size_t length) {
    const unsigned char first = length ? (unsigned char)text[0] : 0;
    const unsigned char second = length > 1 ? (unsigned char)text[1] : 0;
    if (first < 0x80) return (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
    return first != 0xc2 && !(first == 0xe2 && (second == 0x80 || second == 0x81));
}

qn_status qn_words_of_tokens(const qn_tokenizer *tokenizer, int64_t vocab_size, bool *begins,
                             bool *goes_on) {
    const int64_t known = qn_tokenizer_vocab_size(tokenizer);
    for (int64_t i = 0; i < vocab_size; i++) {
        const int32_t id = (int32_t)i;
        char *text = NULL;
        size_t length = 0;
        if (i < known) QN_TRY(qn_tokenizer_decode(tokenizer, &id, 1, &text, &length));
        const unsigned char c = length ? (unsigned char)text[0] : 0;
        if (begins) begins[i] = c == ' ' && length > 1;
        if (goes_on) goes_on[i] = begins_with_letter(text, length);
        free(text);
    }
    return QN_OK;
}

void qn_words_free(qn_words *words) {
    for (int64_t i = 0; i < words->count; i++) free(words->text[i]);
    free(words->text);
    free(words->ids);
    *words = (qn_words){0};
}

/* Ids ascend with indices, so pairs stay in order. */
static void name_by_ids(const qn_words *words, const qn_word_pairs *pairs) {
    qn_word_pair *items = (qn_word_pair *)pairs->items;
    for (int64_t i = 0; i < pairs->count; i++)
        items[i] = (qn_word_pair){words->ids[items[i].a], words->ids[items[i].b]};
}

qn_status qn_words_related(const qn_tokenizer *tokenizer, const char *wordnet_dir,
                           qn_word_pairs *synonyms, qn_word_pairs *antonyms) {
    qn_words words;
    QN_TRY(qn_words_of(tokenizer, &words));
    qn_status status = qn_wordnet_pairs(wordnet_dir, (const char *const *)words.text, words.count,
                                        synonyms, antonyms);
    if (!status) {
        name_by_ids(&words, synonyms);
        name_by_ids(&words, antonyms);
    }
    qn_words_free(&words);
    return status;
}
