#include "train/model_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "quern/files.h"

static qn_status load_from_folder(const char *dir, qn_config *out) {
    char *path = qn_path("%s/config.json", dir);
    if (!path) return qn_error(QN_CODE_MEMORY, "%s: no memory for its name", dir);
    qn_status status = qn_config_load(path, out);
    free(path);
    return status;
}

bool qn_model_source_is_folder(const char *name) {
    struct stat info;
    return !stat(name, &info) && S_ISDIR(info.st_mode);
}

qn_status qn_model_source_config(const char *name, int64_t vocab_size, qn_config *out) {
    if (qn_model_source_is_folder(name)) return load_from_folder(name, out);
    if (qn_path_exists(name)) return qn_config_load(name, out);
    if (strchr(name, '/') || strstr(name, ".json")) {
        return qn_error(QN_CODE_USAGE,
                        "model %s: %s; expected a preset, a config.json or a folder with one", name,
                        strerror(errno));
    }
    return qn_config_preset(name, vocab_size, out);
}
