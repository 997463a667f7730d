// site.h: where an access to memory was made.
#ifndef QUERN_TESTS_SIMT_SITE_H
#define QUERN_TESTS_SIMT_SITE_H

#include <string>

#include "simt/where.h"

namespace simt {

// A place in the source, or the address behind a call, as instrumented code has it.
struct Site {
    const void *code = nullptr; // or the file's name
    int line = -1;              // −1: code is an address

    Site() = default;
    explicit Site(const void *return_address) : code(return_address) {}
    Site(Where where) : code(where.file), line(where.line) {}
    bool operator==(const Site &other) const { return code == other.code && line == other.line; }
};

// "attention.cu:33". Addresses are looked up in the debug information, with addr2line.
std::string to_string(const Site &site);

} // namespace simt

#endif
