#include "data/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "data/examples.h"
#include "quern/files.h"

/* Raised when older readers could not understand data.json: since 2 there are examples, which an
 * older one would take for running text. */
enum { FORMAT_OF_TEXT = 1, FORMAT = 2 };

static qn_status no_memory(void) { return qn_error(QN_CODE_MEMORY, "out of memory for data.json"); }

static qn_status append_source(json_t *list, const char *path) {
    struct stat info;
    uint64_t checksum;
    char digits[17];
    QN_TRY(qn_file_checksum(path, &checksum));
    if (stat(path, &info) != 0)
        return qn_error(QN_CODE_IO, "cannot examine %s: %s", path, strerror(errno));
    snprintf(digits, sizeof digits, "%016" PRIx64, checksum);
    /* A path need not be UTF-8, which JSON strings are. */
    json_t *file = json_string(path);
    json_t *item = json_pack("{s:o, s:I, s:s}", "file", file ? file : json_string("(not UTF-8)"),
                             "bytes", (json_int_t)info.st_size, "xxh3", digits);
    return json_array_append_new(list, item) == 0 ? QN_OK : no_memory();
}

qn_status qn_manifest_recipe(const qn_prepare_options *o, const qn_sources *sources, json_t **out) {
    json_t *list = json_array();
    qn_status status = list ? QN_OK : no_memory();
    for (size_t i = 0; !status && i < sources->count; i++)
        status = append_source(list, sources->items[i].path);
    if (status) {
        json_decref(list);
        return status;
    }
    *out = json_pack("{s:s?, s:i, s:f, s:o}", "corpus", o->corpus, "vocab_size", o->vocab_size,
                     "val_fraction", o->val_fraction, "sources", list);
    return *out ? QN_OK : no_memory();
}

static json_t *pack_split(const qn_split_counts *s) {
    return json_pack("{s:I, s:I, s:I}", "tokens", (json_int_t)s->tokens, "bytes",
                     (json_int_t)s->bytes, "documents", (json_int_t)s->documents);
}

qn_status qn_manifest_write(const char *dir, const qn_manifest *m, json_t *recipe) {
    json_t *examples = m->examples.length ? qn_examples_to_json(&m->examples) : NULL;
    json_t *root = json_pack(
        "{s:i, s:s, s:I, s:I, s:o*, s:o, s:o, s:O*}", "format",
        m->examples.length ? FORMAT : FORMAT_OF_TEXT, "quern", QN_VERSION, "vocab_size",
        (json_int_t)m->vocab_size, "boundary_id", (json_int_t)m->boundary_id, "examples", examples,
        "train", pack_split(&m->train), "val", pack_split(&m->val), "made_from", recipe);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    char *path = qn_path("%s/data.json", dir);
    qn_status status = text && path ? qn_file_write(path, text, strlen(text)) : no_memory();
    json_decref(root);
    free(text);
    free(path);
    return status;
}

static qn_status read_split(const json_t *root, const char *path, const char *key,
                            qn_split_counts *out) {
    const json_t *split = json_object_get(root, key);
    if (!json_is_object(split))
        return qn_json_misfit(root, path, key, QN_CODE_INVALID,
                              "an object with tokens, bytes and documents");
    qn_status status = qn_json_int(split, path, "tokens", 0, INT64_MAX, &out->tokens);
    if (!status) status = qn_json_int(split, path, "bytes", 0, INT64_MAX, &out->bytes);
    if (!status) status = qn_json_int(split, path, "documents", 0, INT64_MAX, &out->documents);
    return qn_context(status, "\"%s\"", key);
}

static qn_status read_root(const json_t *root, const char *path, qn_manifest *out) {
    int64_t format;
    QN_TRY(qn_json_int(root, path, "format", 1, INT64_MAX, &format));
    if (format > FORMAT)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "%s: format %lld, this quern knows %d; use a newer quern", path,
                        (long long)format, FORMAT);
    QN_TRY(qn_json_int(root, path, "vocab_size", 1, INT32_MAX, &out->vocab_size));
    QN_TRY(qn_json_int(root, path, "boundary_id", -1, out->vocab_size - 1, &out->boundary_id));
    QN_TRY(read_split(root, path, "train", &out->train));
    QN_TRY(read_split(root, path, "val", &out->val));
    return qn_examples_from_json(root, path, &out->examples);
}

qn_status qn_manifest_read(const char *path, qn_manifest *out, json_t **recipe) {
    json_t *root;
    *out = (qn_manifest){0};
    QN_TRY(qn_json_load(path, &root));
    qn_status status = read_root(root, path, out);
    *recipe = status ? NULL : json_incref(json_object_get(root, "made_from"));
    json_decref(root);
    return status;
}
