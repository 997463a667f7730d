/* imp.h: plain text out of SWORD modules, as the program mod2imp prints them. */
#ifndef QUERN_DATA_IMP_H
#define QUERN_DATA_IMP_H

#include <stddef.h>

#include "data/corpus.h"
#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends a module's documents. The file is entries: a line "$$$KEY", then lines of OSIS
 * XML. Keys with a verse ("I Samuel 1:2") give one document a book; others (headwords of a
 * dictionary) one document an entry, which begins with the key. Headings of the module
 * ("[ ... ]") are left out, and a paragraph that the module had before is dropped:
 * commentaries repeat a passage for each verse it covers. */
qn_status qn_imp_load(qn_corpus *corpus, const char *path);

/* Plain text of OSIS XML, in place: footnotes are left out, block elements end a line,
 * other tags vanish, entities become characters, runs of spaces one space; no line is
 * empty. The result is never longer; returns its length. */
size_t qn_imp_strip(char *text, size_t length);

#ifdef __cplusplus
}
#endif
#endif
