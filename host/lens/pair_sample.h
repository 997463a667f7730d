/* pair_sample.h: words of a text, and the pairs of them that are compared. */
#ifndef QUERN_LENS_PAIR_SAMPLE_H
#define QUERN_LENS_PAIR_SAMPLE_H

#include "quern/probe.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    QN_WORD_OCCURRENCES = 5, /* that a word has in the text at least */
    QN_MATCHED_PER_PAIR = 8, /* pairs of other words, as frequent, for each pair */
};

typedef enum qn_pair_set_id {
    QN_SYNONYMS,
    QN_SYNONYMS_MATCHED,
    QN_SYNONYMS_REPAIRED,
    QN_ANTONYMS,
    QN_ANTONYMS_MATCHED,
    QN_N_PAIR_SETS,
} qn_pair_set_id;

/* Pairs of indices of words. */
typedef struct qn_pair_set {
    qn_word_pair *items;
    int64_t count;
} qn_pair_set;

typedef struct qn_pair_sample {
    int64_t vocab_size, n_words;
    int32_t *word_of; /* (vocab_size) index of a token's word, −1: none */
    int32_t *ids;     /* (n_words) token ids, ascending */
    int64_t *counts;  /* (n_words) occurrences */
    qn_pair_set sets[QN_N_PAIR_SETS];
} qn_pair_sample;

/* Words are those of the pairs that the text has often enough, and their pairs. For each pair
 * (a,b), matched ones are (a',b') of two words, not known to be related, with a' as frequent as a
 * and b' as b: of the 16 nearest by the ratio of occurrences. Re-paired synonyms exchange their
 * second words among eight pairs whose second words follow each other in frequency. A function of
 * its arguments and `seed`. */
qn_status qn_pair_sample_make(qn_model *model, const qn_probe_text *text,
                              const qn_word_pairs *synonyms, const qn_word_pairs *antonyms,
                              uint64_t seed, qn_pair_sample *out);
void qn_pair_sample_free(qn_pair_sample *sample);

#ifdef __cplusplus
}
#endif
#endif
