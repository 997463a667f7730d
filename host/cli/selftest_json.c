#include "cli/selftest_json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quern/files.h"

static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *pack_check(const qn_planted_check *c) {
    char experiment[8];
    snprintf(experiment, sizeof experiment, "T%d", c->experiment);
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:b}", "experiment", experiment, "what", c->what,
                     "measured", number(c->measured), "least", number(c->least), "most",
                     number(c->most), "passed", (int)c->passed);
}

qn_status qn_selftest_write_json(const char *path, uint64_t seed, const qn_planted_result *result) {
    json_t *checks = json_array();
    for (int64_t i = 0; i < result->count; i++)
        json_array_append_new(checks, pack_check(&result->checks[i]));
    json_t *root =
        json_pack("{s:s, s:I, s:I, s:I, s:o}", "quern", QN_VERSION, "seed", (json_int_t)seed,
                  "passed", (json_int_t)(result->count - result->failed), "failed",
                  (json_int_t)result->failed, "checks", checks);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    qn_status status = text ? qn_file_write(path, text, strlen(text))
                            : qn_error(QN_CODE_MEMORY, "no memory for %s", path);
    free(text);
    json_decref(root);
    return status;
}
