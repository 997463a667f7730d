#include "quern/checkpoint.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/json.h"
#include "quern/files.h"
#include "quern/safetensors.h"
#include "quern/staging.h"
#include "train/fingerprint_json.h"
#include "train/seal.h"
#include "train/step_folders.h"

static qn_status no_memory(const char *what) {
    return qn_error(QN_CODE_MEMORY, "%s: no host memory", what);
}

static qn_status folder_of(const char *run, char **folder) {
    *folder = qn_path("%s/checkpoints", run);
    return *folder ? QN_OK : no_memory(run);
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
    status = qn_seal_note(files, "optimizer.safetensors", checksum);
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

/* ---- saving ------------------------------------------------------------------------------ */

static qn_status save_state(const char *dir, const qn_train_state *state, json_t *files) {
    json_t *root =
        json_pack("{s:I, s:I, s:I, s:f, s:o}", "step", (json_int_t)state->step, "tokens",
                  (json_int_t)state->tokens, "sequences", (json_int_t)state->sequences, "seconds",
                  state->seconds, "data", qn_fingerprint_to_json(&state->data));
    return qn_seal_state(dir, root, files);
}

static qn_status write_files(const char *dir, const qn_model *model, const qn_train_state *state,
                             const char *tokenizer_dir) {
    json_t *files = json_object();
    qn_status status = files ? qn_seal_model(files, dir, model, tokenizer_dir) : no_memory(dir);
    if (!status) status = save_optimizer(model, dir, files);
    if (!status) status = save_state(dir, state, files);
    json_decref(files);
    return status;
}

static qn_status publish(const char *folder, const qn_model *model, const qn_train_state *state,
                         const char *tokenizer_dir) {
    char *dir;
    QN_TRY(qn_step_folder_begin(folder, state->step, &dir));
    return qn_step_folder_end(folder, state->step, dir,
                              write_files(dir, model, state, tokenizer_dir));
}

static qn_status remove_old(const char *folder, int64_t keep_last, int64_t keep_every) {
    int64_t *steps, count;
    qn_status status = qn_step_folders(folder, &steps, &count);
    for (int64_t i = 0; i < count - keep_last && !status; i++) {
        if (keep_every && steps[i] % keep_every == 0) continue;
        status = qn_step_folder_remove(folder, steps[i]);
    }
    free(steps);
    return status;
}

qn_status qn_checkpoint_save(const char *run, const qn_model *model, const qn_train_state *state,
                             const char *tokenizer_dir, int64_t keep_last, int64_t keep_every) {
    char *folder;
    QN_TRY(folder_of(run, &folder));
    qn_status status = publish(folder, model, state, tokenizer_dir);
    if (!status) status = remove_old(folder, keep_last, keep_every);
    free(folder);
    return status;
}

/* ---- finding ----------------------------------------------------------------------------- */

static qn_status verify(const char *path) {
    static const char *const required[] = {"config.json", "model.safetensors",
                                           "optimizer.safetensors", NULL};
    return qn_seal_verify(path, required);
}

/* The newest of `steps`, which ascend, that is whole, or the one of `step`; `damage` is the last
 * that was found. */
static qn_status find_whole(const char *folder, const int64_t *steps, int64_t count,
                            void (*note)(void *context, const char *message), void *context,
                            char **path, qn_status *damage) {
    for (int64_t i = count - 1; i >= 0 && !*path; i--) {
        char *candidate = qn_path("%s/step-%lld", folder, (long long)steps[i]);
        if (!candidate) return no_memory(folder);
        qn_status_free(*damage);
        *damage = verify(candidate);
        if (!*damage) {
            *path = candidate;
            break;
        }
        if (note) note(context, qn_message(*damage));
        free(candidate);
    }
    return QN_OK;
}

/* Leaves `step` alone in the list; QN_CODE_USAGE where it is not there. */
static qn_status choose(const char *run, int64_t step, int64_t *steps, int64_t *count) {
    for (int64_t i = 0; i < *count; i++) {
        if (steps[i] != step) continue;
        steps[0] = step;
        *count = 1;
        return QN_OK;
    }
    return qn_error(QN_CODE_USAGE, "%s: no checkpoint of step %lld", run, (long long)step);
}

qn_status qn_checkpoint_find(const char *run, int64_t step,
                             void (*note)(void *context, const char *message), void *context,
                             char **path) {
    *path = NULL;
    char *folder;
    int64_t *steps, count;
    qn_status damage = QN_OK;
    QN_TRY(folder_of(run, &folder));
    qn_status status = qn_step_folders(folder, &steps, &count);
    if (!status && step >= 0) status = choose(run, step, steps, &count);
    if (!status) status = find_whole(folder, steps, count, note, context, path, &damage);
    free(steps);
    free(folder);
    if (!status && !*path && damage) return qn_context(damage, "%s: no checkpoint is whole", run);
    qn_status_free(damage);
    return status;
}

qn_status qn_checkpoint_clean(const char *run, int64_t step) {
    char *folder;
    int64_t *steps, count;
    QN_TRY(folder_of(run, &folder));
    qn_status status = qn_step_folders_tidy(folder);
    if (status) goto done;
    status = qn_step_folders(folder, &steps, &count);
    for (int64_t i = count - 1; i >= 0 && !status && steps[i] > step; i--)
        status = qn_step_folder_set_aside(folder, steps[i], ".damaged");
    free(steps);
done:
    free(folder);
    return status;
}

/* ---- loading ------------------------------------------------------------------------------ */

qn_status qn_checkpoint_state(const char *path, qn_train_state *out) {
    json_t *root;
    QN_TRY(qn_seal_open(path, &root));
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
