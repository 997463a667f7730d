#include "quern/checkpoint.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "quern/files.h"
#include "quern/safetensors.h"
#include "quern/staging.h"
#include "train/fingerprint_json.h"

static const char *const tokenizer_files[] = {"tokenizer.model", "tokenizer.json",
                                              "tokenizer_config.json"};
enum { N_TOKENIZER_FILES = sizeof tokenizer_files / sizeof *tokenizer_files };

static qn_status no_memory(const char *what) {
    return qn_error(QN_CODE_MEMORY, "%s: no host memory", what);
}

/* ---- one file of a checkpoint: written, and its checksum noted ------------------------ */

static qn_status note_checksum(json_t *files, const char *name, uint64_t checksum) {
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, checksum);
    return json_object_set_new(files, name, json_string(text)) ? no_memory(name) : QN_OK;
}

static qn_status note_file(json_t *files, const char *dir, const char *name) {
    char *path = qn_path("%s/%s", dir, name);
    if (!path) return no_memory(name);
    uint64_t checksum;
    qn_status status = qn_file_checksum(path, &checksum);
    free(path);
    return status ? status : note_checksum(files, name, checksum);
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
        if (there && !status) status = note_file(files, to, tokenizer_files[i]);
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
    return status ? status : note_file(files, dir, "config.json");
}

/* ---- optimizer state ------------------------------------------------------------------- */

/* The two moments, by the prefix of their names in the file. */
static const struct {
    const char *prefix;
    qn_buffer_id buffer;
} moments[] = {{"exp_avg.", QN_BUF_ADAM_M}, {"exp_avg_sq.", QN_BUF_ADAM_V}};
enum { N_MOMENTS = sizeof moments / sizeof *moments, NAME_SIZE = 128 };

static qn_status save_optimizer(const qn_model *model, const char *dir, json_t *files) {
    const qn_params *params = qn_model_params(model);
    const int count = N_MOMENTS * params->count;
    qn_named_tensor *tensors = calloc((size_t)count, sizeof *tensors);
    char(*names)[NAME_SIZE] = calloc((size_t)count, sizeof *names);
    char *path = qn_path("%s/optimizer.safetensors", dir);
    qn_status status = QN_OK;
    if (!tensors || !names || !path) {
        status = no_memory(dir);
        goto done;
    }
    for (int i = 0; i < count; i++) {
        const int k = i / params->count;
        const qn_param *p = &params->items[i % params->count];
        float *values = qn_model_buffer(model, moments[k].buffer);
        snprintf(names[i], NAME_SIZE, "%s%s", moments[k].prefix, p->name);
        tensors[i] = (qn_named_tensor){
            names[i], qn_tensor_make(values + p->offset, QN_F32, p->rank, p->shape)};
    }
    uint64_t checksum;
    QN_TRY_GOTO(status, done,
                qn_safetensors_write_fetched(path, tensors, count, NULL, qn_fetch_from_device,
                                             qn_model_stream(model), &checksum));
    status = note_checksum(files, "optimizer.safetensors", checksum);
done:
    free(path);
    free(names);
    free(tensors);
    return status;
}

/* From the mapped file: no copy in host memory is made. */
static qn_status load_moments(const char *path, const qn_safetensors *file, qn_model *model) {
    const qn_params *params = qn_model_params(model);
    const qn_ops *ops = qn_model_backend(model)->ops;
    for (int i = 0; i < N_MOMENTS * params->count; i++) {
        const int k = i / params->count;
        const qn_param *p = &params->items[i % params->count];
        char name[NAME_SIZE];
        qn_tensor tensor;
        snprintf(name, sizeof name, "%s%s", moments[k].prefix, p->name);
        if (!qn_safetensors_find(file, name, &tensor) || tensor.dtype != QN_F32 ||
            qn_tensor_numel(&tensor) != p->count) {
            return qn_error(QN_CODE_INVALID, "%s: no fp32 tensor %s of %lld elements", path, name,
                            (long long)p->count);
        }
        float *buffer = qn_model_buffer(model, moments[k].buffer);
        QN_TRY(ops->copy(qn_model_stream(model), buffer + p->offset, tensor.data,
                         (size_t)p->count * sizeof(float), QN_COPY_TO_DEVICE));
    }
    return ops->stream_sync(qn_model_stream(model));
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

static qn_status save_state(const char *dir, const qn_train_state *state, json_t *files) {
    json_t *root =
        json_pack("{s:I, s:I, s:I, s:f, s:o, s:O}", "step", (json_int_t)state->step, "tokens",
                  (json_int_t)state->tokens, "sequences", (json_int_t)state->sequences, "seconds",
                  state->seconds, "data", qn_fingerprint_to_json(&state->data), "files", files);
    char digits[17], *text = NULL, *path = qn_path("%s/state.json", dir);
    qn_status status = root && path ? state_checksum(root, digits) : no_memory(dir);
    if (!status && !json_object_set_new(root, "checksum", json_string(digits))) {
        text = json_dumps(root, JSON_INDENT(2));
    }
    if (!status) status = text ? qn_file_write(path, text, strlen(text)) : no_memory(dir);
    free(path);
    free(text);
    json_decref(root);
    return status;
}

/* ---- saving ------------------------------------------------------------------------------ */

static qn_status write_files(const char *dir, const qn_model *model, const qn_train_state *state,
                             const char *tokenizer_dir) {
    json_t *files = json_object();
    if (!files) return no_memory(dir);
    uint64_t checksum;
    qn_status status;
    QN_TRY_GOTO(status, done, qn_dir_create(dir));
    QN_TRY_GOTO(status, done, save_config(model, dir, files));
    QN_TRY_GOTO(status, done, qn_model_save(model, dir, &checksum));
    QN_TRY_GOTO(status, done, note_checksum(files, "model.safetensors", checksum));
    QN_TRY_GOTO(status, done, save_optimizer(model, dir, files));
    if (tokenizer_dir) QN_TRY_GOTO(status, done, copy_tokenizer(tokenizer_dir, dir, files));
    status = save_state(dir, state, files);
done:
    json_decref(files);
    return status;
}

/* ---- the checkpoints of a run --------------------------------------------------------------- */

typedef struct step_list {
    int64_t *steps; /* descending */
    int count;
} step_list;

/* The N of an entry "step-N"; -1 for any other name. */
static int64_t step_of_name(const char *name) {
    if (strncmp(name, "step-", 5) || name[5] < '0' || name[5] > '9') return -1;
    char *end;
    errno = 0;
    const long long step = strtoll(name + 5, &end, 10);
    return *end || errno ? -1 : step;
}

static int newer_first(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static qn_status list_steps(const char *run, step_list *out) {
    *out = (step_list){0};
    char *path = qn_path("%s/checkpoints", run);
    if (!path) return no_memory(run);
    DIR *dir = opendir(path);
    qn_status status = QN_OK;
    if (!dir && errno != ENOENT) {
        status = qn_error(QN_CODE_IO, "%s: cannot open the folder: %s", path, strerror(errno));
    }
    for (struct dirent *entry; dir && !status && (entry = readdir(dir));) {
        const int64_t step = step_of_name(entry->d_name);
        if (step < 0) continue;
        int64_t *grown = realloc(out->steps, (size_t)(out->count + 1) * sizeof *grown);
        if (grown) {
            out->steps = grown;
            out->steps[out->count++] = step;
        } else {
            status = no_memory(path);
        }
    }
    if (dir) closedir(dir);
    free(path);
    if (out->count) qsort(out->steps, (size_t)out->count, sizeof *out->steps, newer_first);
    return status;
}

/* Renames step-N to <prefix>step-N<suffix>, which gives way. */
static qn_status rename_step(const char *run, int64_t step, const char *prefix,
                             const char *suffix) {
    char *from = qn_path("%s/checkpoints/step-%lld", run, (long long)step);
    char *to = qn_path("%s/checkpoints/%sstep-%lld%s", run, prefix, (long long)step, suffix);
    qn_status status = from && to ? qn_dir_remove(to) : no_memory(run);
    if (!status && rename(from, to)) {
        status = qn_error(QN_CODE_IO, "%s: cannot rename it to %s: %s", from, to, strerror(errno));
    }
    free(from);
    free(to);
    return status;
}

/* Removes "tmp-…" folders: what saves or removals that were cut off left. */
static qn_status remove_temporaries(const char *run) {
    char *path = qn_path("%s/checkpoints", run);
    if (!path) return no_memory(run);
    DIR *dir = opendir(path);
    qn_status status = QN_OK;
    for (struct dirent *entry; dir && !status && (entry = readdir(dir));) {
        if (strncmp(entry->d_name, "tmp-", 4)) continue;
        char *left = qn_path("%s/%s", path, entry->d_name);
        status = left ? qn_dir_remove(left) : no_memory(run);
        free(left);
    }
    if (dir) closedir(dir);
    free(path);
    return status;
}

/* Renames before it removes: whatever is called step-N is whole. */
static qn_status remove_old(const char *run, int64_t keep_last, int64_t keep_every) {
    step_list list;
    qn_status status = list_steps(run, &list);
    for (int i = 0; i < list.count && !status; i++) {
        if (i < keep_last || (keep_every && list.steps[i] % keep_every == 0)) continue;
        status = rename_step(run, list.steps[i], "tmp-", "");
    }
    free(list.steps);
    return status ? status : remove_temporaries(run);
}

qn_status qn_checkpoint_save(const char *run, const qn_model *model, const qn_train_state *state,
                             const char *tokenizer_dir, int64_t keep_last, int64_t keep_every) {
    char *temporary = qn_path("%s/checkpoints/tmp-step-%lld", run, (long long)state->step);
    char *final = qn_path("%s/checkpoints/step-%lld", run, (long long)state->step);
    qn_status status;
    if (!temporary || !final) {
        status = no_memory(run);
        goto done;
    }
    QN_TRY_GOTO(status, done, qn_dir_remove(temporary));
    status = write_files(temporary, model, state, tokenizer_dir);
    if (!status) status = qn_dir_publish(temporary, final);
    if (status) {
        qn_status_free(qn_dir_remove(temporary));
        goto done;
    }
    status = remove_old(run, keep_last, keep_every);
done:
    free(temporary);
    free(final);
    return status;
}

/* ---- finding ----------------------------------------------------------------------------- */

static qn_status load_json(const char *dir, const char *name, json_t **out) {
    char *path = qn_path("%s/%s", dir, name);
    if (!path) return no_memory(dir);
    qn_status status = qn_json_load(path, out);
    free(path);
    return status;
}

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

static qn_status verify(const char *dir) {
    static const char *const required[] = {"config.json", "model.safetensors",
                                           "optimizer.safetensors"};
    json_t *state;
    QN_TRY(load_json(dir, "state.json", &state));
    const json_t *files = json_object_get(state, "files");
    qn_status status = verify_state(dir, state);
    for (size_t i = 0; i < sizeof required / sizeof *required && !status; i++) {
        if (!json_is_string(json_object_get(files, required[i]))) {
            status =
                qn_error(QN_CODE_INVALID, "%s/state.json: no checksum of %s", dir, required[i]);
        }
    }
    const char *name;
    const json_t *checksum;
    json_object_foreach((json_t *)files, name, checksum) {
        if (status) break;
        const char *text = json_string_value(checksum);
        status = verify_file(dir, name, text ? text : "a string");
    }
    json_decref(state);
    return status;
}

qn_status qn_checkpoint_find(const char *run, int64_t step,
                             void (*note)(void *context, const char *message), void *context,
                             char **path) {
    *path = NULL;
    step_list list;
    qn_status status = list_steps(run, &list), damage = QN_OK;
    bool seen = false;
    for (int i = 0; i < list.count && !status && !*path; i++) {
        if (step >= 0 && list.steps[i] != step) continue;
        seen = true;
        char *candidate = qn_path("%s/checkpoints/step-%lld", run, (long long)list.steps[i]);
        if (!candidate) {
            status = no_memory(run);
            break;
        }
        qn_status_free(damage);
        damage = verify(candidate);
        if (!damage) {
            *path = candidate;
            break;
        }
        if (note) note(context, qn_message(damage));
        free(candidate);
    }
    free(list.steps);
    if (!status && !*path && damage) {
        return qn_context(damage, "%s: no checkpoint is whole", run);
    }
    qn_status_free(damage);
    if (!status && step >= 0 && !seen) {
        return qn_error(QN_CODE_USAGE, "%s: no checkpoint of step %lld", run, (long long)step);
    }
    return status;
}

qn_status qn_checkpoint_clean(const char *run, int64_t step) {
    QN_TRY(remove_temporaries(run));
    step_list list;
    qn_status status = list_steps(run, &list);
    for (int i = 0; i < list.count && !status && list.steps[i] > step; i++) {
        status = rename_step(run, list.steps[i], "", ".damaged");
    }
    free(list.steps);
    return status;
}

/* ---- loading ------------------------------------------------------------------------------ */

qn_status qn_checkpoint_state(const char *path, qn_train_state *out) {
    json_t *root;
    QN_TRY(load_json(path, "state.json", &root));
    char *file = qn_path("%s/state.json", path);
    qn_status status = file ? QN_OK : no_memory(path);
    if (!status) status = qn_json_int(root, file, "step", 0, INT64_MAX, &out->step);
    if (!status) status = qn_json_int(root, file, "tokens", 0, INT64_MAX, &out->tokens);
    if (!status) status = qn_json_int(root, file, "sequences", 0, INT64_MAX, &out->sequences);
    if (!status) status = qn_json_number(root, file, "seconds", 0, 1e300, &out->seconds);
    if (!status) status = qn_fingerprint_from_json(root, file, &out->data);
    free(file);
    json_decref(root);
    return status;
}

qn_status qn_checkpoint_load(const char *path, qn_model *model) {
    QN_TRY(qn_model_load(model, path));
    char *file_path = qn_path("%s/optimizer.safetensors", path);
    if (!file_path) return no_memory(path);
    qn_safetensors *file = NULL;
    qn_status status = qn_safetensors_open(file_path, &file);
    if (!status) status = load_moments(file_path, file, model);
    qn_safetensors_close(file);
    free(file_path);
    return status;
}
