#include "quern/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "io/fs.h"
#include "io/safetensors_format.h"
#include "quern/files.h"

/* One mapped file; names and dtypes of its tensors point into its header. */
typedef struct shard {
    char *path;
    const uint8_t *map;
    size_t size;
    json_t *header;
} shard;

typedef struct entry {
    const char *name;
    const char *dtype;  /* as the file spells it */
    bool readable;      /* quern has the dtype */
    int64_t begin, end; /* bytes of the shard's data */
    qn_tensor tensor;
} entry;

struct qn_safetensors {
    shard *shards;
    int n_shards;
    entry *entries; /* sorted by name */
    int count;
};

static qn_status map_file(shard *s) {
    int fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return qn_io_error(s->path, "open", errno);
    struct stat info;
    int error = fstat(fd, &info) ? errno : 0;
    if (!error && S_ISDIR(info.st_mode)) error = EISDIR;
    if (!error && info.st_size < ST_PREFIX) {
        close(fd);
        return qn_error(QN_CODE_INVALID,
                        "%s: %" PRId64 " bytes; a safetensors file has at least %d: is it whole?",
                        s->path, (int64_t)info.st_size, ST_PREFIX);
    }
    if (!error) {
        void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            error = errno;
        } else {
            s->map = map;
            s->size = (size_t)info.st_size;
        }
    }
    close(fd);
    return error ? qn_io_error(s->path, "map", error) : QN_OK;
}

static qn_status check_metadata(const shard *s) {
    json_t *metadata = json_object_get(s->header, ST_METADATA), *value;
    if (!metadata) return QN_OK;
    if (!json_is_object(metadata)) {
        return qn_json_misfit(s->header, s->path, ST_METADATA, QN_CODE_INVALID, "an object");
    }
    const char *key;
    json_object_foreach(metadata, key, value) {
        const char *text;
        QN_TRY(qn_context(qn_json_string(metadata, s->path, key, &text), ST_METADATA));
    }
    return QN_OK;
}

/* Maps s->path and parses its header; *data_size is what follows that. */
static qn_status open_shard(shard *s, int64_t *data_size) {
    QN_TRY(map_file(s));
    uint64_t length;
    memcpy(&length, s->map, sizeof length);
    if (length > ST_MAX_HEADER || length > s->size - ST_PREFIX) {
        return qn_error(QN_CODE_INVALID,
                        "%s: header of %" PRIu64 " bytes in a file of %zu (at most %d MB are "
                        "allowed): is it a safetensors file, and whole?",
                        s->path, length, s->size, ST_MAX_HEADER / 1000000);
    }
    QN_TRY(qn_context(
        qn_json_parse(s->path, (const char *)s->map + ST_PREFIX, (size_t)length, &s->header),
        "safetensors header"));
    *data_size = (int64_t)(s->size - ST_PREFIX - (size_t)length);
    return check_metadata(s);
}

/* Reads "shape" into a tensor without data; *numel is its number of elements. */
static qn_status read_shape(const json_t *info, const char *where, qn_dtype dtype,
                            qn_tensor *tensor, int64_t *numel) {
    const json_t *shape = json_object_get(info, "shape");
    if (!json_is_array(shape)) {
        return qn_json_misfit(info, where, "shape", QN_CODE_INVALID, "an array of sizes");
    }
    size_t rank = json_array_size(shape);
    if (rank > QN_MAX_RANK) {
        return qn_error(QN_CODE_UNSUPPORTED, "%s: rank %zu; quern has tensors of rank 0 to %d",
                        where, rank, QN_MAX_RANK);
    }
    int64_t sizes[QN_MAX_RANK];
    /* The product without its zeros must fit as well: strides are made of it. */
    int64_t reach = 1;
    *numel = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *size = json_array_get(shape, i);
        int64_t n = json_integer_value(size);
        if (!json_is_integer(size) || n < 0) {
            return qn_json_misfit(info, where, "shape", QN_CODE_INVALID, "sizes of 0 or more");
        }
        if (__builtin_mul_overflow(reach, n ? n : 1, &reach) || reach > INT64_MAX / 8) {
            return qn_json_misfit(info, where, "shape", QN_CODE_INVALID,
                                  "fewer than 2^60 elements");
        }
        sizes[i] = n;
        *numel *= n;
    }
    *tensor = qn_tensor_make(NULL, dtype, (int)rank, sizes);
    return QN_OK;
}

static qn_status read_offsets(const json_t *info, const char *where, int64_t data_size, entry *e) {
    const json_t *offsets = json_object_get(info, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    e->begin = json_integer_value(begin);
    e->end = json_integer_value(end);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        e->begin < 0 || e->begin > e->end || e->end > data_size) {
        char expected[96];
        snprintf(expected, sizeof expected,
                 "[begin, end] within the file's %" PRId64 " bytes of data", data_size);
        return qn_json_misfit(info, where, "data_offsets", QN_CODE_INVALID, expected);
    }
    return QN_OK;
}

static qn_status read_entry(const shard *s, const char *where, const json_t *info,
                            int64_t data_size, entry *e) {
    if (!json_is_object(info)) {
        return qn_error(QN_CODE_INVALID,
                        "%s: expected an object with dtype, shape and data_offsets", where);
    }
    QN_TRY(qn_json_string(info, where, "dtype", &e->dtype));
    const st_dtype *dtype = st_dtype_find(e->dtype);
    if (!dtype) {
        return qn_json_misfit(info, where, "dtype", QN_CODE_UNSUPPORTED,
                              "a safetensors dtype of whole bytes, such as F32 or BF16");
    }
    int64_t numel;
    e->readable = dtype->readable;
    QN_TRY(read_shape(info, where, dtype->dtype, &e->tensor, &numel));
    QN_TRY(read_offsets(info, where, data_size, e));
    if (e->end - e->begin != numel * dtype->size) {
        return qn_error(QN_CODE_INVALID,
                        "%s: data_offsets span %" PRId64
                        " bytes; its dtype and shape need %" PRId64,
                        where, e->end - e->begin, numel * dtype->size);
    }
    e->tensor.data = (void *)(s->map + (s->size - (size_t)data_size) + e->begin);
    return QN_OK;
}

static int by_offset(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

/* Checks that the tensors of a file tile its data; sorts them by offset. */
static qn_status check_tiling(const shard *s, entry *entries, int count, int64_t data_size) {
    qsort(entries, (size_t)count, sizeof *entries, by_offset);
    int64_t at = 0;
    for (int i = 0; i < count; i++) {
        if (entries[i].begin != at) {
            return qn_error(QN_CODE_INVALID,
                            "%s: tensor \"%s\" begins at byte %" PRId64 " of the data, the one "
                            "before ends at %" PRId64 "; tensors must follow each other",
                            s->path, entries[i].name, entries[i].begin, at);
        }
        at = entries[i].end;
    }
    if (at != data_size) {
        return qn_error(QN_CODE_INVALID,
                        "%s: %" PRId64 " bytes of data; its tensors have %" PRId64
                        ": is the file whole?",
                        s->path, data_size, at);
    }
    return QN_OK;
}

/* Room for `more` tensors behind those there are. */
static qn_status grow_entries(qn_safetensors *file, const char *path, size_t more) {
    if (more > (size_t)(INT_MAX - file->count)) {
        return qn_error(QN_CODE_UNSUPPORTED, "%s: more than %d tensors", path, INT_MAX);
    }
    size_t total = (size_t)file->count + more;
    entry *entries = realloc(file->entries, (total ? total : 1) * sizeof *entries);
    if (!entries) return qn_error(QN_CODE_MEMORY, "%s: no memory for %zu tensors", path, total);
    file->entries = entries;
    return QN_OK;
}

/* Opens a file and adds its tensors. Takes `path`, which is malloc'ed. */
static qn_status add_shard(qn_safetensors *file, char *path) {
    shard *s = &file->shards[file->n_shards++];
    s->path = path;
    int64_t data_size;
    QN_TRY(open_shard(s, &data_size));
    QN_TRY(grow_entries(file, path, json_object_size(s->header)));
    entry *first = file->entries + file->count;
    int count = 0;
    const char *name;
    json_t *info;
    json_object_foreach(s->header, name, info) {
        if (strcmp(name, ST_METADATA) == 0) continue;
        char *where = qn_path("%s: tensor \"%s\"", path, name);
        if (!where) return qn_error(QN_CODE_MEMORY, "%s: not enough memory", path);
        entry *e = &first[count++];
        *e = (entry){.name = name};
        qn_status status = read_entry(s, where, info, data_size, e);
        free(where);
        if (status) return status;
    }
    file->count += count;
    return check_tiling(s, first, count, data_size);
}

static qn_status sort_names(qn_safetensors *file, const char *path) {
    qsort(file->entries, (size_t)file->count, sizeof *file->entries, by_name);
    for (int i = 1; i < file->count; i++) {
        if (strcmp(file->entries[i - 1].name, file->entries[i].name) == 0) {
            return qn_error(QN_CODE_INVALID, "%s: two of its files hold a tensor \"%s\"", path,
                            file->entries[i].name);
        }
    }
    return QN_OK;
}

static qn_status allocate_shards(qn_safetensors *file, const char *path, size_t count) {
    file->shards = calloc(count, sizeof *file->shards);
    return file->shards ? QN_OK : qn_error(QN_CODE_MEMORY, "%s: not enough memory", path);
}

static qn_status open_single(qn_safetensors *file, const char *path) {
    QN_TRY(allocate_shards(file, path, 1));
    char *copy = strdup(path);
    if (!copy) return qn_error(QN_CODE_MEMORY, "%s: not enough memory", path);
    QN_TRY(add_shard(file, copy));
    return sort_names(file, path);
}

static const entry *find(const qn_safetensors *file, const char *name) {
    entry key = {.name = name};
    return file->count ? bsearch(&key, file->entries, (size_t)file->count, sizeof key, by_name)
                       : NULL;
}

/* The path of a shard that an index at `index` names; *out is malloc'ed. */
static qn_status shard_path(const char *index, const char *name, char **out) {
    if (strchr(name, '/') || !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return qn_error(QN_CODE_INVALID,
                        "%s: weight_map names \"%s\"; expected a file in the same folder", index,
                        name);
    }
    const char *slash = strrchr(index, '/');
    *out = qn_path("%.*s%s", slash ? (int)(slash + 1 - index) : 0, index, name);
    return *out ? QN_OK : qn_error(QN_CODE_MEMORY, "%s: not enough memory", index);
}

/* Opens every file that weight_map names, each once. */
static qn_status open_shards(qn_safetensors *file, const char *path, json_t *weight_map) {
    const char *name, *target;
    json_t *value;
    QN_TRY(allocate_shards(file, path, json_object_size(weight_map) + 1));
    json_object_foreach(weight_map, name, value) {
        QN_TRY(qn_json_string(weight_map, path, name, &target));
        char *shard_file;
        QN_TRY(shard_path(path, target, &shard_file));
        int i = 0;
        while (i < file->n_shards && strcmp(file->shards[i].path, shard_file) != 0) i++;
        if (i < file->n_shards) {
            free(shard_file);
        } else {
            QN_TRY(add_shard(file, shard_file));
        }
    }
    return sort_names(file, path);
}

static qn_status open_index(qn_safetensors *file, const char *path, json_t *index) {
    json_t *weight_map = json_object_get(index, "weight_map"), *value;
    if (!json_is_object(weight_map)) {
        return qn_json_misfit(index, path, "weight_map", QN_CODE_INVALID,
                              "an object from tensor names to files");
    }
    QN_TRY(open_shards(file, path, weight_map));
    const char *name;
    json_object_foreach(weight_map, name, value) {
        if (find(file, name)) continue;
        return qn_error(QN_CODE_INVALID, "%s: weight_map puts \"%s\" into %s, which lacks it", path,
                        name, json_string_value(value));
    }
    return QN_OK;
}

static bool is_index(const char *path) {
    size_t n = strlen(path);
    return n >= 5 && strcmp(path + n - 5, ".json") == 0;
}

qn_status qn_safetensors_open(const char *path, qn_safetensors **out) {
    *out = NULL;
    qn_safetensors *file = calloc(1, sizeof *file);
    if (!file) return qn_error(QN_CODE_MEMORY, "%s: not enough memory", path);
    qn_status status;
    if (is_index(path)) {
        json_t *index;
        status = qn_json_load(path, &index);
        if (!status) status = open_index(file, path, index);
        json_decref(index);
    } else {
        status = open_single(file, path);
    }
    if (status) {
        qn_safetensors_close(file);
        return status;
    }
    *out = file;
    return QN_OK;
}

void qn_safetensors_close(qn_safetensors *file) {
    if (!file) return;
    for (int i = 0; i < file->n_shards; i++) {
        shard *s = &file->shards[i];
        json_decref(s->header);
        if (s->map) munmap((void *)s->map, s->size);
        free(s->path);
    }
    free(file->shards);
    free(file->entries);
    free(file);
}

int qn_safetensors_count(const qn_safetensors *file) { return file->count; }

const char *qn_safetensors_name(const qn_safetensors *file, int i) { return file->entries[i].name; }

const char *qn_safetensors_dtype(const qn_safetensors *file, int i) {
    return file->entries[i].dtype;
}

bool qn_safetensors_find(const qn_safetensors *file, const char *name, qn_tensor *out) {
    const entry *e = find(file, name);
    if (!e || !e->readable) return false;
    *out = e->tensor;
    return true;
}

const char *qn_safetensors_metadata(const qn_safetensors *file, const char *key) {
    for (int i = 0; i < file->n_shards; i++) {
        const json_t *metadata = json_object_get(file->shards[i].header, ST_METADATA);
        const char *value = json_string_value(json_object_get(metadata, key));
        if (value) return value;
    }
    return NULL;
}
