#include <stdlib.h>

#include "data/examples.h"
#include "data/manifest.h"
#include "data/out_dir.h"
#include "data/shard.h"

enum { SHARD_TOKENS = 100 * 1000 * 1000 };

static qn_status check_split(const char *dir, const char *split, const qn_example_split *s,
                             int64_t length, int64_t vocab_size) {
    if (s->count < 1 || s->count > INT64_MAX / length)
        return qn_error(QN_CODE_USAGE, "%s: %lld examples in \"%s\"; expected at least one", dir,
                        (long long)s->count, split);
    for (int64_t i = 0; i < s->count * length; i++)
        if (s->tokens[i] < 0 || s->tokens[i] >= vocab_size)
            return qn_error(QN_CODE_USAGE,
                            "%s: token %lld of \"%s\" is %d; expected 0 to %lld, below the "
                            "vocabulary size",
                            dir, (long long)i, split, s->tokens[i], (long long)vocab_size - 1);
    return QN_OK;
}

static qn_status write_split(const char *dir, const char *split, const qn_example_split *s,
                             const qn_manifest *m, qn_split_counts *counts) {
    qn_shard_writer w;
    *counts = (qn_split_counts){.tokens = s->count * m->examples.length, .documents = s->count};
    qn_shard_writer_init(&w, dir, split, m->vocab_size, SHARD_TOKENS);
    qn_status status = qn_shard_write(&w, s->tokens, (size_t)counts->tokens);
    if (!status) status = qn_shard_writer_finish(&w);
    qn_shard_writer_abandon(&w);
    return status;
}

static qn_status write_folder(const char *dir, qn_manifest *m, const qn_example_split *train,
                              const qn_example_split *val) {
    QN_TRY(write_split(dir, "train", train, m, &m->train));
    QN_TRY(write_split(dir, "val", val, m, &m->val));
    return qn_manifest_write(dir, m, NULL);
}

/* What is there stays: nothing in a folder gives way. */
static int is_replaceable(const char *name) {
    (void)name;
    return 0;
}

qn_status qn_examples_write(const char *dir, const qn_examples *examples, int64_t vocab_size,
                            qn_example_split train, qn_example_split val) {
    qn_manifest manifest = {.vocab_size = vocab_size, .boundary_id = -1, .examples = *examples};
    if (vocab_size < 1 || vocab_size > INT32_MAX)
        return qn_error(QN_CODE_USAGE, "%s: vocabulary size %lld; expected 1 to %d", dir,
                        (long long)vocab_size, INT32_MAX);
    QN_TRY(qn_examples_check(examples, dir));
    QN_TRY(check_split(dir, "train", &train, examples->length, vocab_size));
    QN_TRY(check_split(dir, "val", &val, examples->length, vocab_size));
    qn_out_dir out;
    QN_TRY(qn_out_dir_begin(dir, 0, is_replaceable, &out));
    qn_status status = write_folder(out.temporary, &manifest, &train, &val);
    if (!status) status = qn_out_dir_publish(&out);
    qn_out_dir_end(&out);
    return status;
}
