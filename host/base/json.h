/* json.h: reading JSON with errors that a user can act on; over jansson. */
#ifndef QUERN_BASE_JSON_H
#define QUERN_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Parses a file or `length` bytes of text (which errors call `file`). What they hold is
 * one object, and no object in it has a key twice. Syntax errors give line and column.
 * The caller releases *out with json_decref. */
qn_status qn_json_load(const char *file, json_t **out);
qn_status qn_json_parse(const char *file, const char *text, size_t length, json_t **out);

/* Members of an object. An error names file, key, the value found and what was expected.
 * The plain getters want the member; the _or ones give `fallback`, unchecked, when it is
 * absent or null. Ranges include both ends. A string belongs to the object. */
qn_status qn_json_int(const json_t *object, const char *file, const char *key, int64_t min,
                      int64_t max, int64_t *out);
qn_status qn_json_int_or(const json_t *object, const char *file, const char *key, int64_t min,
                         int64_t max, int64_t fallback, int64_t *out);
qn_status qn_json_number(const json_t *object, const char *file, const char *key, double min,
                         double max, double *out);
qn_status qn_json_number_or(const json_t *object, const char *file, const char *key, double min,
                            double max, double fallback, double *out);
qn_status qn_json_bool(const json_t *object, const char *file, const char *key, bool *out);
qn_status qn_json_bool_or(const json_t *object, const char *file, const char *key, bool fallback,
                          bool *out);
qn_status qn_json_string(const json_t *object, const char *file, const char *key, const char **out);
qn_status qn_json_string_or(const json_t *object, const char *file, const char *key,
                            const char *fallback, const char **out);

/* The error for a member that is not what it should be: "FILE: "KEY" is VALUE; expected
 * EXPECTED", or "is missing" when the object does not have it. */
qn_status qn_json_misfit(const json_t *object, const char *file, const char *key, qn_code code,
                         const char *expected) __attribute__((returns_nonnull));

/* Fails when the object has a key outside `known` (ended by NULL), and lists these. */
qn_status qn_json_known_keys(const json_t *object, const char *file, const char *const *known);

#ifdef __cplusplus
}
#endif
#endif
