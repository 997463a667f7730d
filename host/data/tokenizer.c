#include "data/tokenizer_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/spm_check.h"
#include "data/utf8.h"
#include "quern/files.h"

enum {
    CONTROL_PIECES = 3,       /* <unk>, <s> and the newline */
    MAX_VOCAB = 1 << 20,      /* far above any vocabulary in use */
    LONG_RUN = 1 << 16,       /* bytes after which a run may end before a space */
    MAX_CODE_POINT = 0x10FFFF /* the last of Unicode */
};

/* Bytes from text on that SentencePiece encodes as they are: UTF-8 without newline, zero
 * byte or the character it uses for the space. Pieces never continue past a space, so
 * long runs end before one. */
static size_t plain_run(const char *text, size_t length) {
    size_t at = 0;
    uint32_t code;
    while (at < length) {
        size_t n = qn_utf8_char(text + at, length - at, &code);
        if (n == 0 || code == '\n' || code == 0 || code == 0x2581) break;
        if (at > LONG_RUN && code == ' ' && text[at - 1] != ' ') break;
        at += n;
    }
    return at;
}

/* --- the tables of a tokenizer --- */

static qn_status duplicate_piece(const char *piece) {
    return qn_error(QN_CODE_INVALID, "the piece %s is there twice", piece);
}

static qn_status record_byte_piece(qn_tokenizer *t, int id, const char *piece) {
    unsigned value;
    char again[8];
    if (sscanf(piece, "<0x%2X>", &value) != 1)
        return qn_error(QN_CODE_INVALID, "byte piece %d is \"%s\", expected <0x00> to <0xFF>", id,
                        piece);
    snprintf(again, sizeof again, "<0x%02X>", value);
    if (strcmp(again, piece) != 0)
        return qn_error(QN_CODE_INVALID, "byte piece %d is \"%s\", expected \"%s\"", id, piece,
                        again);
    if (t->byte_id[value] >= 0) return duplicate_piece(piece);
    t->byte_id[value] = id;
    t->text[t->offset[id + 1]++] = (char)value;
    return QN_OK;
}

/* Appends a normal piece's text, with spaces for the escape. */
static qn_status record_normal_piece(qn_tokenizer *t, int id, qn_spm_piece piece) {
    size_t width = strlen(QN_SPM_SPACE);
    for (size_t i = 0; i < piece.length;) {
        bool space = piece.length - i >= width && memcmp(piece.text + i, QN_SPM_SPACE, width) == 0;
        if (piece.text[i] == '\n' || piece.text[i] == 0)
            return qn_error(QN_CODE_INVALID, "piece %d holds a newline or a zero byte", id);
        t->text[t->offset[id + 1]++] = space ? ' ' : piece.text[i];
        i += space ? width : 1;
    }
    return QN_OK;
}

static qn_status record_piece(qn_tokenizer *t, int id) {
    qn_spm_piece piece = qn_spm_at(t->spm, id);
    t->offset[id + 1] = t->offset[id];
    if (qn_utf8_prefix(piece.text, piece.length) != piece.length)
        return qn_error(QN_CODE_INVALID, "piece %d is not UTF-8", id);
    switch (piece.kind) {
    case QN_SPM_BYTE:
        return record_byte_piece(t, id, piece.text);
    case QN_SPM_NORMAL:
        return record_normal_piece(t, id, piece);
    case QN_SPM_USER_DEFINED:
        if (t->newline_id >= 0) return duplicate_piece("\\n");
        t->newline_id = id;
        t->text[t->offset[id + 1]++] = '\n';
        return QN_OK;
    case QN_SPM_CONTROL:
        if (strcmp(piece.text, "<s>") == 0) t->boundary_id = id;
        return QN_OK;
    default:
        return QN_OK;
    }
}

static qn_status build_tables(qn_tokenizer *t) {
    t->vocab_size = qn_spm_size(t->spm);
    t->boundary_id = t->newline_id = -1;
    for (int b = 0; b < 256; b++) t->byte_id[b] = -1;
    size_t bytes = 0;
    for (int id = 0; id < t->vocab_size; id++) bytes += qn_spm_at(t->spm, id).length;
    t->text = malloc(bytes + 1);
    t->offset = calloc((size_t)t->vocab_size + 1, sizeof *t->offset);
    if (!t->text || !t->offset) return qn_error(QN_CODE_MEMORY, "out of memory for the pieces");
    for (int id = 0; id < t->vocab_size; id++) QN_TRY(record_piece(t, id));
    if (t->boundary_id < 0) return qn_error(QN_CODE_INVALID, "no piece <s> for the boundary");
    if (t->newline_id < 0) return qn_error(QN_CODE_INVALID, "no piece for the newline");
    for (int b = 0; b < 256; b++)
        if (t->byte_id[b] < 0) return qn_error(QN_CODE_INVALID, "no byte piece <0x%02X>", b);
    return QN_OK;
}

/* Takes ownership of spm. */
static qn_status make_tokenizer(qn_spm *spm, qn_tokenizer **out) {
    qn_tokenizer *t = calloc(1, sizeof *t);
    if (!t) {
        qn_spm_free(spm);
        return qn_error(QN_CODE_MEMORY, "out of memory for a tokenizer");
    }
    t->spm = spm;
    qn_status status = build_tables(t);
    if (status) {
        qn_tokenizer_close(t);
        return status;
    }
    *out = t;
    return QN_OK;
}

void qn_tokenizer_close(qn_tokenizer *t) {
    if (!t) return;
    qn_spm_free(t->spm);
    free(t->text);
    free(t->offset);
    free(t);
}

/* --- training --- */

typedef struct sentences {
    const char *text;
    size_t length;
} sentences;

/* qn_spm_next over the plain runs of a text. */
static bool next_sentence(void *context, const char **text, size_t *length) {
    sentences *s = context;
    uint32_t code;
    size_t n;
    while (s->length > 0 && (n = plain_run(s->text, s->length)) == 0) {
        size_t skip = qn_utf8_char(s->text, s->length, &code);
        s->text += skip;
        s->length -= skip;
    }
    if (s->length == 0) return false;
    *text = s->text;
    *length = n;
    s->text += n;
    s->length -= n;
    return true;
}

/* Characters that SentencePiece never sees, or leaves to the byte pieces. */
static bool has_no_piece(uint32_t code) {
    return code == 0 || code == '\t' || code == '\n' || code == 0x2581;
}

/* How many different characters of UTF-8 text need a piece. */
static qn_status count_characters(const char *text, size_t length, int *count) {
    unsigned char *seen = calloc(MAX_CODE_POINT / 8 + 1, 1);
    if (!seen) return qn_error(QN_CODE_MEMORY, "out of memory for a table of characters");
    *count = 0;
    for (size_t at = 0; at < length;) {
        uint32_t code = 0;
        at += qn_utf8_char(text + at, length - at, &code);
        *count += !(seen[code / 8] >> code % 8 & 1) && !has_no_piece(code);
        seen[code / 8] |= (unsigned char)(1u << code % 8);
    }
    free(seen);
    return QN_OK;
}

static qn_status check_training_text(const char *text, size_t length, int vocab_size) {
    if (length == 0) return qn_error(QN_CODE_INVALID, "the text is empty");
    size_t valid = qn_utf8_prefix(text, length);
    if (valid != length)
        return qn_error(QN_CODE_INVALID, "the text is not UTF-8 at byte offset %zu", valid);
    int characters;
    QN_TRY(count_characters(text, length, &characters));
    int smallest = 256 + CONTROL_PIECES + characters;
    if (vocab_size < smallest)
        return qn_error(QN_CODE_USAGE,
                        "vocabulary size %d is too small for this text: 256 bytes, its %d "
                        "characters and %d control pieces need at least %d",
                        vocab_size, characters, CONTROL_PIECES, smallest);
    return QN_OK;
}

qn_status qn_tokenizer_train(const char *text, size_t length, int vocab_size, int n_threads,
                             qn_tokenizer **out) {
    if (vocab_size < 1 || vocab_size > MAX_VOCAB)
        return qn_error(QN_CODE_USAGE, "vocabulary size %d: expected 1 to %d", vocab_size,
                        MAX_VOCAB);
    if (n_threads < 1 || n_threads > 1024)
        return qn_error(QN_CODE_USAGE, "%d threads: expected 1 to 1024", n_threads);
    QN_TRY(check_training_text(text, length, vocab_size));
    sentences s = {text, length};
    qn_spm *spm;
    QN_TRY(qn_spm_train(next_sentence, &s, vocab_size, n_threads, &spm));
    int found = qn_spm_size(spm);
    if (found == vocab_size) return make_tokenizer(spm, out);
    qn_spm_free(spm);
    return qn_error(QN_CODE_USAGE,
                    "vocabulary size %d is too large for this text: it yields at most %d pieces; "
                    "give a size up to that, or more text",
                    vocab_size, found);
}

/* --- files --- */

static qn_status parse_model(const char *data, size_t length, qn_tokenizer **out) {
    QN_TRY(qn_spm_check(data, length));
    qn_spm *spm;
    QN_TRY(qn_spm_load(data, length, &spm));
    return make_tokenizer(spm, out);
}

qn_status qn_tokenizer_open(const char *path, qn_tokenizer **out) {
    char *data;
    size_t length;
    QN_TRY(qn_file_read(path, &data, &length));
    qn_status status = parse_model(data, length, out);
    free(data);
    return qn_context(status, "%s", path);
}

qn_status qn_tokenizer_save(const qn_tokenizer *t, const char *dir) {
    char *path = qn_path("%s/tokenizer.model", dir);
    if (!path) return qn_error(QN_CODE_MEMORY, "out of memory for a path");
    size_t length;
    const void *model = qn_spm_model(t->spm, &length);
    qn_status status = qn_file_write(path, model, length);
    free(path);
    QN_TRY(status);
    return qn_tokenizer_export(t, dir);
}

/* --- text to ids and back --- */

int qn_tokenizer_vocab_size(const qn_tokenizer *t) { return t->vocab_size; }

int32_t qn_tokenizer_boundary_id(const qn_tokenizer *t) { return t->boundary_id; }

int qn_tokenizer_token_bytes(const qn_tokenizer *t, int32_t id) {
    return id < 0 || id >= t->vocab_size ? 0 : (int)(t->offset[id + 1] - t->offset[id]);
}

static qn_status encode_into(const qn_tokenizer *t, const char *text, size_t length, qn_ids *ids) {
    while (length > 0) {
        size_t n = plain_run(text, length);
        if (n > 0) {
            QN_TRY(qn_spm_encode(t->spm, text, n, ids));
        } else {
            n = 1;
            QN_TRY(
                qn_ids_push(ids, *text == '\n' ? t->newline_id : t->byte_id[(unsigned char)*text]));
        }
        text += n;
        length -= n;
    }
    return QN_OK;
}

qn_status qn_tokenizer_encode(const qn_tokenizer *t, const char *text, size_t length, int32_t **ids,
                              size_t *count) {
    qn_ids found = {0};
    qn_status status = qn_ids_reserve(&found, length / 4 + 1);
    if (!status) status = encode_into(t, text, length, &found);
    if (status) {
        qn_ids_free(&found);
        return status;
    }
    *ids = found.data;
    *count = found.count;
    return QN_OK;
}

qn_status qn_tokenizer_decode(const qn_tokenizer *t, const int32_t *ids, size_t count, char **text,
                              size_t *length) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0 || ids[i] >= t->vocab_size)
            return qn_error(QN_CODE_INVALID, "token %zu is %d, expected 0 to %d", i, ids[i],
                            t->vocab_size - 1);
        bytes += t->offset[ids[i] + 1] - t->offset[ids[i]];
    }
    char *out = malloc(bytes + 1);
    if (!out) return qn_error(QN_CODE_MEMORY, "out of memory for %zu bytes of text", bytes);
    *text = out;
    *length = bytes;
    for (size_t i = 0; i < count; i++) {
        size_t n = t->offset[ids[i] + 1] - t->offset[ids[i]];
        memcpy(out, t->text + t->offset[ids[i]], n);
        out += n;
    }
    *out = 0;
    return QN_OK;
}
