/* rdata.h: character vectors out of R's lazy-load data files (Rdata.rdb). */
#ifndef QUERN_DATA_RDATA_H
#define QUERN_DATA_RDATA_H

#include <stddef.h>

#include "data/corpus.h"
#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends each vector, in the file's order, as a document: its strings joined by
 * newlines. The file is a row of streams: the inflated length (big-endian uint32), then
 * zlib data. Inflated, each is R's serialization in XDR (R Internals, 1.8): "X\n", version
 * 2 or 3 with its header, and a STRSXP of CHARSXP. `name` is for errors. */
qn_status qn_rdata_load(qn_corpus *corpus, const char *name, const char *data, size_t length);

#ifdef __cplusplus
}
#endif
#endif
