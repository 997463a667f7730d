/* model_source.h: what --model names. */
#ifndef QUERN_MODEL_SOURCE_H
#define QUERN_MODEL_SOURCE_H

#include "quern/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The config of a folder with config.json and weights, of a config.json, or of a preset, which
 * takes over vocab_size unless that is 0. A name with a slash or the ending ".json" is a path,
 * any other is a preset's: "./NAME" for a folder in the working folder. What there is not is
 * QN_CODE_USAGE; of a file's content, as qn_config_load has it. */
qn_status qn_model_source_config(const char *name, int64_t vocab_size, qn_config *out);

/* Whether the name is a folder, whose weights training starts from. */
bool qn_model_source_is_folder(const char *name);

#ifdef __cplusplus
}
#endif
#endif
