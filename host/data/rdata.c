#include "data/rdata.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    CHARSXP = 9,
    STRSXP = 16,
    TYPE_MASK = 0xFF,
    /* Deflate expands at most 1032-fold, so a larger length is a lie. */
    DEFLATE_LIMIT = 1032,
};

typedef struct reader {
    const char *name;
    size_t stream; /* number of the stream, for errors */
    const unsigned char *at, *end;
} reader;

static qn_status malformed(const reader *r, const char *what) {
    return qn_error(QN_CODE_INVALID, "%s: stream %zu: %s; is this an R data file (Rdata.rdb)?",
                    r->name, r->stream, what);
}

static uint32_t big_endian(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static qn_status read_int(reader *r, int32_t *out) {
    if (r->end - r->at < 4) return malformed(r, "truncated");
    *out = (int32_t)big_endian(r->at);
    r->at += 4;
    return QN_OK;
}

/* Checks that `length` bytes are there and steps over them. */
static qn_status read_bytes(reader *r, int32_t length, const unsigned char **out) {
    if (length < 0) return malformed(r, "a string is missing or has a negative length");
    if (length > r->end - r->at) return malformed(r, "truncated in a string");
    *out = r->at;
    r->at += length;
    return QN_OK;
}

/* --- the serialization --- */

static qn_status read_header(reader *r) {
    int32_t version, written_by, readable_by, length;
    const unsigned char *skipped;
    if (r->end - r->at < 2 || memcmp(r->at, "X\n", 2) != 0)
        return malformed(r, "does not begin with \"X\\n\"");
    r->at += 2;
    QN_TRY(read_int(r, &version));
    QN_TRY(read_int(r, &written_by));
    QN_TRY(read_int(r, &readable_by));
    if (version == 2) return QN_OK;
    if (version != 3) return malformed(r, "serialization version is neither 2 nor 3");
    QN_TRY(read_int(r, &length)); /* of the native encoding's name */
    return read_bytes(r, length, &skipped);
}

/* Appends a CHARSXP's bytes at *to; the caller has made room for all of the stream. */
static qn_status read_string(reader *r, char **to) {
    int32_t flags, length;
    const unsigned char *bytes;
    QN_TRY(read_int(r, &flags));
    if ((flags & TYPE_MASK) != CHARSXP) return malformed(r, "expected a string (CHARSXP)");
    QN_TRY(read_int(r, &length));
    QN_TRY(read_bytes(r, length, &bytes));
    memcpy(*to, bytes, (size_t)length);
    *to += length;
    return QN_OK;
}

/* Writes the vector's lines to `lines`, which is as long as the stream: each string took
 * eight bytes there before its text, its newline takes one. */
static qn_status read_lines(reader *r, char *lines, size_t *length) {
    int32_t flags, count;
    QN_TRY(read_header(r));
    QN_TRY(read_int(r, &flags));
    if (flags != STRSXP) return malformed(r, "expected a plain character vector (STRSXP)");
    QN_TRY(read_int(r, &count));
    if (count < 0 || count > (r->end - r->at) / 8)
        return malformed(r, "the number of strings does not fit the data");
    char *to = lines;
    for (int32_t i = 0; i < count; i++) {
        if (i > 0) *to++ = '\n';
        QN_TRY(read_string(r, &to));
    }
    *length = (size_t)(to - lines);
    return r->at == r->end ? QN_OK : malformed(r, "there are bytes after its end");
}

/* --- the streams --- */

/* Inflates the zlib data at *at into exactly raw_length bytes and steps over it. */
static qn_status inflate_stream(const reader *r, const unsigned char **at, const unsigned char *end,
                                unsigned char *raw, uint32_t raw_length) {
    size_t available = (size_t)(end - *at);
    if (available > UINT_MAX) available = UINT_MAX;
    z_stream z = {.next_in = (unsigned char *)*at,
                  .avail_in = (uInt)available,
                  .next_out = raw,
                  .avail_out = raw_length};
    if (inflateInit(&z) != Z_OK) return qn_error(QN_CODE_MEMORY, "out of memory for zlib");
    bool ended = inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_out == 0;
    *at = z.next_in;
    inflateEnd(&z);
    return ended ? QN_OK : malformed(r, "its zlib data is damaged, truncated or of another length");
}

/* Loads the stream at *at and steps over it. */
static qn_status load_stream(qn_corpus *corpus, reader *r, const unsigned char **at,
                             const unsigned char *end) {
    if (end - *at < 4) return malformed(r, "truncated");
    uint32_t raw_length = big_endian(*at);
    *at += 4;
    if (raw_length == 0 || raw_length / DEFLATE_LIMIT > (size_t)(end - *at))
        return malformed(r, "its length does not fit the file");
    unsigned char *raw = malloc(raw_length);
    char *lines = malloc(raw_length);
    size_t length;
    qn_status status = raw && lines ? inflate_stream(r, at, end, raw, raw_length)
                                    : qn_error(QN_CODE_MEMORY, "out of memory for %s", r->name);
    if (!status) {
        r->at = raw;
        r->end = raw + raw_length;
        status = read_lines(r, lines, &length);
    }
    if (!status) status = qn_corpus_add(corpus, r->name, lines, length);
    free(raw);
    free(lines);
    return status;
}

qn_status qn_rdata_load(qn_corpus *corpus, const char *name, const char *data, size_t length) {
    const unsigned char *at = (const unsigned char *)data, *end = at + length;
    for (reader r = {.name = name}; at < end; r.stream++) QN_TRY(load_stream(corpus, &r, &at, end));
    return QN_OK;
}
