/* tokenizer.h: text to token ids and back; SentencePiece BPE with byte fallback. */
#ifndef QUERN_TOKENIZER_H
#define QUERN_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_tokenizer qn_tokenizer;

/* Learns a vocabulary of exactly vocab_size pieces from UTF-8 text. */
qn_status qn_tokenizer_train(const char *text, size_t length, int vocab_size, int n_threads,
                             qn_tokenizer **out);
/* Opens a SentencePiece model file (tokenizer.model). */
qn_status qn_tokenizer_open(const char *path, qn_tokenizer **out);
void qn_tokenizer_close(qn_tokenizer *tokenizer);

/* Writes DIR/tokenizer.model (SentencePiece), DIR/tokenizer.json and
 * DIR/tokenizer_config.json (Hugging Face), each whole or not at all. */
qn_status qn_tokenizer_save(const qn_tokenizer *tokenizer, const char *dir);

int qn_tokenizer_vocab_size(const qn_tokenizer *tokenizer);
/* The token between documents ("<s>"). */
int32_t qn_tokenizer_boundary_id(const qn_tokenizer *tokenizer);

/* Encodes any bytes (text that is not UTF-8 falls back to byte pieces); newlines are
 * pieces of their own. *ids is malloc'ed, freed by the caller. Decoding gives the
 * bytes back exactly; boundary tokens decode to nothing. */
qn_status qn_tokenizer_encode(const qn_tokenizer *tokenizer, const char *text, size_t length,
                              int32_t **ids, size_t *count);
/* The text of the ids one after the other: decoded one by one they give the same bytes.
 * *text is malloc'ed and ends with a zero byte that *length does not count. */
qn_status qn_tokenizer_decode(const qn_tokenizer *tokenizer, const int32_t *ids, size_t count,
                              char **text, size_t *length);
/* Bytes of text that a token stands for: 1 for a byte piece, 0 for a control token. */
int qn_tokenizer_token_bytes(const qn_tokenizer *tokenizer, int32_t id);

#ifdef __cplusplus
}
#endif
#endif
