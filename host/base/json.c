#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes what jansson returned; passes on an object, or the error. */
static qn_status finish(const char *file, json_t *root, const json_error_t *error, json_t **out) {
    if (!root) {
        if (json_error_code(error) == json_error_out_of_memory) {
            return qn_error(QN_CODE_MEMORY, "%s: not enough memory to parse it", file);
        }
        return qn_error(QN_CODE_INVALID, "%s: line %d, column %d: %s", file, error->line,
                        error->column, error->text);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return qn_error(QN_CODE_INVALID, "%s: holds a JSON array; expected an object {…}", file);
    }
    *out = root;
    return QN_OK;
}

qn_status qn_json_load(const char *file, json_t **out) {
    *out = NULL;
    FILE *f = fopen(file, "rb");
    if (!f) return qn_error(QN_CODE_IO, "%s: cannot open: %s", file, strerror(errno));
    json_error_t error;
    errno = 0;
    json_t *root = json_loadf(f, JSON_REJECT_DUPLICATES, &error);
    int failure = ferror(f) ? errno : 0;
    fclose(f);
    if (failure) {
        json_decref(root);
        return qn_error(QN_CODE_IO, "%s: cannot read: %s", file, strerror(failure));
    }
    return finish(file, root, &error, out);
}

qn_status qn_json_parse(const char *file, const char *text, size_t length, json_t **out) {
    *out = NULL;
    json_error_t error;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    return finish(file, root, &error, out);
}

qn_status qn_json_misfit(const json_t *object, const char *file, const char *key, qn_code code,
                         const char *expected) {
    enum { SHOWN = 60 };
    const json_t *value = json_object_get(object, key);
    if (!value) return qn_error(code, "%s: \"%s\" is missing; expected %s", file, key, expected);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    if (!text) return qn_error(QN_CODE_MEMORY, "%s: no memory to print \"%s\"", file, key);
    qn_status status = qn_error(code, "%s: \"%s\" is %.*s%s; expected %s", file, key, SHOWN, text,
                                strlen(text) > SHOWN ? "…" : "", expected);
    free(text);
    return status;
}

static bool absent(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return !value || json_is_null(value);
}

qn_status qn_json_int(const json_t *object, const char *file, const char *key, int64_t min,
                      int64_t max, int64_t *out) {
    const json_t *value = json_object_get(object, key);
    int64_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < min || n > max) {
        char expected[96];
        snprintf(expected, sizeof expected, "an integer from %" PRId64 " to %" PRId64, min, max);
        return qn_json_misfit(object, file, key, QN_CODE_INVALID, expected);
    }
    *out = n;
    return QN_OK;
}

qn_status qn_json_int_or(const json_t *object, const char *file, const char *key, int64_t min,
                         int64_t max, int64_t fallback, int64_t *out) {
    if (!absent(object, key)) return qn_json_int(object, file, key, min, max, out);
    *out = fallback;
    return QN_OK;
}

qn_status qn_json_number(const json_t *object, const char *file, const char *key, double min,
                         double max, double *out) {
    const json_t *value = json_object_get(object, key);
    double x = json_number_value(value);
    if (!json_is_number(value) || !(x >= min && x <= max)) {
        char expected[96];
        snprintf(expected, sizeof expected, "a number from %.9g to %.9g", min, max);
        return qn_json_misfit(object, file, key, QN_CODE_INVALID, expected);
    }
    *out = x;
    return QN_OK;
}

qn_status qn_json_number_or(const json_t *object, const char *file, const char *key, double min,
                            double max, double fallback, double *out) {
    if (!absent(object, key)) return qn_json_number(object, file, key, min, max, out);
    *out = fallback;
    return QN_OK;
}

qn_status qn_json_bool(const json_t *object, const char *file, const char *key, bool *out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value)) {
        return qn_json_misfit(object, file, key, QN_CODE_INVALID, "true or false");
    }
    *out = json_is_true(value);
    return QN_OK;
}

qn_status qn_json_bool_or(const json_t *object, const char *file, const char *key, bool fallback,
                          bool *out) {
    if (!absent(object, key)) return qn_json_bool(object, file, key, out);
    *out = fallback;
    return QN_OK;
}

qn_status qn_json_string(const json_t *object, const char *file, const char *key,
                         const char **out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) {
        return qn_json_misfit(object, file, key, QN_CODE_INVALID, "a string");
    }
    *out = json_string_value(value);
    return QN_OK;
}

qn_status qn_json_string_or(const json_t *object, const char *file, const char *key,
                            const char *fallback, const char **out) {
    if (!absent(object, key)) return qn_json_string(object, file, key, out);
    *out = fallback;
    return QN_OK;
}

/* "a, b, c" in a malloc'ed string. */
static char *join(const char *const *words) {
    size_t length = 1;
    for (int i = 0; words[i]; i++) length += strlen(words[i]) + 2;
    char *text = malloc(length), *end = text;
    if (!text) return NULL;
    *end = 0;
    for (int i = 0; words[i]; i++) end += sprintf(end, "%s%s", i ? ", " : "", words[i]);
    return text;
}

qn_status qn_json_known_keys(const json_t *object, const char *file, const char *const *known) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        int i = 0;
        while (known[i] && strcmp(known[i], key) != 0) i++;
        if (known[i]) continue;
        char *list = join(known);
        qn_status status = qn_error(QN_CODE_INVALID, "%s: unknown key \"%s\"; known are: %s", file,
                                    key, list ? list : "(no memory to list them)");
        free(list);
        return status;
    }
    return QN_OK;
}
