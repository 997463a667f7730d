/* wordnet.c: synonyms and antonyms among given words. */
#include "quern/wordnet.h"

#include <stdlib.h>
#include <string.h>

#include "data/pair_list.h"
#include "data/wordnet_line.h"
#include "quern/files.h"

/* A given word; they are sorted by text. */
typedef struct entry {
    const char *text;
    int32_t word;
} entry;

/* The first sense of a word in a part of speech. */
typedef struct sense {
    int64_t offset;
    int32_t word;
} sense;

typedef struct file {
    char *path, *text;
    size_t length;
} file;

typedef struct reader {
    const char *const *words;
    entry *entries;
    sense *senses; /* (n_words) of the part of speech under way */
    int64_t n_words, n_senses;
    file index, data;
    char part; /* of speech: n, v, a or r */
    qn_pair_list synonyms, antonyms;
} reader;

#define REMEDY "install the Debian package wordnet-base, or leave the probe of synonyms out"

/* ---- files ----------------------------------------------------------------------------------- */

static qn_status open_file(file *f, const char *dir, const char *kind, const char *part) {
    f->path = qn_path("%s/%s.%s", dir, kind, part);
    if (!f->path) return qn_error(QN_CODE_MEMORY, "out of memory for a path");
    qn_status status = qn_file_read(f->path, &f->text, &f->length);
    if (!status) return QN_OK;
    const qn_code code = qn_status_code(status);
    qn_status named = qn_error(code, "%s; " REMEDY, qn_message(status));
    qn_status_free(status);
    return named;
}

static void close_file(file *f) {
    free(f->path);
    free(f->text);
    *f = (file){0};
}

static qn_status damaged(const file *f, size_t at, const char *expected) {
    size_t line = 1;
    for (size_t i = 0; i < at && i < f->length; i++) line += f->text[i] == '\n';
    return qn_error(QN_CODE_INVALID, "%s:%zu: expected %s as wndb(5WN) has it; " REMEDY, f->path,
                    line, expected);
}

/* The line at `at` without its end; every line has one. */
static qn_status line_at(const file *f, size_t at, qn_span *line) {
    const char *end = at < f->length ? memchr(f->text + at, '\n', f->length - at) : NULL;
    if (!end) return damaged(f, at, "a line and its end");
    *line = (qn_span){f->text + at, (size_t)(end - (f->text + at))};
    return QN_OK;
}

static qn_status synset_at(const reader *r, int64_t offset, qn_synset *out) {
    qn_span line;
    QN_TRY(line_at(&r->data, (size_t)offset, &line));
    if (!qn_synset_parse(line, out) || out->offset != offset)
        return damaged(&r->data, (size_t)offset, "a synset that begins with its offset");
    return QN_OK;
}

/* ---- words ----------------------------------------------------------------------------------- */

static int by_text(const void *x, const void *y) {
    const entry *a = x, *b = y;
    const int order = strcmp(a->text, b->text);
    return order ? order : (a->word > b->word) - (a->word < b->word);
}

static int span_order(qn_span s, const char *text) {
    const size_t length = strlen(text);
    const int order = memcmp(s.text, text, s.length < length ? s.length : length);
    return order ? order : (s.length > length) - (s.length < length);
}

/* The first given word with this text, −1 if there is none. */
static int32_t find_word(const reader *r, qn_span s) {
    int64_t low = 0, high = r->n_words;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (span_order(s, r->entries[middle].text) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    const bool found = low < r->n_words && span_order(s, r->entries[low].text) == 0;
    return found ? r->entries[low].word : -1;
}

static bool same_stem(const char *a, const char *b) {
    const size_t m = strlen(a), n = strlen(b), shorter = m < n ? m : n;
    size_t common = 0;
    while (common < shorter && a[common] == b[common]) common++;
    if (common == shorter || (common >= 4 && 3 * common >= 2 * shorter)) return true;
    return strcmp(a + m - shorter, b + n - shorter) == 0;
}

static qn_status add_pair(const reader *r, qn_pair_list *list, int32_t a, int32_t b) {
    if (a == b || same_stem(r->words[a], r->words[b])) return QN_OK;
    return qn_pair_list_push(list, a, b);
}

/* ---- antonyms -------------------------------------------------------------------------------- */

/* Parts of speech have a file each; satellites ("s") are adjectives. */
static bool in_this_file(const reader *r, char part) {
    return part == r->part || (part == 's' && r->part == 'a');
}

static qn_status add_antonym(reader *r, const qn_synset *set, const qn_pointer *p) {
    qn_synset other;
    qn_span a, b;
    if (!in_this_file(r, p->part)) return QN_OK;
    QN_TRY(synset_at(r, p->offset, &other));
    if (!qn_synset_word(set, p->source, &a) || !qn_synset_word(&other, p->target, &b))
        return damaged(&r->data, (size_t)set->offset, "antonyms that are words of their synsets");
    const int32_t first = find_word(r, a), second = find_word(r, b);
    return first < 0 || second < 0 ? QN_OK : add_pair(r, &r->antonyms, first, second);
}

static qn_status add_antonyms(reader *r, int64_t offset) {
    qn_synset set;
    QN_TRY(synset_at(r, offset, &set));
    qn_span rest = set.pointers;
    for (int64_t i = 0; i < set.n_pointers; i++) {
        qn_pointer p;
        if (!qn_next_pointer(&rest, &p))
            return damaged(&r->data, (size_t)offset, "pointers of a synset");
        if (p.symbol.length == 1 && *p.symbol.text == '!') QN_TRY(add_antonym(r, &set, &p));
    }
    return QN_OK;
}

/* ---- synonyms -------------------------------------------------------------------------------- */

static int by_offset(const void *x, const void *y) {
    const sense *a = x, *b = y;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    return (a->word > b->word) - (a->word < b->word);
}

/* The index has all lemmas in lower case: names are told by the synset. */
static bool has_word(const qn_synset *set, const char *text) {
    qn_span word;
    for (int64_t n = 1; n <= set->n_words; n++)
        if (qn_synset_word(set, n, &word) && span_order(word, text) == 0) return true;
    return false;
}

/* Words [first, end) of r->senses share their first sense. */
static qn_status add_synonyms(reader *r, int64_t first, int64_t end) {
    qn_synset set;
    if (end - first < 2) return QN_OK;
    QN_TRY(synset_at(r, r->senses[first].offset, &set));
    for (int64_t i = first; i < end; i++) {
        for (int64_t j = first; j < i; j++) {
            const int32_t a = r->senses[j].word, b = r->senses[i].word;
            if (has_word(&set, r->words[a]) && has_word(&set, r->words[b]))
                QN_TRY(add_pair(r, &r->synonyms, a, b));
        }
    }
    return QN_OK;
}

static qn_status add_shared_senses(reader *r) {
    if (r->n_senses) qsort(r->senses, (size_t)r->n_senses, sizeof *r->senses, by_offset);
    for (int64_t first = 0, end; first < r->n_senses; first = end) {
        for (end = first; end < r->n_senses && r->senses[end].offset == r->senses[first].offset;)
            end++;
        QN_TRY(add_synonyms(r, first, end));
    }
    return QN_OK;
}

/* ---- a part of speech ------------------------------------------------------------------------ */

static qn_status read_lemma(reader *r, qn_span line) {
    qn_index_line lemma;
    if (!qn_index_line_parse(line, &lemma))
        return damaged(&r->index, (size_t)(line.text - r->index.text), "a lemma and its senses");
    const int32_t word = find_word(r, lemma.lemma);
    if (word < 0) return QN_OK;
    for (int64_t i = 0; i < lemma.n_senses; i++) {
        int64_t offset;
        qn_next_sense(&lemma.senses, &offset);
        QN_TRY(add_antonyms(r, offset));
        if (i > 0 || !lemma.counted) continue;
        if (r->n_senses == r->n_words)
            return damaged(&r->index, (size_t)(line.text - r->index.text), "each lemma once");
        r->senses[r->n_senses++] = (sense){offset, word};
    }
    return QN_OK;
}

/* Lines that begin with two spaces are the licence. */
static qn_status read_lemmas(reader *r) {
    for (size_t at = 0; at < r->index.length;) {
        qn_span line;
        QN_TRY(line_at(&r->index, at, &line));
        if (strncmp(line.text, "  ", 2) != 0) QN_TRY(read_lemma(r, line));
        at += line.length + 1;
    }
    return QN_OK;
}

static qn_status read_part(reader *r, const char *dir, const char *part) {
    r->part = strcmp(part, "adv") == 0 ? 'r' : part[0];
    r->n_senses = 0;
    qn_status status = open_file(&r->index, dir, "index", part);
    if (!status) status = open_file(&r->data, dir, "data", part);
    if (!status) status = read_lemmas(r);
    if (!status) status = add_shared_senses(r);
    close_file(&r->index);
    close_file(&r->data);
    return status;
}

/* ---- all of them ---------------------------------------------------------------------------- */

/* Writes the pairs of `list` that `other` has not, behind each other. */
static int64_t drop_shared(const qn_pair_list *list, const qn_pair_list *other, qn_word_pair *out) {
    int64_t kept = 0;
    for (int64_t i = 0; i < list->count; i++)
        if (!qn_pair_list_has(other, list->items[i])) out[kept++] = list->items[i];
    return kept;
}

/* What is both was copied before either list lost it. */
static qn_status drop_contradictions(reader *r) {
    qn_pair_list both = {0};
    for (int64_t i = 0; i < r->synonyms.count; i++) {
        const qn_word_pair pair = r->synonyms.items[i];
        qn_status status =
            qn_pair_list_has(&r->antonyms, pair) ? qn_pair_list_push(&both, pair.a, pair.b) : QN_OK;
        if (status) {
            free(both.items);
            return status;
        }
    }
    r->synonyms.count = drop_shared(&r->synonyms, &both, r->synonyms.items);
    r->antonyms.count = drop_shared(&r->antonyms, &both, r->antonyms.items);
    free(both.items);
    return QN_OK;
}

static qn_status start(reader *r) {
    r->entries = malloc((size_t)(r->n_words + 1) * sizeof *r->entries);
    r->senses = malloc((size_t)(r->n_words + 1) * sizeof *r->senses);
    if (!r->entries || !r->senses)
        return qn_error(QN_CODE_MEMORY, "no memory for %lld words", (long long)r->n_words);
    for (int64_t i = 0; i < r->n_words; i++) r->entries[i] = (entry){r->words[i], (int32_t)i};
    if (r->n_words) qsort(r->entries, (size_t)r->n_words, sizeof *r->entries, by_text);
    return QN_OK;
}

static qn_status read_all(reader *r, const char *dir) {
    static const char *const parts[] = {"noun", "verb", "adj", "adv"};
    QN_TRY(start(r));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) QN_TRY(read_part(r, dir, parts[i]));
    qn_pair_list_sort(&r->synonyms);
    qn_pair_list_sort(&r->antonyms);
    return drop_contradictions(r);
}

qn_status qn_wordnet_pairs(const char *dir, const char *const *words, int64_t n_words,
                           qn_word_pairs *synonyms, qn_word_pairs *antonyms) {
    reader r = {.words = words, .n_words = n_words};
    qn_status status = read_all(&r, dir);
    free(r.entries);
    free(r.senses);
    if (status) {
        free(r.synonyms.items);
        free(r.antonyms.items);
        return status;
    }
    *synonyms = (qn_word_pairs){r.synonyms.items, r.synonyms.count};
    *antonyms = (qn_word_pairs){r.antonyms.items, r.antonyms.count};
    return QN_OK;
}
