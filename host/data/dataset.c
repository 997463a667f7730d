#include "quern/dataset.h"

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/examples.h"
#include "data/manifest.h"
#include "data/shard_list.h"
#include "quern/files.h"

/* The boundary tokens of the tokenizers that llm.c's scripts use. */
enum { GPT2_BOUNDARY = 50256, LLAMA3_BOUNDARY = 128000 };

static qn_status pattern_too_long(const char *dir) {
    return qn_error(QN_CODE_USAGE, "%s: the path is too long", dir);
}

/* "DIR/NAME" in `out`, where a glob takes DIR literally. */
static qn_status make_pattern(const char *dir, const char *name, char *out, size_t size) {
    size_t n = 0;
    for (const char *p = dir; *p; p++) {
        if (n + 2 >= size) return pattern_too_long(dir);
        if (strchr("*?[\\", *p)) out[n++] = '\\';
        out[n++] = *p;
    }
    if (n + strlen(name) + 2 > size) return pattern_too_long(dir);
    sprintf(out + n, "/%s", name);
    return QN_OK;
}

static bool matches(const char *pattern) {
    glob_t found = {0};
    bool any = glob(pattern, GLOB_NOSORT, NULL, &found) == 0;
    globfree(&found);
    return any;
}

/* The pattern of a split's shards: quern's names or, where there are none, llm.c's. */
static qn_status find_shards(const char *dir, const char *split, char *out, size_t size) {
    static const char *const forms[] = {"%s_*.bin", "*_%s_*.bin", "*_%s.bin"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char name[64];
        snprintf(name, sizeof name, forms[i], split);
        QN_TRY(make_pattern(dir, name, out, size));
        if (matches(out)) return QN_OK;
    }
    return qn_error(QN_CODE_INVALID,
                    "%s: no %s_*.bin; is this a data folder? make one with `quern prepare`", dir,
                    split);
}

/* Validates the shards of a split. */
static qn_status measure(const char *pattern, int64_t *tokens, int *width) {
    qn_shard_list list;
    QN_TRY(qn_shard_list_open(pattern, &list));
    *tokens = list.tokens;
    *width = list.width;
    qn_shard_list_close(&list);
    return QN_OK;
}

static qn_status check_tokens(const char *path, const char *split, int64_t said, int64_t found) {
    if (said == found) return QN_OK;
    return qn_error(QN_CODE_INVALID,
                    "%s: %lld tokens in \"%s\", but the shards have %lld; is a shard missing?",
                    path, (long long)said, split, (long long)found);
}

static qn_status check_examples(const char *path, const char *split, int64_t tokens,
                                int64_t length) {
    if (!length || (tokens > 0 && tokens % length == 0)) return QN_OK;
    return qn_error(QN_CODE_INVALID,
                    "%s: %lld tokens in \"%s\" are no whole number of examples of %lld tokens",
                    path, (long long)tokens, split, (long long)length);
}

/* Takes what data.json says, when it is there. */
static qn_status read_manifest(const char *path, qn_dataset *d) {
    if (!qn_path_exists(path)) return QN_OK;
    qn_manifest m;
    json_t *recipe;
    QN_TRY(qn_manifest_read(path, &m, &recipe));
    json_decref(recipe);
    d->examples = m.examples;
    QN_TRY(check_tokens(path, "train", m.train.tokens, d->train_tokens));
    QN_TRY(check_tokens(path, "val", m.val.tokens, d->val_tokens));
    QN_TRY(check_examples(path, "train", d->train_tokens, m.examples.length));
    QN_TRY(check_examples(path, "val", d->val_tokens, m.examples.length));
    d->vocab_size = m.vocab_size;
    d->boundary_id = m.boundary_id;
    d->train_bytes = m.train.bytes;
    d->val_bytes = m.val.bytes;
    return QN_OK;
}

/* Opens the tokenizer, when it is there. */
static qn_status read_tokenizer(const char *path, qn_dataset *d) {
    if (!qn_path_exists(path)) return QN_OK;
    QN_TRY(qn_tokenizer_open(path, &d->tokenizer));
    int size = qn_tokenizer_vocab_size(d->tokenizer);
    if (d->vocab_size && d->vocab_size != size)
        return qn_error(QN_CODE_INVALID, "%s: %d pieces, but data.json has a vocabulary of %lld",
                        path, size, (long long)d->vocab_size);
    if (!d->vocab_size) d->boundary_id = qn_tokenizer_boundary_id(d->tokenizer);
    d->vocab_size = size;
    return QN_OK;
}

static qn_status open_shards(const char *dir, qn_dataset *d) {
    int train_width, val_width;
    QN_TRY(find_shards(dir, "train", d->train_pattern, sizeof d->train_pattern));
    QN_TRY(find_shards(dir, "val", d->val_pattern, sizeof d->val_pattern));
    QN_TRY(measure(d->train_pattern, &d->train_tokens, &train_width));
    QN_TRY(measure(d->val_pattern, &d->val_tokens, &val_width));
    if (train_width != val_width)
        return qn_error(QN_CODE_INVALID,
                        "%s: train tokens have %d bytes, val tokens %d; they come from different "
                        "tokenizers",
                        dir, train_width, val_width);
    d->boundary_id = train_width == 2 ? GPT2_BOUNDARY : LLAMA3_BOUNDARY;
    return QN_OK;
}

static qn_status open_files(const char *dir, qn_dataset *d) {
    QN_TRY(open_shards(dir, d));
    char *manifest = qn_path("%s/data.json", dir), *model = qn_path("%s/tokenizer.model", dir);
    qn_status status = QN_OK;
    if (!manifest || !model) status = qn_error(QN_CODE_MEMORY, "out of memory for a path");
    if (!status) status = read_manifest(manifest, d);
    if (!status) status = read_tokenizer(model, d);
    free(manifest);
    free(model);
    return status;
}

qn_status qn_dataset_open(const char *dir, qn_dataset *out) {
    struct stat info;
    if (stat(dir, &info) != 0 || !S_ISDIR(info.st_mode))
        return qn_error(QN_CODE_IO, "%s: there is no such folder; make one with `quern prepare`",
                        dir);
    qn_dataset *d = calloc(1, sizeof *d);
    if (!d) return qn_error(QN_CODE_MEMORY, "out of memory for a data folder");
    qn_status status = open_files(dir, d);
    if (status)
        qn_dataset_close(d);
    else
        *out = *d;
    free(d);
    return status;
}

void qn_dataset_close(qn_dataset *d) {
    qn_tokenizer_close(d->tokenizer);
    d->tokenizer = NULL;
    qn_examples_free(&d->examples);
}

qn_status qn_dataset_check_vocab(const qn_dataset *d, const char *dir, int64_t vocab_size,
                                 const char *model) {
    if (d->vocab_size <= vocab_size) return QN_OK;
    return qn_error(QN_CODE_USAGE,
                    "model %s has a vocabulary of %lld, and the data in %s one of %lld; prepare "
                    "the data with at most that --vocab-size",
                    model, (long long)vocab_size, dir, (long long)d->vocab_size);
}
