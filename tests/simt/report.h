// report.h: who and where, in words.
#ifndef QUERN_TESTS_SIMT_REPORT_H
#define QUERN_TESTS_SIMT_REPORT_H

#include <string>

#include "simt/machine.h"

namespace simt {

// "block (0,1,0) warp 2 lane 5"
std::string to_string(const Thread &thread);
std::string to_string(uint3 index);

// Ends the launch: "attention.cu:33: ldmatrix: <what>, in block (0,0,0) warp 2 lane 5".
[[noreturn]] void fail_at(Where where, const char *operation, const std::string &what);

// A line for each warp and each place where threads of it wait.
std::string waiting_threads();

} // namespace simt

#endif
