/* seal.h: folders whose state.json has a checksum of every other file, and of itself. */
#ifndef QUERN_TRAIN_SEAL_H
#define QUERN_TRAIN_SEAL_H

#include <jansson.h>

#include "quern/model.h"

/* Notes the checksum of a file in `files`, an object of names; what it is, or of DIR/name. */
qn_status qn_seal_note(json_t *files, const char *name, uint64_t checksum);
qn_status qn_seal_file(json_t *files, const char *dir, const char *name);

/* Writes, and notes, what `transformers` opens: config.json, model.safetensors and a copy of
 * tokenizer_dir's tokenizer files (nullable). */
qn_status qn_seal_model(json_t *files, const char *dir, const qn_model *model,
                        const char *tokenizer_dir);

/* Writes DIR/state.json: `state`, which the call takes over, with "files" and its "checksum". */
qn_status qn_seal_state(const char *dir, json_t *state, json_t *files);

/* Reads DIR/state.json, unverified. */
qn_status qn_seal_open(const char *dir, json_t **state);

/* QN_CODE_INVALID where a file, or state.json itself, does not agree with its checksum, or a
 * required one (ended by NULL) has none. */
qn_status qn_seal_verify(const char *dir, const char *const *required);

#endif
