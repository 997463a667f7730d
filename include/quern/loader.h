/* loader.h: training sequences out of token shards. */
#ifndef QUERN_LOADER_H
#define QUERN_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "quern/examples.h"
#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_loader qn_loader;

typedef struct qn_loader_options {
    int64_t seq_len;      /* T: tokens of a sequence */
    uint64_t seed;        /* order of the sequences and where epochs start */
    int shuffle;          /* 0: in the order of the text */
    int64_t boundary_id;  /* the token that begins (or ends) documents; -1: none */
    int64_t vocab_size;   /* every token is checked against it as it is read */
    int64_t overlap;      /* without shuffle: leading tokens that a sequence shares with the one
                             before it and that only serve as context, their targets being -1;
                             less than seq_len */
    qn_examples examples; /* of length seq_len + 1, in place of windows of the text, without
                             overlap; length 0: none. `targets` are read on opening only */
} qn_loader_options;

/* Maps the shards that `pattern` (a glob) names, in order of their names; they are
 * one text. Fails when none matches, one is malformed, or the text has fewer than
 * seq_len + 1 tokens or no whole number of examples. */
qn_status qn_loader_open(const char *pattern, const qn_loader_options *options, qn_loader **out);
void qn_loader_close(qn_loader *loader);

int64_t qn_loader_tokens(const qn_loader *loader);    /* tokens in all shards */
int64_t qn_loader_sequences(const qn_loader *loader); /* sequences of one epoch */
/* Targets that a sequence has; without shuffle, those of a text's first and last sequence aside. */
int64_t qn_loader_targets(const qn_loader *loader);
/* Sequences that have at least so many targets together, and at most those of an epoch. */
int64_t qn_loader_sequences_for(const qn_loader *loader, int64_t targets);

/* Fills sequence `index` (0 and up, epochs follow each other): a pure function of
 * shards, options and index, so that a position is one number. With shuffle, each
 * epoch visits each window once, in an order of its own and with windows that start
 * at an offset of its own. Without, index runs over the windows of one
 * pass; the last one is filled up at its end with token 0 and targets -1, so that
 * every token of the text but the first is a target exactly once. Of examples, each epoch has each
 * once; tokens that do not count in the loss are targets −1.
 *   tokens, targets (T) int32: targets[i] is the token after tokens[i].
 *   doc_start (T) int32, may be NULL: where in this sequence the document of each
 *   position begins (0 for one that began before). */
qn_status qn_loader_fill(const qn_loader *loader, int64_t index, int32_t *tokens, int32_t *targets,
                         int32_t *doc_start);

/* What tells one text from another: what the shards add up to, and a hash (XXH3) of 64 blocks
 * of 64 KiB of each, which lie evenly over it, first (with the header) and last included. So a
 * shard of up to 4 MiB counts whole; of a larger one, a change that keeps its size and falls
 * between the blocks is not seen. Names and folders do not count; the shape of examples does. */
typedef struct qn_fingerprint {
    int64_t shards, bytes, tokens; /* shards without tokens are left out; 0 shards: unknown */
    uint64_t hash;
} qn_fingerprint;

void qn_loader_fingerprint(const qn_loader *loader, qn_fingerprint *out);
bool qn_fingerprint_equal(const qn_fingerprint *a, const qn_fingerprint *b);

#ifdef __cplusplus
}
#endif
#endif
