#include "data/out_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "quern/files.h"

static qn_status io_error(const char *doing, const char *path) {
    return qn_error(QN_CODE_IO, "cannot %s %s: %s", doing, path, strerror(errno));
}

static qn_status refuse_entry(const char *path, const char *name, int replace,
                              int (*is_ours)(const char *)) {
    if (!is_ours(name))
        return qn_error(QN_CODE_USAGE,
                        "%s holds \"%s\", which is no part of a data folder; choose another folder",
                        path, name);
    if (replace) return QN_OK;
    return qn_error(QN_CODE_USAGE,
                    "%s exists and was made in another way; replace it with --force, or choose "
                    "another folder",
                    path);
}

/* May a new folder take the place of what is at `path`? */
static qn_status check_target(const char *path, int replace, int (*is_ours)(const char *)) {
    DIR *dir = opendir(path);
    if (!dir) return errno == ENOENT ? QN_OK : io_error("use the folder", path);
    qn_status status = QN_OK;
    struct dirent *entry;
    while (!status && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = refuse_entry(path, entry->d_name, replace, is_ours);
    }
    closedir(dir);
    return status;
}

/* Opens and locks the folder; *lock is -1 when there is none. */
static qn_status lock_dir(const char *path, int *lock) {
    *lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0) return errno == ENOENT ? QN_OK : io_error("open", path);
    if (flock(*lock, LOCK_EX | LOCK_NB) == 0) return QN_OK;
    close(*lock);
    *lock = -1;
    return qn_error(QN_CODE_IO, "%s: another process is writing there", path);
}

static qn_status create_temporary(qn_out_dir *o) {
    int stale;
    QN_TRY(lock_dir(o->temporary, &stale));
    if (stale >= 0) {
        qn_status status = qn_dir_remove(o->temporary);
        close(stale);
        QN_TRY(status);
    }
    QN_TRY(qn_dir_create(o->temporary));
    return lock_dir(o->temporary, &o->lock);
}

/* Without slashes at its end, so that "<path>.tmp" is its neighbour. */
static qn_status set_paths(qn_out_dir *o, const char *path) {
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/') n--;
    o->path = qn_path("%.*s", (int)n, path);
    if (!o->path) return qn_error(QN_CODE_MEMORY, "out of memory for a path");
    const char *slash = strrchr(o->path, '/'), *name = slash ? slash + 1 : o->path;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return qn_error(QN_CODE_USAGE, "\"%s\": expected the name of a folder to make", path);
    o->temporary = qn_path("%s.tmp", o->path);
    return o->temporary ? QN_OK : qn_error(QN_CODE_MEMORY, "out of memory for a path");
}

qn_status qn_out_dir_begin(const char *path, int replace, int (*is_ours)(const char *),
                           qn_out_dir *out) {
    *out = (qn_out_dir){.lock = -1, .replace = replace};
    qn_status status = set_paths(out, path);
    if (!status) status = check_target(out->path, replace, is_ours);
    if (!status) status = create_temporary(out);
    if (status) qn_out_dir_end(out);
    return status;
}

/* Swaps the two folders in one step; the old one is then the temporary. */
static bool exchange(const qn_out_dir *o) {
    return renameat2(AT_FDCWD, o->temporary, AT_FDCWD, o->path, RENAME_EXCHANGE) == 0;
}

qn_status qn_out_dir_publish(qn_out_dir *o) {
    if (o->replace && qn_path_exists(o->path)) {
        QN_TRY(qn_dir_sync(o->temporary));
        if (exchange(o)) return QN_OK;
        QN_TRY(qn_dir_remove(o->path)); /* not every file system can exchange */
    }
    return qn_dir_publish(o->temporary, o->path);
}

void qn_out_dir_end(qn_out_dir *o) {
    if (o->lock >= 0) {
        qn_status_free(qn_dir_remove(o->temporary));
        close(o->lock);
    }
    free(o->path);
    free(o->temporary);
    *o = (qn_out_dir){.lock = -1};
}
