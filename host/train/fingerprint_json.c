#include "train/fingerprint_json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

json_t *qn_fingerprint_to_json(const qn_fingerprint *d) {
    char digits[17];
    snprintf(digits, sizeof digits, "%016" PRIx64, d->hash);
    return json_pack("{s:I, s:I, s:I, s:s}", "shards", (json_int_t)d->shards, "bytes",
                     (json_int_t)d->bytes, "tokens", (json_int_t)d->tokens, "xxh3", digits);
}

static qn_status read_hash(const json_t *data, const char *path, uint64_t *out) {
    const char *digits;
    QN_TRY(qn_json_string(data, path, "xxh3", &digits));
    if (strlen(digits) != 16 || strspn(digits, "0123456789abcdef") != 16) {
        return qn_json_misfit(data, path, "xxh3", QN_CODE_INVALID, "16 hexadecimal digits");
    }
    *out = strtoull(digits, NULL, 16);
    return QN_OK;
}

qn_status qn_fingerprint_from_json(const json_t *object, const char *path, qn_fingerprint *out) {
    *out = (qn_fingerprint){0};
    const json_t *data = json_object_get(object, "data");
    if (!data) return QN_OK;
    if (!json_is_object(data)) {
        return qn_json_misfit(object, path, "data", QN_CODE_INVALID, "an object");
    }
    qn_status status = qn_json_int(data, path, "shards", 0, INT64_MAX, &out->shards);
    if (!status) status = qn_json_int(data, path, "bytes", 0, INT64_MAX, &out->bytes);
    if (!status) status = qn_json_int(data, path, "tokens", 0, INT64_MAX, &out->tokens);
    if (!status) status = read_hash(data, path, &out->hash);
    return qn_context(status, "\"data\"");
}
