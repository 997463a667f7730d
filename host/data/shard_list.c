#include "data/shard_list.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static qn_status find_files(const char *pattern, glob_t *found) {
    int rc = glob(pattern, GLOB_NOSORT, NULL, found);
    if (rc == GLOB_NOMATCH) return qn_error(QN_CODE_IO, "no token shard matches %s", pattern);
    if (rc == GLOB_NOSPACE) return qn_error(QN_CODE_MEMORY, "out of memory for %s", pattern);
    if (rc != 0) return qn_error(QN_CODE_IO, "cannot read the folder of %s", pattern);
    /* glob's own order depends on the locale */
    qsort(found->gl_pathv, found->gl_pathc, sizeof *found->gl_pathv, by_name);
    return QN_OK;
}

/* Takes ownership of the shard, also on an error. */
static qn_status add_part(qn_shard_list *list, qn_shard *shard, const char *path) {
    qn_status status = QN_OK;
    char *copy = NULL;
    if (list->width && list->width != shard->width)
        status = qn_error(QN_CODE_INVALID,
                          "%s: its tokens have %d bytes, those of the shards before it %d; they "
                          "come from different tokenizers",
                          path, shard->width, list->width);
    else if (shard->count > 0 && !(copy = strdup(path)))
        status = qn_error(QN_CODE_MEMORY, "out of memory for a path");
    if (!status) list->width = shard->width;
    if (!copy) {
        qn_shard_close(shard);
        return status;
    }
    list->parts[list->n_parts++] = (qn_shard_part){*shard, copy, list->tokens};
    list->tokens += shard->count;
    return QN_OK;
}

static qn_status add_files(qn_shard_list *list, const glob_t *found) {
    list->parts = calloc(found->gl_pathc, sizeof *list->parts);
    if (!list->parts) return qn_error(QN_CODE_MEMORY, "out of memory for the shards");
    for (size_t i = 0; i < found->gl_pathc; i++) {
        qn_shard shard;
        QN_TRY(qn_shard_open(found->gl_pathv[i], &shard));
        QN_TRY(add_part(list, &shard, found->gl_pathv[i]));
    }
    return QN_OK;
}

qn_status qn_shard_list_open(const char *pattern, qn_shard_list *out) {
    qn_shard_list list = {0};
    glob_t found = {0};
    qn_status status = find_files(pattern, &found);
    if (!status) status = add_files(&list, &found);
    globfree(&found);
    if (status) {
        qn_shard_list_close(&list);
        return status;
    }
    *out = list;
    return QN_OK;
}

void qn_shard_list_close(qn_shard_list *list) {
    for (size_t i = 0; i < list->n_parts; i++) {
        qn_shard_close(&list->parts[i].shard);
        free(list->parts[i].path);
    }
    free(list->parts);
    *list = (qn_shard_list){0};
}

static const qn_shard_part *find_part(const qn_shard_list *list, int64_t position) {
    size_t low = 0, high = list->n_parts;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (list->parts[middle].start <= position)
            low = middle;
        else
            high = middle;
    }
    return &list->parts[low];
}

qn_status qn_shard_list_read(const qn_shard_list *list, int64_t position, int64_t count,
                             int64_t vocab_size, int32_t *out) {
    const qn_shard_part *part = find_part(list, position);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = position + i - part->start;
        if (at == part->shard.count) {
            part++;
            at = 0;
        }
        uint32_t token = qn_shard_token(&part->shard, at);
        if (token >= (uint64_t)vocab_size)
            return qn_error(QN_CODE_INVALID,
                            "%s: the token at position %lld (from 0) is %u, expected below the "
                            "vocabulary size %lld; is this data for another tokenizer?",
                            part->path, (long long)at, token, (long long)vocab_size);
        out[i] = (int32_t)token;
    }
    return QN_OK;
}
