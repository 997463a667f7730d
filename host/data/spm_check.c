#include "data/spm_check.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "data/sentencepiece.h"

/* Protocol-buffer wire format: a message is fields, each a tag and a value. */
typedef struct bytes {
    const unsigned char *at, *end;
} bytes;

typedef struct field {
    uint32_t number;
    uint64_t value; /* of a varint */
    bytes body;     /* of a length-delimited field */
} field;

enum { VARINT = 0, FIXED64 = 1, DELIMITED = 2, FIXED32 = 5 };

static bool read_varint(bytes *in, uint64_t *value) {
    *value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (in->at == in->end) return false;
        unsigned char byte = *in->at++;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

static bool read_field(bytes *in, field *out) {
    uint64_t tag;
    if (!read_varint(in, &tag) || tag >> 3 > UINT32_MAX) return false;
    *out = (field){.number = (uint32_t)(tag >> 3)};
    uint64_t size;
    switch (tag & 7) {
    case VARINT:
        return read_varint(in, &out->value);
    case FIXED64:
        size = 8;
        break;
    case FIXED32:
        size = 4;
        break;
    case DELIMITED:
        if (!read_varint(in, &size)) return false;
        break;
    default:
        return false;
    }
    if (size > (uint64_t)(in->end - in->at)) return false;
    out->body = (bytes){in->at, in->at + size};
    in->at += size;
    return true;
}

static const char *const malformed = "is not a SentencePiece model (malformed protocol buffer)";

/* message SentencePiece {piece = 1, score = 2, type = 3} */
static const char *check_piece(bytes in) {
    bytes text = {0};
    uint64_t kind = QN_SPM_NORMAL;
    for (field f; in.at < in.end;) {
        if (!read_field(&in, &f)) return malformed;
        if (f.number == 1) text = f.body;
        if (f.number == 3) kind = f.value;
    }
    bool newline = text.end - text.at == 1 && *text.at == '\n';
    if (newline != (kind == QN_SPM_USER_DEFINED))
        return "must have \"\\n\", and nothing else, as a user-defined piece";
    if (kind == QN_SPM_UNUSED) return "has unused pieces";
    return NULL;
}

/* message TrainerSpec {model_type = 3 (2: BPE), treat_whitespace_as_suffix = 24} */
static const char *check_trainer(bytes in) {
    uint64_t type = 1, suffix = 0;
    for (field f; in.at < in.end;) {
        if (!read_field(&in, &f)) return malformed;
        if (f.number == 3) type = f.value;
        if (f.number == 24) suffix = f.value;
    }
    if (type != 2) return "is not a BPE model";
    return suffix ? "puts spaces at the end of words" : NULL;
}

/* message NormalizerSpec {precompiled_charsmap = 2, add_dummy_prefix = 3,
 * remove_extra_whitespaces = 4, escape_whitespaces = 5}; the last three default to true */
static const char *check_normalizer(bytes in, bool denormalizer) {
    uint64_t prefix = 1, remove = 1, escape = 1;
    for (field f; in.at < in.end;) {
        if (!read_field(&in, &f)) return malformed;
        if (f.number == 2 && f.body.at != f.body.end) return "normalises text";
        if (f.number == 3) prefix = f.value;
        if (f.number == 4) remove = f.value;
        if (f.number == 5) escape = f.value;
    }
    if (denormalizer) return NULL;
    if (prefix) return "adds a space before the text";
    if (remove) return "removes spaces";
    return escape ? NULL : "does not escape spaces";
}

/* message ModelProto {pieces = 1, trainer_spec = 2, normalizer_spec = 3,
 * denormalizer_spec = 5} */
static const char *check_model(bytes in) {
    bool trainer = false, normalizer = false;
    for (field f; in.at < in.end;) {
        if (!read_field(&in, &f)) return malformed;
        const char *wrong = NULL;
        if (f.number == 1) wrong = check_piece(f.body);
        if (f.number == 2) {
            if (trainer) return malformed;
            trainer = true;
            wrong = check_trainer(f.body);
        }
        if (f.number == 3) {
            if (normalizer) return malformed;
            normalizer = true;
            wrong = check_normalizer(f.body, false);
        }
        if (f.number == 5) wrong = check_normalizer(f.body, true);
        if (wrong) return wrong;
    }
    return trainer && normalizer ? NULL : "is not a SentencePiece model (it has no settings)";
}

qn_status qn_spm_check(const void *model, size_t length) {
    const unsigned char *data = model;
    const char *wrong = check_model((bytes){data, data + length});
    if (!wrong) return QN_OK;
    return qn_error(QN_CODE_INVALID, "%s; expected a tokenizer.model that `quern prepare` wrote",
                    wrong);
}
