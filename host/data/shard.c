#include "data/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quern/files.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "shards are read as they lie in memory");

enum { HEADER_BYTES = QN_SHARD_HEADER * sizeof(int32_t) };

static qn_status io_error(const char *doing, const char *path) {
    return qn_error(QN_CODE_IO, "cannot %s %s: %s", doing, path, strerror(errno));
}

/* --- reading --- */

static qn_status map_file(const char *path, qn_shard *out) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return io_error("open", path);
    struct stat info;
    qn_status status = QN_OK;
    if (fstat(fd, &info) != 0) {
        status = io_error("examine", path);
    } else if (!S_ISREG(info.st_mode)) {
        status = qn_error(QN_CODE_INVALID, "%s: not a regular file", path);
    } else if (info.st_size < HEADER_BYTES) {
        status = qn_error(QN_CODE_INVALID, "%s: %lld bytes, a token shard has at least %d", path,
                          (long long)info.st_size, HEADER_BYTES);
    } else {
        out->map_length = (size_t)info.st_size;
        out->map = mmap(NULL, out->map_length, PROT_READ, MAP_SHARED, fd, 0);
        if (out->map == MAP_FAILED) status = io_error("map", path);
    }
    close(fd);
    return status;
}

static qn_status read_header(const char *path, qn_shard *shard) {
    const int32_t *header = shard->map;
    int32_t version;
    if (header[0] == QN_SHARD_GPT2_MAGIC) {
        version = QN_SHARD_GPT2_VERSION;
        shard->width = 2;
    } else if (header[0] == QN_SHARD_LLAMA3_MAGIC) {
        version = QN_SHARD_LLAMA3_VERSION;
        shard->width = 4;
    } else {
        return qn_error(QN_CODE_INVALID,
                        "%s: magic %d, expected %d (GPT-2) or %d (Llama 3); is this a token shard?",
                        path, header[0], QN_SHARD_GPT2_MAGIC, QN_SHARD_LLAMA3_MAGIC);
    }
    if (header[1] != version)
        return qn_error(QN_CODE_INVALID, "%s: version %d, expected %d with magic %d", path,
                        header[1], version, header[0]);
    shard->count = header[2];
    if (shard->count < 0)
        return qn_error(QN_CODE_INVALID, "%s: %d tokens, expected 0 or more", path, header[2]);
    int64_t expected = HEADER_BYTES + shard->count * shard->width;
    int64_t found = (int64_t)shard->map_length;
    if (found != expected)
        return qn_error(QN_CODE_INVALID, "%s: %lld bytes, expected %lld for %lld tokens: %s", path,
                        (long long)found, (long long)expected, (long long)shard->count,
                        found < expected ? "the file is truncated"
                                         : "the file has bytes after its end");
    return QN_OK;
}

qn_status qn_shard_open(const char *path, qn_shard *out) {
    qn_shard shard = {0};
    QN_TRY(map_file(path, &shard));
    qn_status status = read_header(path, &shard);
    if (status) {
        qn_shard_close(&shard);
        return status;
    }
    *out = shard;
    return QN_OK;
}

void qn_shard_close(qn_shard *shard) {
    if (shard->map) munmap(shard->map, shard->map_length);
    *shard = (qn_shard){0};
}

/* --- writing --- */

void qn_shard_writer_init(qn_shard_writer *w, const char *dir, const char *split,
                          int64_t vocab_size, int64_t shard_tokens) {
    *w = (qn_shard_writer){.dir = dir,
                           .split = split,
                           .width = vocab_size <= UINT16_MAX + 1 ? 2 : 4,
                           .shard_tokens = shard_tokens};
}

static qn_status put(qn_shard_writer *w, const void *data, size_t length) {
    return fwrite(data, 1, length, w->file) == length ? QN_OK : io_error("write", w->path);
}

static qn_status put_header(qn_shard_writer *w) {
    int32_t header[QN_SHARD_HEADER] = {QN_SHARD_GPT2_MAGIC, QN_SHARD_GPT2_VERSION,
                                       (int32_t)w->count};
    if (w->width == 4) {
        header[0] = QN_SHARD_LLAMA3_MAGIC;
        header[1] = QN_SHARD_LLAMA3_VERSION;
    }
    return put(w, header, sizeof header);
}

static qn_status begin_file(qn_shard_writer *w) {
    w->path = qn_path("%s/%s_%06d.bin", w->dir, w->split, w->shards);
    if (!w->path) return qn_error(QN_CODE_MEMORY, "out of memory for a path");
    w->file = fopen(w->path, "wbe");
    if (!w->file) return io_error("create", w->path);
    w->shards++;
    w->count = 0;
    return put_header(w);
}

/* The header again, now that the count is known, and everything onto the disk. */
static qn_status end_file(qn_shard_writer *w) {
    if (!w->file) return QN_OK;
    if (fseeko(w->file, 0, SEEK_SET) != 0) return io_error("write", w->path);
    QN_TRY(put_header(w));
    if (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0) return io_error("write", w->path);
    int failed = fclose(w->file);
    w->file = NULL;
    if (failed) return io_error("write", w->path);
    qn_shard_writer_abandon(w);
    return QN_OK;
}

static qn_status put_token(qn_shard_writer *w, int32_t token) {
    if (w->width == 4) return put(w, &token, sizeof token);
    uint16_t narrow = (uint16_t)token;
    return put(w, &narrow, sizeof narrow);
}

qn_status qn_shard_write(qn_shard_writer *w, const int32_t *tokens, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (w->file && w->count == w->shard_tokens) QN_TRY(end_file(w));
        if (!w->file) QN_TRY(begin_file(w));
        QN_TRY(put_token(w, tokens[i]));
        w->count++;
        w->total++;
    }
    return QN_OK;
}

qn_status qn_shard_writer_finish(qn_shard_writer *w) { return end_file(w); }

void qn_shard_writer_abandon(qn_shard_writer *w) {
    if (w->file) fclose(w->file);
    w->file = NULL;
    free(w->path);
    w->path = NULL;
}
