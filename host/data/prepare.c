#include "quern/dataset.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "data/corpus.h"
#include "data/examples.h"
#include "data/manifest.h"
#include "data/out_dir.h"
#include "data/shard.h"
#include "quern/files.h"

enum {
    SHARD_TOKENS = 100 * 1000 * 1000,
    CHUNK_BYTES = 1 << 20, /* of text encoded at once */
};

typedef struct job {
    const qn_prepare_options *options;
    qn_corpus corpus;
    size_t cut_document, cut_offset; /* where the held-out text begins */
    qn_tokenizer *tokenizer;
    const char *dir; /* to write to */
    size_t bytes_done, bytes_total;
    qn_manifest manifest;
} job;

static qn_status report(const qn_prepare_options *o, const char *stage, double done) {
    if (!o->progress || !o->progress(o->progress_context, stage, done)) return QN_OK;
    return qn_error(QN_CODE_IO, "stopped; nothing was written to %s", o->out_dir);
}

static qn_status check_options(const qn_prepare_options *o) {
    if (!(o->val_fraction > 0 && o->val_fraction <= 0.5))
        return qn_error(QN_CODE_USAGE, "held-out fraction %g: expected more than 0, at most 0.5",
                        o->val_fraction);
    if (!o->out_dir || !*o->out_dir)
        return qn_error(QN_CODE_USAGE, "no folder to write to was given");
    return QN_OK;
}

/* --- reading --- */

static qn_status load_corpus(job *j, const qn_sources *sources) {
    for (size_t i = 0; i < sources->count; i++) {
        QN_TRY(report(j->options, "reading", (double)i / (double)sources->count));
        QN_TRY(qn_corpus_load(&j->corpus, &sources->items[i]));
    }
    for (size_t i = 0; i < j->corpus.n_documents; i++)
        j->bytes_total += j->corpus.documents[i].length;
    return QN_OK;
}

/* The first place at or after `offset` of a document where a line begins, or a character
 * where no line does. */
static size_t next_line(const char *text, size_t length, size_t offset) {
    const char *newline = memchr(text + offset, '\n', length - offset);
    if (newline && newline + 1 < text + length) return (size_t)(newline + 1 - text);
    while (offset < length && ((unsigned char)text[offset] & 0xC0) == 0x80) offset++;
    return offset;
}

/* Finds where the last val_fraction of the text begins. */
static qn_status find_cut(job *j) {
    size_t before = 0, target = (size_t)((1 - j->options->val_fraction) * (double)j->bytes_total);
    const qn_document *d = j->corpus.documents;
    size_t i = 0;
    while (i + 1 < j->corpus.n_documents && before + d[i].length <= target) before += d[i++].length;
    j->cut_document = i;
    j->cut_offset = next_line(j->corpus.text + d[i].start, d[i].length, target - before);
    if (before + j->cut_offset > 0 && before + j->cut_offset < j->bytes_total) return QN_OK;
    return qn_error(QN_CODE_INVALID,
                    "%zu bytes of text are too few to hold out a part of them; give more text",
                    j->bytes_total);
}

/* --- writing --- */

/* The part of a document up to `limit` bytes that ends with a line, if there is such. */
static size_t chunk_length(const char *text, size_t length, size_t limit) {
    if (length <= limit) return length;
    const char *newline = memrchr(text, '\n', limit);
    if (!newline) newline = memchr(text + limit, '\n', length - limit);
    return newline ? (size_t)(newline + 1 - text) : length;
}

static qn_status write_chunk(job *j, qn_shard_writer *w, const char *text, size_t length) {
    int32_t *ids;
    size_t count;
    QN_TRY(qn_tokenizer_encode(j->tokenizer, text, length, &ids, &count));
    qn_status status = qn_shard_write(w, ids, count);
    free(ids);
    QN_TRY(status);
    j->bytes_done += length;
    return report(j->options, "encoding", (double)j->bytes_done / (double)j->bytes_total);
}

static qn_status write_document(job *j, qn_shard_writer *w, const char *text, size_t length) {
    int32_t boundary = qn_tokenizer_boundary_id(j->tokenizer);
    QN_TRY(qn_shard_write(w, &boundary, 1));
    while (length > 0) {
        size_t n = chunk_length(text, length, CHUNK_BYTES);
        QN_TRY(write_chunk(j, w, text, n));
        text += n;
        length -= n;
    }
    return QN_OK;
}

/* Writes the part of the corpus before the cut, or the one after it. */
static qn_status write_documents(job *j, qn_shard_writer *w, int held_out,
                                 qn_split_counts *counts) {
    for (size_t i = 0; i < j->corpus.n_documents; i++) {
        qn_document d = j->corpus.documents[i];
        size_t cut = i < j->cut_document ? d.length : i > j->cut_document ? 0 : j->cut_offset;
        size_t begin = held_out ? cut : 0, length = held_out ? d.length - cut : cut;
        if (length == 0) continue;
        QN_TRY(write_document(j, w, j->corpus.text + d.start + begin, length));
        counts->bytes += (int64_t)length;
        counts->documents++;
    }
    QN_TRY(qn_shard_writer_finish(w));
    counts->tokens = w->total;
    return QN_OK;
}

static qn_status write_split(job *j, const char *split, int held_out, qn_split_counts *counts) {
    qn_shard_writer w;
    qn_shard_writer_init(&w, j->dir, split, j->options->vocab_size, SHARD_TOKENS);
    qn_status status = write_documents(j, &w, held_out, counts);
    qn_shard_writer_abandon(&w);
    return status;
}

static qn_status train_tokenizer(job *j) {
    QN_TRY(report(j->options, "training the tokenizer", 0));
    const qn_corpus *c = &j->corpus;
    QN_TRY(qn_tokenizer_train(c->text, c->documents[j->cut_document].start + j->cut_offset,
                              j->options->vocab_size, j->options->n_threads, &j->tokenizer));
    j->manifest.vocab_size = qn_tokenizer_vocab_size(j->tokenizer);
    j->manifest.boundary_id = qn_tokenizer_boundary_id(j->tokenizer);
    return qn_tokenizer_save(j->tokenizer, j->dir);
}

static qn_status run_job(job *j, const qn_sources *sources) {
    json_t *recipe;
    QN_TRY(load_corpus(j, sources));
    QN_TRY(find_cut(j));
    QN_TRY(train_tokenizer(j));
    QN_TRY(write_split(j, "train", 0, &j->manifest.train));
    QN_TRY(write_split(j, "val", 1, &j->manifest.val));
    QN_TRY(qn_manifest_recipe(j->options, sources, &recipe));
    qn_status status = qn_manifest_write(j->dir, &j->manifest, recipe);
    json_decref(recipe);
    return status;
}

/* --- the folder --- */

static int is_data_file(const char *name) {
    static const char *const patterns[] = {"train_*.bin",    "val_*.bin",
                                           "data.json",      "tokenizer.model",
                                           "tokenizer.json", "tokenizer_config.json"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (fnmatch(patterns[i], name, 0) == 0) return 1;
    return 0;
}

static qn_status prepare_from(const qn_prepare_options *o, const qn_sources *sources) {
    qn_out_dir out;
    QN_TRY(qn_out_dir_begin(o->out_dir, o->replace, is_data_file, &out));
    job j = {.options = o, .dir = out.temporary};
    qn_status status = run_job(&j, sources);
    if (!status) status = qn_out_dir_publish(&out);
    qn_tokenizer_close(j.tokenizer);
    qn_corpus_free(&j.corpus);
    qn_out_dir_end(&out);
    return status;
}

static qn_status find_sources(const qn_prepare_options *o, qn_sources *sources) {
    return qn_sources_find(o->corpus, o->corpus_dir, o->files, o->n_files, sources);
}

qn_status qn_dataset_prepare(const qn_prepare_options *options) {
    qn_sources sources;
    QN_TRY(check_options(options));
    QN_TRY(find_sources(options, &sources));
    qn_status status = prepare_from(options, &sources);
    qn_sources_free(&sources);
    return status;
}

/* Does DIR open, and what was it made from? NULL when it does not. */
static json_t *read_recipe(const char *dir) {
    qn_dataset dataset;
    qn_manifest manifest;
    json_t *recipe = NULL;
    qn_status status = qn_dataset_open(dir, &dataset);
    if (!status) {
        int has_tokenizer = dataset.tokenizer != NULL;
        qn_dataset_close(&dataset);
        char *path = qn_path("%s/data.json", dir);
        if (path && has_tokenizer) {
            status = qn_manifest_read(path, &manifest, &recipe);
            qn_examples_free(&manifest.examples);
        }
        free(path);
    }
    qn_status_free(status);
    return recipe;
}

qn_status qn_dataset_is_current(const qn_prepare_options *options, bool *current) {
    qn_sources sources;
    json_t *wanted = NULL, *found;
    *current = false;
    QN_TRY(check_options(options));
    if (!qn_path_exists(options->out_dir)) return QN_OK;
    QN_TRY(find_sources(options, &sources));
    qn_status status = qn_manifest_recipe(options, &sources, &wanted);
    if (!status) {
        found = read_recipe(options->out_dir);
        *current = found && json_equal(found, wanted);
        json_decref(found);
    }
    json_decref(wanted);
    qn_sources_free(&sources);
    return status;
}
