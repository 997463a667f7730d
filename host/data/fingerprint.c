/* fingerprint.c: the identity of a text, without reading all of it. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "data/fingerprint.h"

enum { BLOCKS = 64, BLOCK_BYTES = 64 << 10 };

/* The shard's blocks, header included; all of it where they would overlap. */
static void add_shard(XXH3_state_t *hash, const qn_shard *shard) {
    const char *bytes = shard->map;
    const uint64_t size = shard->map_length;
    if (size <= (uint64_t)BLOCKS * BLOCK_BYTES) {
        XXH3_64bits_update(hash, bytes, size);
        return;
    }
    for (uint64_t i = 0; i < BLOCKS; i++) {
        const uint64_t last = size - BLOCK_BYTES, step = last / (BLOCKS - 1);
        XXH3_64bits_update(hash, bytes + (i == BLOCKS - 1 ? last : i * step), BLOCK_BYTES);
    }
}

static void add_shape(XXH3_state_t *hash, const qn_examples *e) {
    XXH3_64bits_update(hash, &e->length, sizeof e->length);
    if (e->targets) XXH3_64bits_update(hash, e->targets, (size_t)e->n_targets * sizeof *e->targets);
}

void qn_shard_list_fingerprint(const qn_shard_list *list, const qn_examples *examples,
                               qn_fingerprint *out) {
    XXH3_state_t hash;
    XXH3_64bits_reset(&hash);
    *out = (qn_fingerprint){.shards = (int64_t)list->n_parts, .tokens = list->tokens};
    for (size_t i = 0; i < list->n_parts; i++) {
        out->bytes += (int64_t)list->parts[i].shard.map_length;
        add_shard(&hash, &list->parts[i].shard);
    }
    if (examples->length) add_shape(&hash, examples);
    out->hash = XXH3_64bits_digest(&hash);
}

bool qn_fingerprint_equal(const qn_fingerprint *a, const qn_fingerprint *b) {
    return a->shards == b->shards && a->bytes == b->bytes && a->tokens == b->tokens &&
           a->hash == b->hash;
}
