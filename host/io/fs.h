/* fs.h: what the files of this room share. */
#ifndef QUERN_IO_FS_H
#define QUERN_IO_FS_H

#include <stddef.h>

#include "quern/status.h"

/* The operating system's error `error` (an errno) while doing `what` to `path`. */
qn_status qn_io_error(const char *path, const char *what, int error)
    __attribute__((returns_nonnull));

/* Writes all bytes to fd; `path` is for the error. */
qn_status qn_write_all(int fd, const char *path, const void *data, size_t length);

/* Syncs and closes fd, which is closed in any case. */
qn_status qn_sync_close(int fd, const char *path);

/* Syncs the folder that holds `path`. */
qn_status qn_parent_sync(const char *path);

#endif
