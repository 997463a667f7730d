/* wordnet.h: which words mean the same, or the opposite: Princeton's WordNet, in the format of
 * wndb(5WN). */
#ifndef QUERN_WORDNET_H
#define QUERN_WORDNET_H

#include "quern/words.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Pairs of `words` (n_words lower-case strings; of equal ones the first counts), as indices, each
 * once, a < b, ascending; released by qn_word_pairs_free. Reads DIR/index.* and DIR/data.* of
 * nouns, verbs, adjectives and adverbs, as Debian's wordnet-base has them in /usr/share/wordnet.
 *
 *   synonyms  Words whose first sense in a part of speech is the same, and was met in the texts
 *             that WordNet's authors counted. Rarer senses are left out: most words that share one
 *             of these ("even", "yet"; "song", "strain") are no synonyms where they are read.
 *   antonyms  Words that WordNet opposes to each other ("!"), in any sense.
 *
 * Pairs of one stem are left out, since they would be close by their letters alone: where one word
 * begins or ends with the other ("happy", "unhappy"), or both begin with the same four letters or
 * more that are at least two thirds of the shorter one ("decide", "decision"). A pair that is of
 * both relations is of neither.
 *
 * A file that is missing or damaged (where it is read) is an error that names it, the line, and the
 * remedy. */
qn_status qn_wordnet_pairs(const char *dir, const char *const *words, int64_t n_words,
                           qn_word_pairs *synonyms, qn_word_pairs *antonyms);

#ifdef __cplusplus
}
#endif
#endif
