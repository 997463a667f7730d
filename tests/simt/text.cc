#include "simt/text.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace simt {

std::string format(const char *pattern, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, pattern);
    vsnprintf(text, sizeof text, pattern, arguments);
    va_end(arguments);
    return text;
}

std::string to_string(Where where) {
    if (!where.file) return "?";
    const char *slash = strrchr(where.file, '/');
    return format("%s:%d", slash ? slash + 1 : where.file, where.line);
}

} // namespace simt
