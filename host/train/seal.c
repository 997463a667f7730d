#include "train/seal.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "quern/files.h"

static const char *const tokenizer_files[] = {"tokenizer.model", "tokenizer.json",
                                              "tokenizer_config.json"};
enum { N_TOKENIZER_FILES = sizeof tokenizer_files / sizeof *tokenizer_files };

static qn_status no_memory(const char *what) {
    return qn_error(QN_CODE_MEMORY, "%s: no host memory", what);
}

/* ---- files, and the notes of them --------------------------------------------------------- */

qn_status qn_seal_note(json_t *files, const char *name, uint64_t checksum) {
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, checksum);
    return json_object_set_new(files, name, json_string(text)) ? no_memory(name) : QN_OK;
}

qn_status qn_seal_file(json_t *files, const char *dir, const char *name) {
    char *path = qn_path("%s/%s", dir, name);
    if (!path) return no_memory(name);
    uint64_t checksum;
    qn_status status = qn_file_checksum(path, &checksum);
    free(path);
    return status ? status : qn_seal_note(files, name, checksum);
}

static qn_status copy_tokenizer(const char *from, const char *to, json_t *files) {
    for (int i = 0; i < N_TOKENIZER_FILES; i++) {
        char *source = qn_path("%s/%s", from, tokenizer_files[i]);
        char *target = qn_path("%s/%s", to, tokenizer_files[i]);
        char *data = NULL;
        size_t length;
        qn_status status = source && target ? QN_OK : no_memory(tokenizer_files[i]);
        const bool there = !status && qn_path_exists(source);
        if (there) status = qn_file_read(source, &data, &length);
        if (there && !status) status = qn_file_write(target, data, length);
        if (there && !status) status = qn_seal_file(files, to, tokenizer_files[i]);
        free(data);
        free(source);
        free(target);
        if (status) return status;
    }
    return QN_OK;
}

static qn_status save_config(const qn_model *model, const char *dir, json_t *files) {
    char *path = qn_path("%s/config.json", dir);
    if (!path) return no_memory(dir);
    qn_status status = qn_config_save(&qn_model_plan(model)->config, path);
    free(path);
    return status ? status : qn_seal_file(files, dir, "config.json");
}

qn_status qn_seal_model(json_t *files, const char *dir, const qn_model *model,
                        const char *tokenizer_dir) {
    uint64_t checksum;
    QN_TRY(save_config(model, dir, files));
    QN_TRY(qn_model_save(model, dir, &checksum));
    QN_TRY(qn_seal_note(files, "model.safetensors", checksum));
    return tokenizer_dir ? copy_tokenizer(tokenizer_dir, dir, files) : QN_OK;
}

/* ---- state.json ---------------------------------------------------------------------------- */

/* Of all that a state.json says but its own "checksum", written in the one way. */
static qn_status state_checksum(const json_t *root, char digits[17]) {
    json_t *rest = json_copy((json_t *)root);
    if (rest) json_object_del(rest, "checksum");
    const size_t flags = JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17);
    char *text = rest ? json_dumps(rest, flags) : NULL;
    json_decref(rest);
    if (!text) return no_memory("state.json");
    snprintf(digits, 17, "%016" PRIx64, (uint64_t)XXH3_64bits(text, strlen(text)));
    free(text);
    return QN_OK;
}

qn_status qn_seal_state(const char *dir, json_t *state, json_t *files) {
    char digits[17], *text = NULL, *path = qn_path("%s/state.json", dir);
    const bool complete = state && path && !json_object_set(state, "files", files);
    qn_status status = complete ? state_checksum(state, digits) : no_memory(dir);
    if (!status && !json_object_set_new(state, "checksum", json_string(digits)))
        text = json_dumps(state, JSON_INDENT(2));
    if (!status) status = text ? qn_file_write(path, text, strlen(text)) : no_memory(dir);
    free(path);
    free(text);
    json_decref(state);
    return status;
}

qn_status qn_seal_open(const char *dir, json_t **state) {
    char *path = qn_path("%s/state.json", dir);
    if (!path) return no_memory(dir);
    qn_status status = qn_json_load(path, state);
    free(path);
    return status;
}

/* ---- verifying ----------------------------------------------------------------------------- */

static qn_status verify_file(const char *dir, const char *name, const char *expected) {
    char *path = qn_path("%s/%s", dir, name);
    if (!path) return no_memory(dir);
    uint64_t checksum;
    qn_status status = qn_file_checksum(path, &checksum);
    char found[17];
    if (!status) {
        snprintf(found, sizeof found, "%016" PRIx64, checksum);
        if (strcmp(found, expected)) {
            status = qn_error(QN_CODE_INVALID, "%s: checksum %s, expected %s: it is damaged", path,
                              found, expected);
        }
    }
    free(path);
    return status;
}

static qn_status verify_state(const char *dir, const json_t *state) {
    char digits[17];
    QN_TRY(state_checksum(state, digits));
    const char *expected = json_string_value(json_object_get(state, "checksum"));
    if (expected && !strcmp(digits, expected)) return QN_OK;
    return qn_error(QN_CODE_INVALID, "%s/state.json: checksum %s, expected %s: it is damaged", dir,
                    digits, expected ? expected : "one that it states");
}

static qn_status verify_files(const char *dir, const json_t *files, const char *const *required) {
    for (; *required; required++)
        if (!json_is_string(json_object_get(files, *required)))
            return qn_error(QN_CODE_INVALID, "%s/state.json: no checksum of %s", dir, *required);
    const char *name;
    const json_t *checksum;
    json_object_foreach((json_t *)files, name, checksum) {
        const char *text = json_string_value(checksum);
        QN_TRY(verify_file(dir, name, text ? text : "a string"));
    }
    return QN_OK;
}

qn_status qn_seal_verify(const char *dir, const char *const *required) {
    json_t *state;
    QN_TRY(qn_seal_open(dir, &state));
    qn_status status = verify_state(dir, state);
    if (!status) status = verify_files(dir, json_object_get(state, "files"), required);
    json_decref(state);
    return status;
}
