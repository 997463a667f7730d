#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/fs.h"
#include "quern/files.h"

qn_status qn_io_error(const char *path, const char *what, int error) {
    return qn_error(QN_CODE_IO, "%s: cannot %s: %s", path, what, strerror(error));
}

static qn_status no_memory(const char *path) {
    return qn_error(QN_CODE_MEMORY, "%s: not enough memory", path);
}

static qn_status open_to_read(const char *path, int *fd) {
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? qn_io_error(path, "open", errno) : QN_OK;
}

/* read() that survives signals; *got is 0 at the end of the file. */
static qn_status read_some(int fd, const char *path, void *data, size_t room, size_t *got) {
    ssize_t n;
    *got = 0;
    do {
        n = read(fd, data, room);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return qn_io_error(path, "read", errno);
    *got = (size_t)n;
    return QN_OK;
}

/* Reads to the end of fd into *data, which may be replaced by a larger one. */
static qn_status read_to_end(int fd, const char *path, char **data, size_t room, size_t *length) {
    for (*length = 0;;) {
        size_t got;
        QN_TRY(read_some(fd, path, *data + *length, room - *length, &got));
        if (!got) break;
        *length += got;
        if (*length < room) continue;
        char *larger = room <= SIZE_MAX / 2 - 1 ? realloc(*data, 2 * room + 1) : NULL;
        if (!larger) return no_memory(path);
        *data = larger;
        room *= 2;
    }
    (*data)[*length] = 0;
    return QN_OK;
}

qn_status qn_file_read(const char *path, char **data, size_t *length) {
    *data = NULL;
    *length = 0;
    int fd;
    QN_TRY(open_to_read(path, &fd));
    struct stat info;
    /* One byte more than the file, so that its end is seen without growing. */
    size_t room = fstat(fd, &info) == 0 && info.st_size > 0 ? (size_t)info.st_size + 1 : 4096;
    char *buffer = malloc(room + 1);
    qn_status status = buffer ? read_to_end(fd, path, &buffer, room, length) : no_memory(path);
    close(fd);
    if (status) {
        free(buffer);
        *length = 0;
        return status;
    }
    *data = buffer;
    return QN_OK;
}

qn_status qn_write_all(int fd, const char *path, const void *data, size_t length) {
    for (const char *p = data; length;) {
        ssize_t n = write(fd, p, length);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return qn_io_error(path, "write", n ? errno : ENOSPC);
        p += n;
        length -= (size_t)n;
    }
    return QN_OK;
}

qn_status qn_sync_close(int fd, const char *path) {
    int error = fsync(fd) ? errno : 0;
    if (close(fd) && !error) error = errno;
    return error ? qn_io_error(path, "sync", error) : QN_OK;
}

static qn_status write_synced(const char *path, const void *data, size_t length) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return qn_io_error(path, "create", errno);
    qn_status status = qn_write_all(fd, path, data, length);
    if (!status) return qn_sync_close(fd, path);
    close(fd);
    return status;
}

qn_status qn_file_write(const char *path, const void *data, size_t length) {
    char *temporary = qn_path("%s.tmp", path);
    if (!temporary) return no_memory(path);
    qn_status status = write_synced(temporary, data, length);
    if (!status && rename(temporary, path)) status = qn_io_error(path, "replace", errno);
    if (status) unlink(temporary);
    free(temporary);
    return status ? status : qn_parent_sync(path);
}

bool qn_path_exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

char *qn_path(const char *format, ...) {
    char *path;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&path, format, args);
    va_end(args);
    return length < 0 ? NULL : path;
}

static qn_status hash_to_end(int fd, const char *path, XXH3_state_t *state) {
    enum { CHUNK = 1 << 20 };
    char *chunk = malloc(CHUNK);
    if (!chunk) return no_memory(path);
    qn_status status;
    size_t got;
    while (!(status = read_some(fd, path, chunk, CHUNK, &got)) && got) {
        XXH3_64bits_update(state, chunk, got);
    }
    free(chunk);
    return status;
}

qn_status qn_file_checksum(const char *path, uint64_t *out) {
    int fd;
    QN_TRY(open_to_read(path, &fd));
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    qn_status status = hash_to_end(fd, path, &state);
    close(fd);
    if (!status) *out = XXH3_64bits_digest(&state);
    return status;
}
