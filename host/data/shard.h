/* shard.h: token shards in llm.c's layout: 256 little-endian int32 {magic, version,
 * count, 0, …}, then count tokens. */
#ifndef QUERN_DATA_SHARD_H
#define QUERN_DATA_SHARD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    QN_SHARD_HEADER = 256, /* int32 words */
    QN_SHARD_GPT2_MAGIC = 20240520,
    QN_SHARD_GPT2_VERSION = 1, /* uint16 tokens */
    QN_SHARD_LLAMA3_MAGIC = 20240801,
    QN_SHARD_LLAMA3_VERSION = 7, /* uint32 tokens */
};

/* A shard mapped read-only. The file must not shrink while it is open. */
typedef struct qn_shard {
    void *map;
    size_t map_length;
    int64_t count;
    int width; /* bytes of a token: 2 or 4 */
} qn_shard;

/* Maps a shard; fails unless magic and version are known and the file's size is that of
 * `count` tokens exactly. */
qn_status qn_shard_open(const char *path, qn_shard *out);
void qn_shard_close(qn_shard *shard);

static inline uint32_t qn_shard_token(const qn_shard *shard, int64_t index) {
    const char *tokens = (const char *)shard->map + QN_SHARD_HEADER * sizeof(int32_t);
    return shard->width == 2 ? ((const uint16_t *)tokens)[index]
                             : ((const uint32_t *)tokens)[index];
}

/* Writes DIR/<split>_000000.bin and on, a new file every `shard_tokens` tokens. */
typedef struct qn_shard_writer {
    const char *dir, *split; /* borrowed */
    int width;
    int64_t shard_tokens;
    char *path; /* of the open file */
    FILE *file;
    int64_t count; /* tokens in the open file */
    int64_t total; /* tokens in all files */
    int shards;
} qn_shard_writer;

/* Tokens are uint16 when the vocabulary allows it. */
void qn_shard_writer_init(qn_shard_writer *writer, const char *dir, const char *split,
                          int64_t vocab_size, int64_t shard_tokens);
qn_status qn_shard_write(qn_shard_writer *writer, const int32_t *tokens, size_t count);
/* Completes the last file. */
qn_status qn_shard_writer_finish(qn_shard_writer *writer);
/* Closes what an error left open; fine after finish too. */
void qn_shard_writer_abandon(qn_shard_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
