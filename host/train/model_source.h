/* model_source.h: what --model names. */
#ifndef QUERN_MODEL_SOURCE_H
#define QUERN_MODEL_SOURCE_H

#include "quern/config.h"

typedef struct qn_model_source {
    qn_config config;
    char *weights_dir; /* malloc'ed; NULL: start from initial values */
} qn_model_source;

/* A folder with config.json and weights, a config.json, or a preset, which takes over
 * vocab_size unless that is 0. */
qn_status qn_model_source_open(const char *name, int64_t vocab_size, qn_model_source *out);

#endif
