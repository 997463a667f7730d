#include "train/environment.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "quern/files.h"
#include "quern/version.h"
#include "train/fingerprint_json.h"

static const char *text_of(const json_t *environment, const char *key) {
    const char *text = json_string_value(json_object_get(environment, key));
    return text ? text : "unknown";
}

/* Older versions did not tell everything. */
static bool same_place(const json_t *before, const json_t *now) {
    static const char *const keys[] = {"version", "commit", "device", "precision"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const bool told = json_object_get(before, keys[i]);
        if (told && strcmp(text_of(before, keys[i]), text_of(now, keys[i]))) return false;
    }
    return true;
}

/* Adds `text`, which it frees, to `changes`, and to *change behind what is there. */
static qn_status add(char *text, json_t *changes, char **change) {
    char *all = text && *change ? qn_path("%s; %s", *change, text) : text ? strdup(text) : NULL;
    const bool failed = !all || json_array_append_new(changes, json_string(text));
    free(text);
    free(failed ? all : *change);
    if (failed) return qn_error(QN_CODE_MEMORY, "no memory for run.json");
    *change = all;
    return QN_OK;
}

static qn_status compare_places(const json_t *before, const json_t *now, int64_t step,
                                json_t *changes, char **change) {
    if (same_place(before, now)) return QN_OK;
    return add(qn_path("from step %lld on quern %s (%s) runs on %s in %s, before quern %s (%s) on "
                       "%s in %s",
                       (long long)step, text_of(now, "version"), text_of(now, "commit"),
                       text_of(now, "device"), text_of(now, "precision"),
                       text_of(before, "version"), text_of(before, "commit"),
                       text_of(before, "device"), text_of(before, "precision")),
               changes, change);
}

/* `options`: all that the earlier run.json says. */
static qn_status compare_roundings(const json_t *options, const char *now, int64_t step,
                                   json_t *changes, char **change) {
    const char *before = json_string_value(json_object_get(options, "weight-rounding"));
    if (!before || !strcmp(before, now)) return QN_OK;
    return add(qn_path("from step %lld on --weight-rounding is %s, before %s", (long long)step, now,
                       before),
               changes, change);
}

/* What an earlier run.json says of changes, and the one that there is now. */
static qn_status add_changes(const char *path, const char *weight_rounding, int64_t step,
                             json_t *now, char **change) {
    json_t *root;
    QN_TRY(qn_json_load(path, &root));
    const json_t *before = json_object_get(root, "environment");
    const json_t *earlier = json_object_get(before, "changes");
    json_t *changes = json_is_array(earlier) ? json_copy((json_t *)earlier) : json_array();
    qn_status status = compare_places(before, now, step, changes, change);
    if (!status) status = compare_roundings(root, weight_rounding, step, changes, change);
    if (json_array_size(changes)) json_object_set(now, "changes", changes);
    json_decref(changes);
    json_decref(root);
    return status;
}

qn_status qn_environment_to_json(const qn_environment *now, const char *weight_rounding,
                                 const char *path, json_t **out, char **change) {
    *change = NULL;
    *out = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:o}", "version", QN_VERSION, "commit",
                     qn_commit(), "device", now->device.name, "arch", now->device.arch, "precision",
                     qn_dtype_name(now->precision), "threads", now->device.n_threads, "data",
                     qn_fingerprint_to_json(&now->data));
    if (!*out) return qn_error(QN_CODE_MEMORY, "no memory for run.json");
    if (!now->step || !qn_path_exists(path)) return QN_OK;
    return add_changes(path, weight_rounding, now->step, *out, change);
}
