/* dataset.h: a data folder, as `quern prepare` writes it or as llm.c's scripts do:
 * train_*.bin, val_*.bin, data.json and tokenizer.* (the last two may be missing). */
#ifndef QUERN_DATASET_H
#define QUERN_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "quern/examples.h"
#include "quern/status.h"
#include "quern/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_dataset {
    char train_pattern[4096]; /* globs for qn_loader_open */
    char val_pattern[4096];
    int64_t vocab_size;  /* 0: unknown (no data.json) */
    int64_t boundary_id; /* from data.json, else GPT-2's 50256 or Llama 3's 128000 by the
                            shards' version */
    int64_t train_tokens, train_bytes; /* 0: unknown */
    int64_t val_tokens, val_bytes;
    qn_examples examples;    /* length 0: running text; the dataset's */
    qn_tokenizer *tokenizer; /* NULL when the folder has no tokenizer.model */
} qn_dataset;

/* Opens a data folder; missing shards, a malformed data.json or tokenizer are errors, and so are
 * shards that hold no whole number of examples. */
qn_status qn_dataset_open(const char *dir, qn_dataset *out);
void qn_dataset_close(qn_dataset *dataset);

/* Checks that the data's vocabulary, where it is known, is within a model's; where it is not,
 * tokens are checked as they are read. `dir` and `model` are for the message. */
qn_status qn_dataset_check_vocab(const qn_dataset *dataset, const char *dir, int64_t vocab_size,
                                 const char *model);

typedef struct qn_prepare_options {
    const char *corpus;       /* "austen", "classic", or NULL for `files` */
    const char *corpus_dir;   /* where scripts/corpus.sh left the corpora */
    const char *const *files; /* UTF-8 text files, one document each */
    int n_files;
    int vocab_size;
    double val_fraction; /* held out from the end of the text */
    const char *out_dir;
    int n_threads;
    int replace; /* nonzero: an earlier data folder at out_dir gives way to the new one */
    /* Nullable; done is 0..1. Nonzero stops the work, which leaves nothing behind. */
    int (*progress)(void *context, const char *stage, double done);
    void *progress_context;
} qn_prepare_options;

/* Makes a data folder, whole or not at all, by way of "<out_dir>.tmp". The tokenizer sees
 * the training part only. Fails where out_dir exists and is not empty, unless it is a data
 * folder and `replace` is set. */
qn_status qn_dataset_prepare(const qn_prepare_options *options);

/* Is out_dir a sound data folder, made with the same options from the same texts? Reads the
 * texts for their checksums. */
qn_status qn_dataset_is_current(const qn_prepare_options *options, bool *current);

#ifdef __cplusplus
}
#endif
#endif
