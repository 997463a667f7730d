// where.h: a place in the source, for reports.
#ifndef QUERN_TESTS_SIMT_WHERE_H
#define QUERN_TESTS_SIMT_WHERE_H

namespace simt {

// In a namespace of its own: calls that pass a Where on must not find the layer's functions
// beside the primitives of the same name.
namespace source {

// As a default argument `Where where = Where::here()` names the caller's place. The builtins
// must be defaults of a function of their own: directly in the outer default argument, GCC 12
// gives the line of the header.
struct Where {
    const char *file = nullptr;
    int line = 0;

    static constexpr Where here(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
        return Where{file, line};
    }
};

} // namespace source

using source::Where;

} // namespace simt

#endif
