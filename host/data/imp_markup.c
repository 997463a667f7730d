#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/imp.h"

/* The text written so far; a line holds no space at its ends and none twice. */
typedef struct writer {
    char *start, *at;
    bool space; /* one is due before the next character of this line */
} writer;

static void write_break(writer *w) {
    if (w->at > w->start && w->at[-1] != '\n') *w->at++ = '\n';
    w->space = false;
}

static void write_char(writer *w, char c) {
    if (c == '\n') {
        write_break(w);
    } else if (c == ' ' || c == '\t' || c == '\r') {
        w->space = w->at > w->start && w->at[-1] != '\n';
    } else {
        if (w->space) *w->at++ = ' ';
        w->space = false;
        *w->at++ = c;
    }
}

/* --- tags --- */

/* The element's name in "<name ...", "</name" or "<name/". */
static size_t tag_name(const char *tag, const char *end, const char **name) {
    *name = tag + 1 + (tag + 1 < end && tag[1] == '/');
    const char *p = *name;
    while (p < end && isalnum((unsigned char)*p)) p++;
    return (size_t)(p - *name);
}

static bool is_block(const char *name, size_t length) {
    static const char *const blocks[] = {"div",  "p",     "title",   "lb",       "l",  "lg",
                                         "item", "list",  "row",     "table",    "br", "chapter",
                                         "def",  "verse", "speaker", "entryFree"};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (strlen(blocks[i]) == length && memcmp(blocks[i], name, length) == 0) return true;
    return false;
}

static bool is_named(const char *name, size_t length, const char *wanted) {
    return strlen(wanted) == length && memcmp(name, wanted, length) == 0;
}

/* After the footnote that the tag [tag, end) opens: where "</note>" ends, or the text. */
static const char *skip_note(const char *end, const char *text_end) {
    static const char close[] = "</note>";
    const char *found = memmem(end, (size_t)(text_end - end), close, strlen(close));
    return found ? found + strlen(close) : text_end;
}

/* Reads the tag at `tag` and returns where the text goes on. */
static const char *read_tag(writer *w, const char *tag, const char *text_end) {
    const char *close = memchr(tag, '>', (size_t)(text_end - tag)), *name;
    if (!close) return text_end;
    size_t length = tag_name(tag, close, &name);
    if (is_named(name, length, "note") && name == tag + 1 && close[-1] != '/')
        return skip_note(close + 1, text_end);
    if (is_block(name, length)) write_break(w);
    if (is_named(name, length, "cell")) write_char(w, ' ');
    return close + 1;
}

/* "<" begins a tag only before a name, "/" or "!". */
static bool begins_tag(const char *p, const char *end) {
    return end - p > 1 && (isalpha((unsigned char)p[1]) || p[1] == '/' || p[1] == '!');
}

/* --- entities --- */

static void write_code_point(writer *w, uint32_t c) {
    if (c < 0x80) {
        write_char(w, (char)c);
        return;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    write_char(w, (char)((0xF0u << (3 - more) & 0xFF) | c >> 6 * more));
    while (more-- > 0) write_char(w, (char)(0x80 | (c >> 6 * more & 0x3F)));
}

static bool is_scalar(unsigned long c) {
    return c > 0 && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
}

/* The character that an entity's body (between "&" and ";") means; 0 for none. */
static uint32_t entity_value(const char *body, size_t length) {
    static const struct {
        const char *name;
        char value;
    } named[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (is_named(body, length, named[i].name)) return (uint32_t)named[i].value;
    char digits[12], *rest;
    if (length < 2 || length > sizeof digits || body[0] != '#') return 0;
    memcpy(digits, body + 1, length - 1);
    digits[length - 1] = 0;
    bool hex = digits[0] == 'x' || digits[0] == 'X';
    if (!isxdigit((unsigned char)digits[hex])) return 0;
    unsigned long value = strtoul(digits + hex, &rest, hex ? 16 : 10);
    return *rest == 0 && is_scalar(value) ? (uint32_t)value : 0;
}

/* Reads the entity or bare "&" at p and returns where the text goes on. */
static const char *read_entity(writer *w, const char *p, const char *text_end) {
    enum { LONGEST = 16 };
    size_t room = (size_t)(text_end - p) < LONGEST ? (size_t)(text_end - p) : LONGEST;
    const char *semicolon = memchr(p, ';', room);
    uint32_t value = semicolon ? entity_value(p + 1, (size_t)(semicolon - p - 1)) : 0;
    if (value == 0) {
        write_char(w, '&');
        return p + 1;
    }
    write_code_point(w, value);
    return semicolon + 1;
}

size_t qn_imp_strip(char *text, size_t length) {
    writer w = {text, text, false};
    const char *p = text, *end = text + length;
    while (p < end) {
        if (*p == '<' && begins_tag(p, end))
            p = read_tag(&w, p, end);
        else if (*p == '&')
            p = read_entity(&w, p, end);
        else
            write_char(&w, *p++);
    }
    if (w.at > w.start && w.at[-1] == '\n') w.at--;
    return (size_t)(w.at - text);
}
