// text.h: formatted strings for reports.
#ifndef QUERN_TESTS_SIMT_TEXT_H
#define QUERN_TESTS_SIMT_TEXT_H

#include <string>

#include "simt/where.h"

namespace simt {

__attribute__((format(printf, 1, 2))) std::string format(const char *pattern, ...);

// "attention.cu:33", without the folders.
std::string to_string(Where where);

} // namespace simt

#endif
