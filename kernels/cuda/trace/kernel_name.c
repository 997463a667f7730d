#include "trace/kernel_name.h"

#include <stdlib.h>
#include <string.h>

/* The C++ runtime's demangler (Itanium C++ ABI, <cxxabi.h>), which C cannot include. */
extern char *__cxa_demangle(const char *mangled, char *buffer, size_t *length, int *status);

static const char anonymous[] = "(anonymous namespace)";

/* The last name before the parameters, in no template's brackets. */
static char *function_of(const char *text) {
    const char *begin = text, *end = NULL; /* end: of the name that begins there, once known */
    int depth = 0;
    const char *c = text;
    for (; *c; c++) {
        if (strncmp(c, anonymous, sizeof anonymous - 1) == 0) {
            c += sizeof anonymous - 2;
        } else if (*c == '<') {
            if (depth++ == 0 && !end) end = c;
        } else if (*c == '>') {
            depth--;
        } else if (depth == 0 && *c == '(') {
            break;
        } else if (depth == 0 && (*c == ' ' || *c == ':')) {
            begin = c + 1;
            end = NULL;
        }
    }
    return strndup(begin, (size_t)((end ? end : c) - begin));
}

char *qn_kernel_name(const char *mangled) {
    int failed;
    char *text = __cxa_demangle(mangled, NULL, NULL, &failed);
    if (failed) return strdup(mangled);
    char *name = function_of(text);
    free(text);
    return name;
}
