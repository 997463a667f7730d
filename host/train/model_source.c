#include "quern/model_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "quern/files.h"

static bool is_folder(const char *name) {
    struct stat info;
    return !stat(name, &info) && S_ISDIR(info.st_mode);
}

/* Otherwise it is a preset, whatever lies in the working folder. */
static bool is_path(const char *name) {
    const char *end = strrchr(name, '.');
    return strchr(name, '/') || (end && !strcmp(end, ".json"));
}

static qn_status load_from_folder(const char *dir, qn_config *out) {
    char *path = qn_path("%s/config.json", dir);
    if (!path) return qn_error(QN_CODE_MEMORY, "%s: no memory for its name", dir);
    qn_status status = qn_config_load(path, out);
    free(path);
    return status;
}

static qn_status load_preset(const char *name, int64_t vocab_size, qn_config *out) {
    qn_status status = qn_config_preset(name, vocab_size, out);
    if (!status || qn_config_preset_description(name) || !qn_path_exists(name)) return status;
    qn_status_free(status);
    return qn_error(QN_CODE_USAGE,
                    "model %s: there is no preset of that name; for what lies here under it, "
                    "write ./%s",
                    name, name);
}

bool qn_model_source_is_folder(const char *name) { return is_path(name) && is_folder(name); }

qn_status qn_model_source_config(const char *name, int64_t vocab_size, qn_config *out) {
    if (!is_path(name)) return load_preset(name, vocab_size, out);
    if (is_folder(name)) return load_from_folder(name, out);
    if (qn_path_exists(name)) return qn_config_load(name, out);
    return qn_error(QN_CODE_USAGE,
                    "model %s: %s; expected a preset, a config.json or a folder with one", name,
                    strerror(errno));
}
