/* inspect_draw.h: attention weights of sentences, as lines of pictures.jsonl. */
#ifndef QUERN_TRAIN_INSPECT_DRAW_H
#define QUERN_TRAIN_INSPECT_DRAW_H

#include <stdio.h>

#include "quern/inspect.h"

enum { QN_LONGEST_SENTENCE = 32 }; /* tokens */

/* A sentence as tokens, begun by the boundary token where the data have one. */
typedef struct qn_sentence {
    int32_t ids[QN_LONGEST_SENTENCE];
    int64_t count;
    char *pieces[QN_LONGEST_SENTENCE]; /* text of each */
} qn_sentence;

typedef struct qn_sentences {
    qn_sentence *items;
    int64_t count;
} qn_sentences;

/* Sentences as tokens, each cut at QN_LONGEST_SENTENCE and at `most`; boundary −1: there is none.
 */
qn_status qn_sentences_encode(const qn_tokenizer *tokenizer, int32_t boundary,
                              const char *const *texts, int64_t count, int64_t most,
                              qn_sentences *out);
void qn_sentences_free(qn_sentences *sentences);

/* Those of an inspection; none where it makes no pictures. */
const qn_sentences *qn_inspector_sentences(const qn_inspector *inspector);

/* Runs the model over the sentences and writes a line for every sentence, layer and head. */
qn_status qn_draw_all(const qn_sentences *sentences, qn_model *model, const qn_inspect_place *place,
                      FILE *out);

#endif
