#include "train/run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quern/files.h"

static qn_status system_error(const char *path) {
    return qn_error(QN_CODE_IO, "%s: %s", path, strerror(errno));
}

/* Bytes of the leading lines that are whole and not after last_step. */
static size_t kept_length(const char *text, size_t length, int64_t last_step) {
    size_t kept = 0;
    while (kept < length) {
        const char *line = text + kept, *end = memchr(line, '\n', length - kept);
        if (!end) break;
        json_t *entry = json_loadb(line, (size_t)(end - line), 0, NULL);
        const json_t *step = json_object_get(entry, "step");
        const bool keep = json_is_integer(step) && json_integer_value(step) <= last_step;
        json_decref(entry);
        if (!keep) break;
        kept = (size_t)(end - text) + 1;
    }
    return kept;
}

qn_status qn_run_log_cut(const char *path, int64_t last_step) {
    if (!qn_path_exists(path)) return QN_OK;
    char *text;
    size_t length;
    QN_TRY(qn_file_read(path, &text, &length));
    const size_t kept = kept_length(text, length, last_step);
    qn_status status = kept < length ? qn_file_write(path, text, kept) : QN_OK;
    free(text);
    return status;
}

qn_status qn_run_log_open(const char *path, int64_t last_step, qn_run_log *out) {
    *out = (qn_run_log){.file = -1};
    QN_TRY(qn_run_log_cut(path, last_step));
    out->path = strdup(path);
    if (!out->path) return qn_error(QN_CODE_MEMORY, "%s: no memory for its name", path);
    out->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return out->file < 0 ? system_error(path) : QN_OK;
}

void qn_run_log_close(qn_run_log *log) {
    if (log->file >= 0) close(log->file);
    free(log->path);
    *log = (qn_run_log){.file = -1};
}

qn_status qn_run_log_write(qn_run_log *log, const char *lines, size_t length) {
    size_t done = 0;
    while (done < length) {
        const ssize_t n = write(log->file, lines + done, length - done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return system_error(log->path);
    }
    return QN_OK;
}

qn_status qn_run_log_append(qn_run_log *log, const char *line) {
    const size_t length = strlen(line);
    char *text = malloc(length + 1);
    if (!text) return qn_error(QN_CODE_MEMORY, "%s: no memory for a line", log->path);
    memcpy(text, line, length);
    text[length] = '\n';
    qn_status status = qn_run_log_write(log, text, length + 1);
    free(text);
    return status;
}

qn_status qn_run_log_sync(qn_run_log *log) {
    return fsync(log->file) ? system_error(log->path) : QN_OK;
}
