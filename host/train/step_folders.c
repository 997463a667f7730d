#include "train/step_folders.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quern/files.h"

/* Names of folders on their way in or out begin with it. */
#define TEMPORARY "tmp-"

static qn_status no_memory(const char *what) {
    return qn_error(QN_CODE_MEMORY, "%s: no host memory", what);
}

static char *path_of(const char *parent, const char *prefix, int64_t step, const char *suffix) {
    return qn_path("%s/%sstep-%lld%s", parent, prefix, (long long)step, suffix);
}

/* ---- writing ------------------------------------------------------------------------------- */

qn_status qn_step_folder_begin(const char *parent, int64_t step, char **dir) {
    *dir = path_of(parent, TEMPORARY, step, "");
    if (!*dir) return no_memory(parent);
    qn_status status = qn_dir_remove(*dir);
    if (!status) status = qn_dir_create(*dir);
    if (!status) return QN_OK;
    free(*dir);
    *dir = NULL;
    return status;
}

qn_status qn_step_folder_end(const char *parent, int64_t step, char *dir, qn_status written) {
    char *final = path_of(parent, "", step, "");
    qn_status status = written;
    if (!status) status = final ? qn_dir_publish(dir, final) : no_memory(parent);
    if (status) qn_status_free(qn_dir_remove(dir));
    free(final);
    free(dir);
    return status;
}

/* ---- listing ------------------------------------------------------------------------------- */

/* The N of an entry "step-N", as we write it; -1 for any other name. */
static int64_t step_of_name(const char *name) {
    if (strncmp(name, "step-", 5) || name[5] < '0' || name[5] > '9') return -1;
    if (name[5] == '0' && name[6]) return -1;
    char *end;
    errno = 0;
    const long long step = strtoll(name + 5, &end, 10);
    return *end || errno ? -1 : step;
}

static int ascending(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static qn_status open_parent(const char *parent, DIR **dir) {
    *dir = opendir(parent);
    if (*dir || errno == ENOENT) return QN_OK;
    return qn_error(QN_CODE_IO, "%s: cannot open the folder: %s", parent, strerror(errno));
}

qn_status qn_step_folders(const char *parent, int64_t **steps, int64_t *count) {
    DIR *dir;
    *steps = NULL;
    *count = 0;
    QN_TRY(open_parent(parent, &dir));
    qn_status status = QN_OK;
    for (struct dirent *entry; dir && !status && (entry = readdir(dir));) {
        const int64_t step = step_of_name(entry->d_name);
        if (step < 0) continue;
        int64_t *grown = realloc(*steps, (size_t)(*count + 1) * sizeof *grown);
        if (grown) {
            *steps = grown;
            grown[(*count)++] = step;
        } else {
            status = no_memory(parent);
        }
    }
    if (dir) closedir(dir);
    if (*count) qsort(*steps, (size_t)*count, sizeof **steps, ascending);
    return status;
}

/* ---- removing ------------------------------------------------------------------------------ */

/* Renames step-N to <prefix>step-N<suffix>, which gives way. */
static qn_status rename_step(const char *parent, int64_t step, const char *prefix,
                             const char *suffix) {
    char *from = path_of(parent, "", step, ""), *to = path_of(parent, prefix, step, suffix);
    qn_status status = from && to ? qn_dir_remove(to) : no_memory(parent);
    if (!status && rename(from, to))
        status = qn_error(QN_CODE_IO, "%s: cannot rename it to %s: %s", from, to, strerror(errno));
    free(from);
    free(to);
    return status;
}

qn_status qn_step_folder_set_aside(const char *parent, int64_t step, const char *suffix) {
    return rename_step(parent, step, "", suffix);
}

qn_status qn_step_folder_remove(const char *parent, int64_t step) {
    char *dir = path_of(parent, "", step, ""), *left = path_of(parent, TEMPORARY, step, "");
    qn_status status = dir && left ? QN_OK : no_memory(parent);
    if (!status && qn_path_exists(dir)) status = rename_step(parent, step, TEMPORARY, "");
    if (!status) status = qn_dir_remove(left);
    free(dir);
    free(left);
    return status;
}

qn_status qn_step_folders_tidy(const char *parent) {
    DIR *dir;
    QN_TRY(open_parent(parent, &dir));
    qn_status status = QN_OK;
    for (struct dirent *entry; dir && !status && (entry = readdir(dir));) {
        if (strncmp(entry->d_name, TEMPORARY, strlen(TEMPORARY))) continue;
        char *left = qn_path("%s/%s", parent, entry->d_name);
        status = left ? qn_dir_remove(left) : no_memory(parent);
        free(left);
    }
    if (dir) closedir(dir);
    return status;
}
