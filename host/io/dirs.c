#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/fs.h"
#include "quern/files.h"

static qn_status no_memory(const char *path) {
    return qn_error(QN_CODE_MEMORY, "%s: not enough memory for a path", path);
}

/* Length of the folder part of a path: "a/b/" and "a/b" give 1, "/a" 1, "a" 0. */
static size_t parent_length(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    while (n > 0 && path[n - 1] != '/') n--;
    while (n > 1 && path[n - 1] == '/') n--;
    return n;
}

/* Some file systems cannot sync a folder and say EINVAL: there is nothing to do then. */
static qn_status sync_fd(int fd, const char *path) {
    return fsync(fd) && errno != EINVAL ? qn_io_error(path, "sync", errno) : QN_OK;
}

qn_status qn_dir_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return qn_io_error(path, "open the folder", errno);
    qn_status status = sync_fd(fd, path);
    close(fd);
    return status;
}

qn_status qn_parent_sync(const char *path) {
    size_t n = parent_length(path);
    if (!n) return qn_dir_sync(".");
    char *parent = strndup(path, n);
    if (!parent) return no_memory(path);
    qn_status status = qn_dir_sync(parent);
    free(parent);
    return status;
}

/* Creates one folder, durably; an existing one is fine. */
static qn_status create_one(const char *path) {
    if (mkdir(path, 0777) == 0) return qn_parent_sync(path);
    int error = errno;
    struct stat info;
    if (stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode)) return QN_OK;
        error = ENOTDIR;
    }
    return qn_io_error(path, "create the folder", error);
}

qn_status qn_dir_create(const char *path) {
    char *partial = strdup(path);
    if (!partial) return no_memory(path);
    qn_status status = QN_OK;
    for (char *p = partial; *p && !status; p++) {
        if (*p != '/' || p == partial) continue;
        *p = 0;
        status = create_one(partial);
        *p = '/';
    }
    free(partial);
    return status ? status : create_one(path);
}

/* What walk() does to each thing in a folder, the folder's content before the folder;
 * fd is the folder that holds it. */
typedef qn_status visit_fn(int fd, const char *name, bool is_folder, const char *path);

static qn_status walk(int parent, const char *name, const char *path, visit_fn *visit);

static qn_status walk_entry(int fd, const char *name, const char *folder_path, visit_fn *visit) {
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return QN_OK;
    char *path = qn_path("%s/%s", folder_path, name);
    if (!path) return no_memory(folder_path);
    struct stat info;
    qn_status status;
    if (fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW)) {
        status = qn_io_error(path, "look at", errno);
    } else {
        status = S_ISDIR(info.st_mode) ? walk(fd, name, path, visit) : visit(fd, name, false, path);
    }
    free(path);
    return status;
}

/* Visits the folder `name` in `parent` with all it holds; symbolic links are not followed. */
static qn_status walk(int parent, const char *name, const char *path, visit_fn *visit) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return qn_io_error(path, "open the folder", errno);
    DIR *folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return no_memory(path);
    }
    qn_status status = QN_OK;
    while (!status) {
        errno = 0;
        struct dirent *entry = readdir(folder);
        if (!entry) {
            if (errno) status = qn_io_error(path, "read the folder", errno);
            break;
        }
        status = walk_entry(fd, entry->d_name, path, visit);
    }
    closedir(folder);
    return status ? status : visit(parent, name, true, path);
}

static qn_status remove_entry(int fd, const char *name, bool is_folder, const char *path) {
    if (unlinkat(fd, name, is_folder ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT) return QN_OK;
    return qn_io_error(path, "remove", errno);
}

static qn_status sync_entry(int fd, const char *name, bool is_folder, const char *path) {
    int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (is_folder ? O_DIRECTORY : 0);
    int file = openat(fd, name, flags);
    if (file < 0) return errno == ELOOP ? QN_OK : qn_io_error(path, "open", errno);
    qn_status status = sync_fd(file, path);
    close(file);
    return status;
}

qn_status qn_dir_remove(const char *path) {
    if (!qn_path_exists(path)) return QN_OK;
    return walk(AT_FDCWD, path, path, remove_entry);
}

qn_status qn_dir_publish(const char *from, const char *to) {
    QN_TRY(walk(AT_FDCWD, from, from, sync_entry));
    if (rename(from, to)) {
        return qn_error(QN_CODE_IO, "%s: cannot rename to %s: %s", from, to, strerror(errno));
    }
    QN_TRY(qn_parent_sync(to));
    return qn_parent_sync(from);
}
