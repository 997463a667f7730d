/* sentencepiece.h: SentencePiece's C++ library behind C functions. No exception
 * leaves them. The text of this interface is SentencePiece's own: spaces are U+2581. */
#ifndef QUERN_DATA_SENTENCEPIECE_H
#define QUERN_DATA_SENTENCEPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/ids.h"
#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_spm qn_spm;

/* What a piece is, in the numbering of SentencePiece's model format. */
typedef enum qn_spm_kind {
    QN_SPM_NORMAL = 1,
    QN_SPM_UNKNOWN = 2,
    QN_SPM_CONTROL = 3,
    QN_SPM_USER_DEFINED = 4,
    QN_SPM_UNUSED = 5,
    QN_SPM_BYTE = 6,
} qn_spm_kind;

typedef struct qn_spm_piece {
    const char *text; /* borrowed */
    size_t length;
    float score; /* of a normal piece: merges with higher scores come first */
    qn_spm_kind kind;
} qn_spm_piece;

/* Yields the next sentence of the training text, or false after the last. */
typedef bool (*qn_spm_next)(void *context, const char **text, size_t *length);

/* Trains byte-pair encoding with byte fallback, identity normalisation, digits apart
 * and "\n" a piece of its own. The model has vocab_size pieces, or fewer when the
 * sentences do not yield as many. */
qn_status qn_spm_train(qn_spm_next next, void *context, int vocab_size, int n_threads,
                       qn_spm **out);
/* Loads a serialized model. SentencePiece trusts the tables in it: check the bytes with
 * qn_spm_check first. */
qn_status qn_spm_load(const void *model, size_t length, qn_spm **out);
void qn_spm_free(qn_spm *spm);

/* The serialized model, borrowed. */
const void *qn_spm_model(const qn_spm *spm, size_t *length);
int qn_spm_size(const qn_spm *spm);
qn_spm_piece qn_spm_at(const qn_spm *spm, int id);
/* The id of a normal piece, -1 when there is none with this text. */
int qn_spm_find(const qn_spm *spm, const char *text, size_t length);

/* Appends the ids of UTF-8 text without zero bytes. */
qn_status qn_spm_encode(const qn_spm *spm, const char *text, size_t length, qn_ids *ids);

#ifdef __cplusplus
}
#endif
#endif
