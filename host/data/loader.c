#include "quern/loader.h"

#include <stdlib.h>
#include <string.h>

#include "data/examples.h"
#include "data/fingerprint.h"
#include "data/permute.h"
#include "data/shard_list.h"

struct qn_loader {
    qn_loader_options options;
    qn_shard_list text;
    int64_t sequences; /* of one epoch */
};

/* --- opening --- */

static qn_status check_options(const qn_loader_options *o) {
    if (o->seq_len < 1 || o->seq_len > INT32_MAX)
        return qn_error(QN_CODE_USAGE, "sequence length %lld: expected 1 to %d",
                        (long long)o->seq_len, INT32_MAX);
    if (o->overlap < 0 || o->overlap >= o->seq_len || (o->shuffle && o->overlap))
        return qn_error(QN_CODE_USAGE,
                        "overlap %lld: expected 0 to %lld, and 0 for shuffled sequences",
                        (long long)o->overlap, (long long)o->seq_len - 1);
    if (o->vocab_size < 1 || o->vocab_size > INT32_MAX)
        return qn_error(QN_CODE_USAGE, "vocabulary size %lld: expected 1 to %d",
                        (long long)o->vocab_size, INT32_MAX);
    if (o->boundary_id < -1 || o->boundary_id >= o->vocab_size)
        return qn_error(QN_CODE_USAGE,
                        "boundary token %lld: expected -1 (none) or an id below the vocabulary "
                        "size %lld",
                        (long long)o->boundary_id, (long long)o->vocab_size);
    if (!o->examples.length) return QN_OK;
    QN_TRY(qn_examples_check(&o->examples, "the data"));
    if (o->overlap)
        return qn_error(QN_CODE_USAGE, "overlap %lld: expected 0 for examples",
                        (long long)o->overlap);
    if (o->seq_len == o->examples.length - 1) return QN_OK;
    return qn_error(QN_CODE_USAGE,
                    "sequence length %lld: the data are examples of %lld tokens; expected %lld "
                    "(--seq-len)",
                    (long long)o->seq_len, (long long)o->examples.length,
                    (long long)o->examples.length - 1);
}

static qn_status count_examples(qn_loader *l, const char *pattern) {
    const int64_t length = l->options.examples.length;
    l->sequences = l->text.tokens / length;
    if (l->sequences > 0 && l->text.tokens % length == 0) return QN_OK;
    return qn_error(QN_CODE_INVALID,
                    "%s: %lld tokens are no whole number of examples of %lld tokens", pattern,
                    (long long)l->text.tokens, (long long)length);
}

/* From one sequence of a text to the next, without shuffle. */
static int64_t stride_of(const qn_loader *l) { return l->options.seq_len - l->options.overlap; }

/* In a shuffled epoch windows begin at an offset below seq_len, so that one window less
 * than the text holds is sure to fit. */
static qn_status count_sequences(qn_loader *l, const char *pattern) {
    if (l->options.examples.length) return count_examples(l, pattern);
    int64_t length = l->options.seq_len, targets = l->text.tokens - 1;
    if (targets < length)
        return qn_error(QN_CODE_INVALID,
                        "%s: %lld tokens are too few for sequences of %lld; expected at least "
                        "%lld: shorten the sequences or give more text",
                        pattern, (long long)l->text.tokens, (long long)length,
                        (long long)length + 1);
    int64_t stride = stride_of(l);
    if (!l->options.shuffle)
        l->sequences = 1 + (targets - length + stride - 1) / stride;
    else
        l->sequences = targets / length > 1 ? targets / length - 1 : 1;
    return QN_OK;
}

qn_status qn_loader_open(const char *pattern, const qn_loader_options *options, qn_loader **out) {
    QN_TRY(check_options(options));
    qn_loader *l = calloc(1, sizeof *l);
    if (!l) return qn_error(QN_CODE_MEMORY, "out of memory for a loader");
    l->options = *options;
    qn_status status = qn_examples_copy(&options->examples, &l->options.examples);
    if (!status) status = qn_shard_list_open(pattern, &l->text);
    if (!status) status = count_sequences(l, pattern);
    if (status) {
        qn_loader_close(l);
        return status;
    }
    *out = l;
    return QN_OK;
}

void qn_loader_close(qn_loader *l) {
    if (!l) return;
    qn_shard_list_close(&l->text);
    qn_examples_free(&l->options.examples);
    free(l);
}

int64_t qn_loader_tokens(const qn_loader *l) { return l->text.tokens; }
int64_t qn_loader_sequences(const qn_loader *l) { return l->sequences; }

int64_t qn_loader_targets(const qn_loader *l) {
    return l->options.examples.length ? qn_examples_targets(&l->options.examples) : stride_of(l);
}

int64_t qn_loader_sequences_for(const qn_loader *l, int64_t targets) {
    const int64_t each = qn_loader_targets(l);
    const int64_t first = l->options.examples.length ? each : l->options.seq_len;
    if (targets <= first) return 1;
    const int64_t more = (targets - first - 1) / each + 1;
    return more < l->sequences ? 1 + more : l->sequences;
}

void qn_loader_fingerprint(const qn_loader *l, qn_fingerprint *out) {
    qn_shard_list_fingerprint(&l->text, &l->options.examples, out);
}

/* --- reading --- */

/* Position in the text of the first token of sequence `index`. */
static int64_t window_start(const qn_loader *l, int64_t index) {
    const qn_loader_options *o = &l->options;
    int64_t k = index % l->sequences;
    if (!o->shuffle) return k * (o->examples.length ? o->examples.length : stride_of(l));
    uint64_t epoch = (uint64_t)(index / l->sequences);
    qn_philox r = qn_philox_at(o->seed, QN_RANDOM_SHUFFLE, 0, epoch);
    uint64_t key = (uint64_t)r.x[1] << 32 | r.x[0], draw = (uint64_t)r.x[3] << 32 | r.x[2];
    if (o->examples.length) return qn_permute(key, l->sequences, k) * o->examples.length;
    int64_t slack = l->text.tokens - l->sequences * o->seq_len; /* offsets that fit: below it */
    if (slack > o->seq_len) slack = o->seq_len;
    return (int64_t)(draw % (uint64_t)slack) + qn_permute(key, l->sequences, k) * o->seq_len;
}

static void mark_documents(const int32_t *tokens, int64_t n, int64_t boundary, int32_t *doc_start) {
    int32_t start = 0;
    for (int64_t i = 0; i < n; i++) {
        if (tokens[i] == boundary) start = (int32_t)i;
        doc_start[i] = start;
    }
}

qn_status qn_loader_fill(const qn_loader *l, int64_t index, int32_t *tokens, int32_t *targets,
                         int32_t *doc_start) {
    if (index < 0)
        return qn_error(QN_CODE_USAGE, "sequence %lld: expected 0 or more", (long long)index);
    int64_t length = l->options.seq_len, start = window_start(l, index);
    int64_t left = l->text.tokens - 1 - start, n = left < length ? left : length;
    int32_t last;
    QN_TRY(qn_shard_list_read(&l->text, start, n, l->options.vocab_size, tokens));
    QN_TRY(qn_shard_list_read(&l->text, start + n, 1, l->options.vocab_size, &last));
    memcpy(targets, tokens + 1, (size_t)(n - 1) * sizeof *targets);
    targets[n - 1] = last;
    for (int64_t i = n; i < length; i++) {
        tokens[i] = 0;
        targets[i] = -1;
    }
    if (start > 0)
        for (int64_t i = 0; i < l->options.overlap; i++) targets[i] = -1;
    if (l->options.examples.length) qn_examples_mask(&l->options.examples, targets);
    if (doc_start) {
        mark_documents(tokens, n, l->options.boundary_id, doc_start);
        for (int64_t i = n; i < length; i++) doc_start[i] = doc_start[n - 1];
    }
    return QN_OK;
}
