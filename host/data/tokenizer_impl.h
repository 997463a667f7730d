/* tokenizer_impl.h: what a tokenizer holds, for the files that make and export it. */
#ifndef QUERN_DATA_TOKENIZER_IMPL_H
#define QUERN_DATA_TOKENIZER_IMPL_H

#include "data/sentencepiece.h"
#include "quern/tokenizer.h"

#define QN_SPM_SPACE "\xE2\x96\x81" /* U+2581: a space, in SentencePiece's pieces */

struct qn_tokenizer {
    qn_spm *spm;
    int vocab_size;
    int32_t boundary_id, newline_id;
    int32_t byte_id[256];
    char *text;     /* what the tokens stand for, one after the other */
    size_t *offset; /* (vocab_size + 1): token id's text is [offset[id], offset[id + 1]) */
};

/* Writes DIR/tokenizer.json and DIR/tokenizer_config.json. */
qn_status qn_tokenizer_export(const qn_tokenizer *tokenizer, const char *dir);

#endif
