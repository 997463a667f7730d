#include "cli/token_writer.h"

#include <stdlib.h>

bool qn_token_write(void *writer, int32_t token) {
    qn_token_writer *w = writer;
    if (token == qn_tokenizer_boundary_id(w->tokenizer)) return false;
    char *text;
    size_t length;
    w->status = qn_tokenizer_decode(w->tokenizer, &token, 1, &text, &length);
    if (w->status) return false;
    fwrite(text, 1, length, w->out);
    fflush(w->out);
    free(text);
    return true;
}
