#include "cli/run_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/open_backend.h"
#include "quern/checkpoint.h"
#include "quern/files.h"

enum { LONGEST_DEFAULT = 2048 };

static void note(void *context, const char *message) {
    (void)context;
    fprintf(stderr, "%s\n", message);
}

qn_status qn_choice_folder(const qn_model_choice *c, char **folder) {
    *folder = NULL;
    if (!c->run == !c->model) {
        return qn_error(QN_CODE_USAGE, "give either --run DIR or --model DIR");
    }
    if (c->model) {
        *folder = strdup(c->model);
        return *folder ? QN_OK : qn_error(QN_CODE_MEMORY, "no memory for a path");
    }
    if (!qn_path_exists(c->run)) {
        return qn_error(QN_CODE_USAGE, "--run %s: there is no such folder", c->run);
    }
    QN_TRY(qn_checkpoint_find(c->run, c->checkpoint, note, NULL, folder));
    if (*folder) return QN_OK;
    return qn_error(QN_CODE_USAGE,
                    "--run %s: it has no checkpoint yet; `quern train --run %s "
                    "--resume` goes on until one is saved",
                    c->run, c->run);
}

static qn_status open_weights(const qn_model_choice *choice, qn_plan_options options,
                              qn_opened_model *out) {
    QN_TRY(qn_choice_folder(choice, &out->folder));
    char *path = qn_path("%s/config.json", out->folder);
    if (!path) return qn_error(QN_CODE_MEMORY, "no memory for a path");
    qn_config config;
    qn_status status = qn_config_load(path, &config);
    free(path);
    if (status) return status;
    if (!options.seq_len) {
        const int64_t longest = choice->longest ? choice->longest : LONGEST_DEFAULT;
        options.seq_len = config.max_seq_len < longest ? config.max_seq_len : longest;
    }
    QN_TRY(qn_open_backend(choice->backend, choice->threads, &out->backend));
    QN_TRY(qn_plan_set_precision(out->backend, choice->precision, &options));
    QN_TRY(qn_model_create(out->backend, &config, &options, &out->model));
    return qn_model_load(out->model, out->folder);
}

qn_status qn_open_model(const qn_model_choice *choice, const qn_plan_options *options,
                        qn_opened_model *out) {
    *out = (qn_opened_model){0};
    qn_status status = open_weights(choice, *options, out);
    if (status) qn_close_model(out);
    return status;
}

void qn_close_model(qn_opened_model *opened) {
    qn_model_destroy(opened->model);
    if (opened->backend) opened->backend->ops->close(opened->backend);
    free(opened->folder);
    *opened = (qn_opened_model){0};
}
