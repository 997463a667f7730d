/* wordnet_line.h: lines of WordNet's files, as wndb(5WN) defines them. */
#ifndef QUERN_DATA_WORDNET_LINE_H
#define QUERN_DATA_WORDNET_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Part of a file's text. */
typedef struct qn_span {
    const char *text;
    size_t length;
} qn_span;

/* A line of index.*: a lemma and its senses, the most frequent first. */
typedef struct qn_index_line {
    qn_span lemma;
    bool counted; /* the first sense was met in counted texts */
    int64_t n_senses;
    qn_span senses; /* the fields that qn_next_sense takes */
} qn_index_line;

/* False: the line (without its end) is damaged. */
bool qn_index_line_parse(qn_span line, qn_index_line *out);
/* The place in data.* of the next sense; false when there is none that is a number. */
bool qn_next_sense(qn_span *senses, int64_t *offset);

/* A line of data.*: a set of synonyms. */
typedef struct qn_synset {
    int64_t offset;
    int64_t n_words, n_pointers;
    qn_span words, pointers; /* the fields of them */
} qn_synset;

bool qn_synset_parse(qn_span line, qn_synset *out);
/* A word from 1 on as it was written, without the marker that adjectives may have. */
bool qn_synset_word(const qn_synset *set, int64_t number, qn_span *out);

typedef struct qn_pointer {
    qn_span symbol;         /* "!": antonym */
    int64_t offset;         /* of the other set */
    char part;              /* of speech of the other set: n, v, a, s or r */
    int64_t source, target; /* numbers of words; 0: of the whole set */
} qn_pointer;

/* The next of the pointers; false when there is none that is whole. */
bool qn_next_pointer(qn_span *pointers, qn_pointer *out);

#endif
