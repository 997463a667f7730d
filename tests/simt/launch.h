// launch.h: runs a grid, to its end, on the calling thread.
#ifndef QUERN_TESTS_SIMT_LAUNCH_H
#define QUERN_TESTS_SIMT_LAUNCH_H

#include <cstddef>
#include <tuple>

#include "simt/vector_types.h"

namespace simt {

// Calls body(arguments) in every thread of the grid. Throws Error.
void launch_grid(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                 void (*body)(void *), void *arguments);

template <typename... Parameters, typename... Arguments>
void launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes,
            void (*kernel)(Parameters...), Arguments &&...arguments) {
    struct Call {
        void (*kernel)(Parameters...);
        std::tuple<Parameters...> arguments;
    } call = {kernel, std::tuple<Parameters...>(static_cast<Parameters>(arguments)...)};
    launch_grid(
        name, grid, block, shared_bytes,
        [](void *p) { std::apply(((Call *)p)->kernel, ((Call *)p)->arguments); }, &call);
}

} // namespace simt

#endif
