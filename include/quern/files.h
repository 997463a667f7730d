/* files.h: files that are written whole or not at all. */
#ifndef QUERN_FILES_H
#define QUERN_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads a whole file; *data is malloc'ed, with a zero byte after its end. */
qn_status qn_file_read(const char *path, char **data, size_t *length);

/* Writes to "<path>.tmp", syncs, renames over path and syncs the folder. On an error
 * the old file is untouched and the temporary is removed. */
qn_status qn_file_write(const char *path, const void *data, size_t length);

/* Creates a folder and its parents; an existing folder is fine. */
qn_status qn_dir_create(const char *path);
/* Removes a folder with all it holds; a missing one is fine. */
qn_status qn_dir_remove(const char *path);
/* Syncs a folder's entries to disk. */
qn_status qn_dir_sync(const char *path);
/* Syncs and renames a finished folder `from` to `to` (same file system), syncs the parent. */
qn_status qn_dir_publish(const char *from, const char *to);
bool qn_path_exists(const char *path);

/* "a/b" in a malloc'ed string from printf-like parts; NULL when out of memory. */
char *qn_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* XXH3 of a file's bytes. */
qn_status qn_file_checksum(const char *path, uint64_t *out);

#ifdef __cplusplus
}
#endif
#endif
