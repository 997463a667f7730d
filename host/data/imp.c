#include "data/imp.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* --- a set of 64-bit hashes: open addressing, 0 marks a free slot --- */

typedef struct hash_set {
    uint64_t *slots;
    size_t capacity, count; /* capacity: a power of two */
} hash_set;

static size_t find_slot(const hash_set *s, uint64_t hash) {
    size_t at = hash & (s->capacity - 1);
    while (s->slots[at] && s->slots[at] != hash) at = (at + 1) & (s->capacity - 1);
    return at;
}

static qn_status enlarge_set(hash_set *s) {
    hash_set larger = {.capacity = s->capacity ? 2 * s->capacity : 1024, .count = s->count};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (!larger.slots) return qn_error(QN_CODE_MEMORY, "out of memory for the paragraphs seen");
    for (size_t i = 0; i < s->capacity; i++)
        if (s->slots[i]) larger.slots[find_slot(&larger, s->slots[i])] = s->slots[i];
    free(s->slots);
    *s = larger;
    return QN_OK;
}

/* *fresh: was this text not in the set before? */
static qn_status add_to_set(hash_set *s, const char *text, size_t length, bool *fresh) {
    if (2 * s->count >= s->capacity) QN_TRY(enlarge_set(s));
    uint64_t hash = XXH3_64bits(text, length);
    hash += hash == 0;
    size_t at = find_slot(s, hash);
    *fresh = s->slots[at] == 0;
    s->slots[at] = hash;
    s->count += *fresh;
    return QN_OK;
}

/* --- entries --- */

typedef struct module {
    const char *path;
    qn_corpus *corpus;
    hash_set seen; /* paragraphs of the module */
    char *title;   /* of the document that is being gathered; NULL: none */
    char *body;
    size_t length, capacity;
} module;

static qn_status no_memory(void) { return qn_error(QN_CODE_MEMORY, "out of memory for a module"); }

static qn_status append(module *m, const char *text, size_t length) {
    if (length + 1 > m->capacity - m->length) {
        size_t capacity = 2 * m->capacity + length + 1;
        char *body = realloc(m->body, capacity);
        if (!body) return no_memory();
        m->body = body;
        m->capacity = capacity;
    }
    memcpy(m->body + m->length, text, length);
    m->body[m->length + length] = '\n';
    m->length += length + 1;
    return QN_OK;
}

static qn_status end_document(module *m) {
    qn_status status = QN_OK;
    if (m->length > 0) status = qn_corpus_add(m->corpus, m->path, m->body, m->length - 1);
    m->length = 0;
    free(m->title);
    m->title = NULL;
    return status;
}

/* Length of "I Samuel" in "I Samuel 1:2"; 0 when the key does not end in a verse. */
static size_t book_length(const char *key) {
    size_t n = strlen(key);
    bool colon = false;
    while (n > 0 && (isdigit((unsigned char)key[n - 1]) || (key[n - 1] == ':' && !colon)))
        colon |= key[--n] == ':';
    return colon && n > 1 && key[n - 1] == ' ' ? n - 1 : 0;
}

static qn_status begin_entry(module *m, char *key) {
    size_t book = book_length(key);
    bool heading = key[0] == '[';
    if (book) key[book] = 0;
    if (m->title && strcmp(m->title, key) == 0) return QN_OK;
    QN_TRY(end_document(m));
    m->title = strdup(key);
    if (!m->title) return no_memory();
    return book || heading ? QN_OK : append(m, key, strlen(key));
}

static qn_status add_body(module *m, char *text, size_t length) {
    if (!m->title)
        return qn_error(QN_CODE_INVALID,
                        "%s: text before the first \"$$$\" line; is this mod2imp's output?",
                        m->path);
    if (m->title[0] == '[') return QN_OK;
    char *end = text + qn_imp_strip(text, length);
    for (char *line = text, *next; line < end; line = next + 1) {
        next = memchr(line, '\n', (size_t)(end - line));
        if (!next) next = end;
        bool fresh;
        QN_TRY(add_to_set(&m->seen, line, (size_t)(next - line), &fresh));
        if (fresh) QN_TRY(append(m, line, (size_t)(next - line)));
    }
    return QN_OK;
}

static qn_status add_line(module *m, char *line, size_t length) {
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r')) line[--length] = 0;
    if (strncmp(line, "$$$", 3) == 0) return begin_entry(m, line + 3);
    return length > 0 ? add_body(m, line, length) : QN_OK;
}

qn_status qn_imp_load(qn_corpus *corpus, const char *path) {
    FILE *file = fopen(path, "re");
    if (!file) return qn_error(QN_CODE_IO, "cannot open %s: %s", path, strerror(errno));
    module m = {.path = path, .corpus = corpus};
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    qn_status status = QN_OK;
    while (!status && (length = getline(&line, &room, file)) >= 0)
        status = add_line(&m, line, (size_t)length);
    if (!status && !feof(file))
        status = qn_error(QN_CODE_IO, "cannot read %s: %s", path, strerror(errno));
    if (!status) status = end_document(&m);
    fclose(file);
    free(line);
    free(m.seen.slots);
    free(m.title);
    free(m.body);
    return status;
}
