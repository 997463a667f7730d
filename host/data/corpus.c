#include "data/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "data/imp.h"
#include "data/rdata.h"
#include "data/utf8.h"
#include "quern/files.h"

/* --- documents --- */

static qn_status no_memory(void) {
    return qn_error(QN_CODE_MEMORY, "out of memory for the text; give less of it");
}

/* Makes *data hold at least `wanted` items. */
static qn_status grow(void **data, size_t item, size_t *capacity, size_t wanted) {
    if (wanted <= *capacity) return QN_OK;
    size_t larger = wanted + wanted / 2;
    void *moved = larger >= wanted && larger <= SIZE_MAX / item ? realloc(*data, larger * item) : 0;
    if (!moved) return no_memory();
    *data = moved;
    *capacity = larger;
    return QN_OK;
}

qn_status qn_corpus_add(qn_corpus *c, const char *name, const char *text, size_t length) {
    size_t valid = qn_utf8_prefix(text, length);
    if (valid != length)
        return qn_error(QN_CODE_INVALID,
                        "%s: not UTF-8 at byte offset %zu (0x%02X); convert it, e.g. with iconv",
                        name, valid, (unsigned char)text[valid]);
    if (length == 0) return QN_OK;
    if (length > SIZE_MAX - c->length - 1) return no_memory();
    QN_TRY(grow((void **)&c->text, 1, &c->capacity, c->length + length + 1));
    QN_TRY(grow((void **)&c->documents, sizeof *c->documents, &c->documents_capacity,
                c->n_documents + 1));
    memcpy(c->text + c->length, text, length);
    c->text[c->length + length] = '\n';
    c->documents[c->n_documents++] = (qn_document){c->length, length};
    c->length += length + 1;
    return QN_OK;
}

void qn_corpus_free(qn_corpus *c) {
    free(c->text);
    free(c->documents);
    *c = (qn_corpus){0};
}

/* --- sources --- */

/* Takes ownership of path. */
static qn_status add_source(qn_sources *s, char *path, qn_source_format format) {
    qn_source *items = path ? realloc(s->items, (s->count + 1) * sizeof *items) : NULL;
    if (!items) {
        free(path);
        return no_memory();
    }
    s->items = items;
    s->items[s->count++] = (qn_source){path, format};
    return QN_OK;
}

static qn_status find_corpus(const char *corpus, const char *dir, qn_sources *out) {
    static const char *const modules[] = {"kjv", "web", "tdavid", "mhcc", "scofield", "naves"};
    bool classic = strcmp(corpus, "classic") == 0;
    if (!classic && strcmp(corpus, "austen") != 0)
        return qn_error(QN_CODE_USAGE, "corpus \"%s\" is unknown; expected austen or classic",
                        corpus);
    QN_TRY(add_source(out, qn_path("%s/austen/Rdata.rdb", dir), QN_SOURCE_RDATA));
    for (size_t i = 0; classic && i < sizeof modules / sizeof *modules; i++)
        QN_TRY(add_source(out, qn_path("%s/classic/%s.imp", dir, modules[i]), QN_SOURCE_IMP));
    for (size_t i = 0; i < out->count; i++)
        if (!qn_path_exists(out->items[i].path))
            return qn_error(QN_CODE_IO,
                            "%s is not there; fetch the corpus with: scripts/corpus.sh %s %s",
                            out->items[i].path, corpus, dir);
    return QN_OK;
}

qn_status qn_sources_find(const char *corpus, const char *corpus_dir, const char *const *files,
                          int n_files, qn_sources *out) {
    qn_sources found = {0};
    qn_status status = QN_OK;
    if (corpus) {
        status = find_corpus(corpus, corpus_dir, &found);
    } else if (n_files < 1) {
        status = qn_error(QN_CODE_USAGE, "no text: give a corpus or at least one file");
    }
    for (int i = 0; !corpus && !status && i < n_files; i++)
        status = add_source(&found, qn_path("%s", files[i]), QN_SOURCE_TEXT);
    if (status) {
        qn_sources_free(&found);
        return status;
    }
    *out = found;
    return QN_OK;
}

void qn_sources_free(qn_sources *s) {
    for (size_t i = 0; i < s->count; i++) free(s->items[i].path);
    free(s->items);
    *s = (qn_sources){0};
}

static qn_status load_whole_file(qn_corpus *corpus, const qn_source *source) {
    char *data;
    size_t length;
    QN_TRY(qn_file_read(source->path, &data, &length));
    qn_status status = source->format == QN_SOURCE_RDATA
                           ? qn_rdata_load(corpus, source->path, data, length)
                           : qn_corpus_add(corpus, source->path, data, length);
    free(data);
    return status;
}

qn_status qn_corpus_load(qn_corpus *corpus, const qn_source *source) {
    size_t before = corpus->n_documents;
    QN_TRY(source->format == QN_SOURCE_IMP ? qn_imp_load(corpus, source->path)
                                           : load_whole_file(corpus, source));
    if (corpus->n_documents > before) return QN_OK;
    return qn_error(QN_CODE_INVALID, "%s: there is no text in it", source->path);
}
