/* check.c: what was measured against what must hold. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "planted/experiment.h"

static qn_status append(qn_planted_result *result, const qn_planted_check *check) {
    if (result->count == result->capacity) {
        const int64_t capacity = result->capacity ? 2 * result->capacity : 32;
        qn_planted_check *checks = realloc(result->checks, (size_t)capacity * sizeof *checks);
        if (!checks) return qn_error(QN_CODE_MEMORY, "no memory for checks");
        result->checks = checks;
        result->capacity = capacity;
    }
    result->checks[result->count++] = *check;
    result->failed += !check->passed;
    return QN_OK;
}

qn_status qn_check(qn_garden *garden, int experiment, double measured, double least, double most,
                   const char *format, ...) {
    qn_planted_check check = {.experiment = experiment,
                              .measured = measured,
                              .least = least,
                              .most = most,
                              .passed = measured >= least && measured <= most};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check.what, sizeof check.what, format, arguments);
    va_end(arguments);
    QN_TRY(append(garden->result, &check));
    if (garden->hooks->on_check) garden->hooks->on_check(garden->hooks->context, &check);
    return QN_OK;
}

void qn_planted_free(qn_planted_result *result) {
    free(result->checks);
    *result = (qn_planted_result){0};
}
