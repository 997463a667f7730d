/* token_writer.h: prints a text token by token. */
#ifndef QUERN_CLI_TOKEN_WRITER_H
#define QUERN_CLI_TOKEN_WRITER_H

#include <stdbool.h>
#include <stdio.h>

#include "quern/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_token_writer {
    const qn_tokenizer *tokenizer;
    FILE *out;
    qn_status status; /* of the first token that could not be decoded; the caller's */
} qn_token_writer;

/* Writes a token's bytes, which may end inside a character that the next token ends. False at
 * the end of a document, which writes nothing, and after an error. An `emit` of qn_generate. */
bool qn_token_write(void *writer, int32_t token);

#ifdef __cplusplus
}
#endif
#endif
