#include "quern/status.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qn_error {
    qn_code code;
    char message[];
};

/* What is returned when not even a message can be allocated; never freed. */
static const struct {
    qn_code code;
    char message[40];
} no_memory = {QN_CODE_MEMORY, "out of memory for an error message"};

static qn_status format_error(qn_code code, const char *prefix_of, const char *format,
                              va_list args) {
    va_list again;
    va_copy(again, args);
    int head = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (head < 0) head = 0;
    size_t tail = prefix_of ? strlen(prefix_of) + 2 : 0;
    qn_status s = malloc(sizeof *s + (size_t)head + tail + 1);
    if (!s) return (qn_status)(uintptr_t)&no_memory;
    s->code = code;
    vsnprintf(s->message, (size_t)head + 1, format, args);
    if (prefix_of) sprintf(s->message + head, ": %s", prefix_of);
    return s;
}

qn_status qn_error(qn_code code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    qn_status s = format_error(code, NULL, format, args);
    va_end(args);
    return s;
}

qn_status qn_context(qn_status status, const char *format, ...) {
    if (!status) return QN_OK;
    va_list args;
    va_start(args, format);
    qn_status s = format_error(status->code, status->message, format, args);
    va_end(args);
    qn_status_free(status);
    return s;
}

const char *qn_message(qn_status status) { return status ? status->message : ""; }

qn_code qn_status_code(qn_status status) { return status ? status->code : QN_CODE_OK; }

void qn_status_free(qn_status status) {
    if (status != (qn_status)(uintptr_t)&no_memory) free(status);
}
