#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "io/fs.h"
#include "io/safetensors_format.h"
#include "quern/safetensors.h"

static qn_status no_memory(const char *path) {
    return qn_error(QN_CODE_MEMORY, "%s: not enough memory for its header", path);
}

/* Checks one tensor; *bytes is the size of its data. */
static qn_status check_tensor(const char *path, const qn_named_tensor *named, int64_t *bytes) {
    const qn_tensor *t = &named->tensor;
    const char *name = named->name;
    if (t->rank < 0 || t->rank > QN_MAX_RANK) {
        return qn_error(QN_CODE_INVALID, "%s: tensor \"%s\" has rank %d; expected 0 to %d", path,
                        name, t->rank, QN_MAX_RANK);
    }
    int64_t reach = (int64_t)qn_dtype_size(t->dtype);
    bool empty = false;
    for (int i = 0; i < t->rank; i++) {
        int64_t n = t->shape[i];
        if (n < 0 || __builtin_mul_overflow(reach, n ? n : 1, &reach)) {
            return qn_error(QN_CODE_INVALID,
                            "%s: tensor \"%s\" has size %" PRId64 " in axis %d; expected 0 or "
                            "more, and fewer than 2^63 bytes in all",
                            path, name, n, i);
        }
        empty = empty || n == 0;
    }
    if (!empty && !t->data) {
        return qn_error(QN_CODE_INVALID, "%s: tensor \"%s\" has no data", path, name);
    }
    if (!empty && !qn_tensor_is_dense(t)) {
        return qn_error(QN_CODE_INVALID, "%s: tensor \"%s\" has strides; expected it dense", path,
                        name);
    }
    *bytes = empty ? 0 : reach;
    return QN_OK;
}

/* Adds a member to an object that must not have it yet; takes `value`. */
static qn_status add_member(const char *path, json_t *object, const char *key, json_t *value) {
    if (json_object_get(object, key)) {
        json_decref(value);
        return qn_error(QN_CODE_INVALID, "%s: \"%s\" is there twice", path, key);
    }
    if (!value || json_object_set_new(object, key, value)) {
        return qn_error(QN_CODE_INVALID, "%s: \"%s\" or its value is not UTF-8 text", path, key);
    }
    return QN_OK;
}

static qn_status add_metadata(const char *path, json_t *header, const char *const *pairs) {
    if (!pairs || !pairs[0]) return QN_OK;
    json_t *metadata = json_object();
    QN_TRY(add_member(path, header, ST_METADATA, metadata));
    for (; pairs[0]; pairs += 2) {
        if (!pairs[1]) {
            return qn_error(QN_CODE_INVALID, "%s: metadata \"%s\" has no value", path, pairs[0]);
        }
        QN_TRY(add_member(path, metadata, pairs[0], json_string(pairs[1])));
    }
    return QN_OK;
}

static qn_status add_tensor(const char *path, json_t *header, const qn_named_tensor *named,
                            int64_t *offset) {
    int64_t bytes, begin = *offset;
    QN_TRY(check_tensor(path, named, &bytes));
    if (__builtin_add_overflow(begin, bytes, offset)) {
        return qn_error(QN_CODE_INVALID, "%s: its tensors have more than 2^63 bytes", path);
    }
    if (strcmp(named->name, ST_METADATA) == 0) {
        return qn_error(QN_CODE_INVALID, "%s: a tensor cannot be named %s", path, ST_METADATA);
    }
    const qn_tensor *t = &named->tensor;
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++) {
        if (json_array_append_new(shape, json_integer(t->shape[i]))) {
            json_decref(shape);
            return no_memory(path);
        }
    }
    json_t *info = json_pack("{s:s, s:o, s:[I,I]}", "dtype", st_dtype_name(t->dtype), "shape",
                             shape, "data_offsets", (json_int_t)begin, (json_int_t)*offset);
    if (!info) return no_memory(path);
    return add_member(path, header, named->name, info);
}

/* Tensors with larger elements come first, so that all data is aligned to its elements. */
static bool in_pass(const qn_named_tensor *named, size_t element) {
    return qn_dtype_size(named->tensor.dtype) == element;
}

static qn_status build_header(const char *path, const qn_named_tensor *tensors, int count,
                              const char *const *metadata, json_t *header) {
    QN_TRY(add_metadata(path, header, metadata));
    int64_t offset = 0;
    for (size_t element = 8; element >= 2; element /= 2) {
        for (int i = 0; i < count; i++) {
            if (in_pass(&tensors[i], element)) {
                QN_TRY(add_tensor(path, header, &tensors[i], &offset));
            }
        }
    }
    return QN_OK;
}

/* Where the tensors' data lie: in host memory, or where `fetch` (nullable) reads. */
typedef struct source {
    qn_fetch fetch;
    void *context;
    char *staging;
    size_t room; /* bytes of it */
} source;

/* A file under way, and the checksum of what it has so far. */
typedef struct sink {
    const char *path;
    int fd;
    XXH3_state_t hash;
} sink;

static qn_status put(sink *s, const void *data, size_t length) {
    if (!length) return QN_OK;
    XXH3_64bits_update(&s->hash, data, length);
    return qn_write_all(s->fd, s->path, data, length);
}

/* Length and header, with spaces behind it up to where the data begins. */
static qn_status put_header(sink *s, const char *json) {
    static const char spaces[] = "                                                                ";
    _Static_assert(sizeof spaces - 1 == ST_ALIGNMENT, "room for any padding");
    size_t length = strlen(json);
    size_t padding = (ST_ALIGNMENT - (ST_PREFIX + length) % ST_ALIGNMENT) % ST_ALIGNMENT;
    uint64_t total = length + padding;
    if (total > ST_MAX_HEADER) {
        return qn_error(QN_CODE_INVALID, "%s: header of %" PRIu64 " bytes; at most %d are allowed",
                        s->path, total, ST_MAX_HEADER);
    }
    QN_TRY(put(s, &total, sizeof total));
    QN_TRY(put(s, json, length));
    return put(s, spaces, padding);
}

static qn_status put_data(sink *s, const source *from, const char *data, size_t length) {
    if (!from->fetch) return put(s, data, length);
    while (length) {
        const size_t n = length < from->room ? length : from->room;
        QN_TRY(from->fetch(from->context, from->staging, data, n));
        QN_TRY(put(s, from->staging, n));
        data += n;
        length -= n;
    }
    return QN_OK;
}

static qn_status put_tensors(sink *s, const source *from, const qn_named_tensor *tensors,
                             int count) {
    for (size_t element = 8; element >= 2; element /= 2) {
        for (int i = 0; i < count; i++) {
            const qn_tensor *t = &tensors[i].tensor;
            if (!in_pass(&tensors[i], element)) continue;
            QN_TRY(put_data(s, from, t->data, (size_t)qn_tensor_numel(t) * element));
        }
    }
    return QN_OK;
}

static qn_status write_file(const char *path, const char *json, const source *from,
                            const qn_named_tensor *tensors, int count, uint64_t *checksum) {
    sink s = {.path = path, .fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)};
    if (s.fd < 0) return qn_io_error(path, "create", errno);
    XXH3_64bits_reset(&s.hash);
    qn_status status = put_header(&s, json);
    if (!status) status = put_tensors(&s, from, tensors, count);
    if (status) {
        close(s.fd);
        return status;
    }
    if (checksum) *checksum = XXH3_64bits_digest(&s.hash);
    return qn_sync_close(s.fd, path);
}

static qn_status write_from(const source *from, const char *path, const qn_named_tensor *tensors,
                            int count, const char *const *metadata, uint64_t *checksum) {
    json_t *header = json_object();
    if (!header) return no_memory(path);
    qn_status status = build_header(path, tensors, count, metadata, header);
    char *json = status ? NULL : json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (status) return status;
    if (!json) return no_memory(path);
    status = write_file(path, json, from, tensors, count, checksum);
    free(json);
    return status;
}

qn_status qn_safetensors_write(const char *path, const qn_named_tensor *tensors, int count,
                               const char *const *metadata, uint64_t *checksum) {
    const source host = {0};
    return write_from(&host, path, tensors, count, metadata, checksum);
}

qn_status qn_safetensors_write_fetched(const char *path, const qn_named_tensor *tensors, int count,
                                       const char *const *metadata, qn_fetch fetch, void *context,
                                       uint64_t *checksum) {
    source from = {.fetch = fetch, .context = context, .room = QN_STAGING_BYTES};
    from.staging = malloc(from.room);
    if (!from.staging) {
        return qn_error(QN_CODE_MEMORY, "%s: no host memory for %zu bytes of staging", path,
                        from.room);
    }
    qn_status status = write_from(&from, path, tensors, count, metadata, checksum);
    free(from.staging);
    return status;
}
