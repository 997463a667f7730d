/* shard_list.h: shards that are one text, a token after the other. */
#ifndef QUERN_DATA_SHARD_LIST_H
#define QUERN_DATA_SHARD_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "data/shard.h"
#include "quern/status.h"

typedef struct qn_shard_part {
    qn_shard shard;
    char *path;
    int64_t start; /* position in the text of its first token */
} qn_shard_part;

typedef struct qn_shard_list {
    qn_shard_part *parts; /* in the order of the text; empty shards are left out */
    size_t n_parts;
    int64_t tokens;
    int width; /* bytes of a token */
} qn_shard_list;

/* Maps the shards that `pattern` (a glob) names, in order of their names. All must have
 * tokens of the same width. */
qn_status qn_shard_list_open(const char *pattern, qn_shard_list *out);
void qn_shard_list_close(qn_shard_list *list);

/* Copies the `count` tokens from `position` on, which the text has; one that is not below
 * vocab_size is an error. */
qn_status qn_shard_list_read(const qn_shard_list *list, int64_t position, int64_t count,
                             int64_t vocab_size, int32_t *out);

#endif
