#include "train/model_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "quern/files.h"

static qn_status open_folder(const char *dir, qn_model_source *out) {
    char *path = qn_path("%s/config.json", dir);
    out->weights_dir = strdup(dir);
    qn_status status = path && out->weights_dir
                           ? qn_config_load(path, &out->config)
                           : qn_error(QN_CODE_MEMORY, "%s: no memory for its name", dir);
    free(path);
    if (status) {
        free(out->weights_dir);
        out->weights_dir = NULL;
    }
    return status;
}

qn_status qn_model_source_open(const char *name, int64_t vocab_size, qn_model_source *out) {
    *out = (qn_model_source){0};
    struct stat info;
    if (!stat(name, &info)) {
        return S_ISDIR(info.st_mode) ? open_folder(name, out) : qn_config_load(name, &out->config);
    }
    if (strchr(name, '/') || strstr(name, ".json")) {
        return qn_error(QN_CODE_USAGE,
                        "model %s: %s; expected a preset, a config.json or a folder with one", name,
                        strerror(errno));
    }
    return qn_config_preset(name, vocab_size, &out->config);
}
