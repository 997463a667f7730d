#include "quern/snapshot.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/json.h"
#include "quern/files.h"
#include "train/seal.h"
#include "train/step_folders.h"

/* Up to this step snapshots are at powers of two. */
enum { LAST_POWER = 512 };

static qn_status no_memory(const char *what) {
    return qn_error(QN_CODE_MEMORY, "%s: no host memory", what);
}

static qn_status folder_of(const char *run, char **folder) {
    *folder = qn_path("%s/probes", run);
    return *folder ? QN_OK : no_memory(run);
}

bool qn_snapshot_due(int64_t step, int64_t every, int64_t last) {
    if (!every) return false;
    if (step == last) return true;
    return step <= LAST_POWER ? (step & (step - 1)) == 0 : step % every == 0;
}

/* ---- saving -------------------------------------------------------------------------------- */

static qn_status write_files(const char *dir, const qn_model *model, int64_t step, int64_t tokens,
                             const char *tokenizer_dir) {
    json_t *files = json_object();
    qn_status status = files ? qn_seal_model(files, dir, model, tokenizer_dir) : no_memory(dir);
    if (!status) {
        json_t *state =
            json_pack("{s:I, s:I}", "step", (json_int_t)step, "tokens", (json_int_t)tokens);
        status = qn_seal_state(dir, state, files);
    }
    json_decref(files);
    return status;
}

static qn_status publish(const char *folder, const qn_model *model, int64_t step, int64_t tokens,
                         const char *tokenizer_dir) {
    char *dir;
    QN_TRY(qn_step_folder_begin(folder, step, &dir));
    return qn_step_folder_end(folder, step, dir,
                              write_files(dir, model, step, tokens, tokenizer_dir));
}

qn_status qn_snapshot_save(const char *run, const qn_model *model, int64_t step, int64_t tokens,
                           const char *tokenizer_dir) {
    char *folder;
    QN_TRY(folder_of(run, &folder));
    qn_status status = qn_step_folder_remove(folder, step);
    if (!status) status = publish(folder, model, step, tokens, tokenizer_dir);
    free(folder);
    return status;
}

/* ---- finding ------------------------------------------------------------------------------- */

qn_status qn_snapshot_steps(const char *run, int64_t **steps, int64_t *count) {
    char *folder;
    QN_TRY(folder_of(run, &folder));
    qn_status status = qn_step_folders(folder, steps, count);
    free(folder);
    return status;
}

/* The folder's own step must be that of its name: a copy of another's files agrees with its
 * checksums. */
static qn_status read_state(const char *path, int64_t step, int64_t *tokens) {
    json_t *root;
    int64_t stated = -1;
    QN_TRY(qn_seal_open(path, &root));
    char *file = qn_path("%s/state.json", path);
    qn_status status = file ? QN_OK : no_memory(path);
    if (!status) status = qn_json_int(root, file, "step", 0, INT64_MAX, &stated);
    if (!status && stated != step)
        status =
            qn_error(QN_CODE_INVALID, "%s: \"step\" is %lld, expected %lld, as its folder says",
                     file, (long long)stated, (long long)step);
    if (!status) status = qn_json_int(root, file, "tokens", 0, INT64_MAX, tokens);
    free(file);
    json_decref(root);
    return status;
}

static qn_status check(const char *run, const char *path, int64_t step, int64_t *tokens) {
    static const char *const required[] = {"config.json", "model.safetensors", NULL};
    if (!qn_path_exists(path))
        return qn_error(QN_CODE_USAGE, "%s: no probe of step %lld", run, (long long)step);
    QN_TRY(qn_seal_verify(path, required));
    return read_state(path, step, tokens);
}

qn_status qn_snapshot_find(const char *run, int64_t step, char **path, int64_t *tokens) {
    int64_t unused;
    *path = qn_path("%s/probes/step-%lld", run, (long long)step);
    qn_status status = *path ? check(run, *path, step, tokens ? tokens : &unused) : no_memory(run);
    if (!status) return QN_OK;
    free(*path);
    *path = NULL;
    return status;
}

/* ---- going on ------------------------------------------------------------------------------ */

static qn_status remove_beyond(const char *folder, int64_t step) {
    int64_t *steps, count;
    qn_status status = qn_step_folders(folder, &steps, &count);
    for (int64_t i = count - 1; i >= 0 && !status && steps[i] > step; i--)
        status = qn_step_folder_remove(folder, steps[i]);
    free(steps);
    return status;
}

qn_status qn_snapshot_clean(const char *run, int64_t step) {
    char *folder;
    QN_TRY(folder_of(run, &folder));
    qn_status status = qn_step_folders_tidy(folder);
    if (!status) status = remove_beyond(folder, step);
    free(folder);
    return status;
}
