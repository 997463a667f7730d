/* words.h: words that are one token each, and pairs of them. */
#ifndef QUERN_WORDS_H
#define QUERN_WORDS_H

#include <stdbool.h>

#include "quern/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Two words, a < b: token ids, or indices of a list of words. */
typedef struct qn_word_pair {
    int32_t a, b;
} qn_word_pair;

typedef struct qn_word_pairs {
    const qn_word_pair *items;
    int64_t count;
} qn_word_pairs;

/* Of pairs whose items were malloc'ed. */
void qn_word_pairs_free(qn_word_pairs *pairs);

typedef struct qn_words {
    int64_t count;
    char **text; /* lower-case ASCII letters, at least three */
    int32_t *ids;
} qn_words;

/* The tokens that stand for a space and a whole word behind it ("▁word", "Ġword"), by ascending
 * id. Such a token may be the beginning of a longer word as well. */
qn_status qn_words_of(const qn_tokenizer *tokenizer, qn_words *out);
void qn_words_free(qn_words *words);

/* Of each id below vocab_size (false beyond the tokenizer's): does its text begin a word, with a
 * space and more behind it; does it go on with the word before it, with a letter (beyond ASCII:
 * with anything but Latin-1's signs and general punctuation)? (vocab_size) each; nullable. */
qn_status qn_words_of_tokens(const qn_tokenizer *tokenizer, int64_t vocab_size, bool *begins,
                             bool *goes_on);

/* Synonyms and antonyms of WordNet (wordnet.h) among these words, as token ids; released by
 * qn_word_pairs_free. */
qn_status qn_words_related(const qn_tokenizer *tokenizer, const char *wordnet_dir,
                           qn_word_pairs *synonyms, qn_word_pairs *antonyms);

#ifdef __cplusplus
}
#endif
#endif
