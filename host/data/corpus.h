/* corpus.h: the documents that a data folder is made of. */
#ifndef QUERN_DATA_CORPUS_H
#define QUERN_DATA_CORPUS_H

#include <stddef.h>

#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_document {
    size_t start, length; /* bytes in the corpus's text */
} qn_document;

typedef struct qn_corpus {
    char *text;    /* the documents, each followed by a newline that is not part of it */
    size_t length; /* with these newlines */
    size_t capacity;
    qn_document *documents;
    size_t n_documents, documents_capacity;
} qn_corpus;

/* Appends a copy of a document; empty ones are left out. `name` is for errors: text that
 * is not UTF-8 fails with the byte offset of the first bad byte. */
qn_status qn_corpus_add(qn_corpus *corpus, const char *name, const char *text, size_t length);
void qn_corpus_free(qn_corpus *corpus);

typedef enum qn_source_format {
    QN_SOURCE_TEXT,  /* UTF-8, one document */
    QN_SOURCE_RDATA, /* R's lazy-load data: a document a character vector (rdata.h) */
    QN_SOURCE_IMP,   /* a SWORD module as mod2imp prints it (imp.h) */
} qn_source_format;

typedef struct qn_source {
    char *path; /* malloc'ed */
    qn_source_format format;
} qn_source;

typedef struct qn_sources {
    qn_source *items;
    size_t count;
} qn_sources;

/* The files of a named corpus below `corpus_dir` (which scripts/corpus.sh fills), or the
 * n_files text files where `corpus` is NULL. Opens none of them. */
qn_status qn_sources_find(const char *corpus, const char *corpus_dir, const char *const *files,
                          int n_files, qn_sources *out);
void qn_sources_free(qn_sources *sources);

/* Appends what a source holds; a source without text is an error. */
qn_status qn_corpus_load(qn_corpus *corpus, const qn_source *source);

#ifdef __cplusplus
}
#endif
#endif
