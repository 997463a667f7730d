/* manifest.h: data.json, what a data folder says about itself. */
#ifndef QUERN_DATA_MANIFEST_H
#define QUERN_DATA_MANIFEST_H

#include <jansson.h>
#include <stdint.h>

#include "data/corpus.h"
#include "quern/dataset.h"
#include "quern/status.h"

typedef struct qn_split_counts {
    int64_t tokens, bytes, documents; /* bytes of text; a document cut in two counts twice */
} qn_split_counts;

typedef struct qn_manifest {
    int64_t vocab_size, boundary_id;
    qn_split_counts train, val;
    qn_examples examples; /* length 0: running text */
} qn_manifest;

/* {"corpus", "vocab_size", "val_fraction", "sources": [{"file", "bytes", "xxh3"}]}: all that
 * a data folder depends on. Reads the sources for their checksums. */
qn_status qn_manifest_recipe(const qn_prepare_options *options, const qn_sources *sources,
                             json_t **out);

/* Writes DIR/data.json: the manifest, and the recipe (nullable) under "made_from". */
qn_status qn_manifest_write(const char *dir, const qn_manifest *manifest, json_t *recipe);
/* Reads it; *recipe is NULL when the file has none, else released by the caller, who frees the
 * manifest's examples too. */
qn_status qn_manifest_read(const char *path, qn_manifest *out, json_t **recipe);

#endif
