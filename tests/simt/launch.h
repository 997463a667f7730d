// launch.h: runs a grid, to its end, on the calling thread.
#ifndef QUERN_TESTS_SIMT_LAUNCH_H
#define QUERN_TESTS_SIMT_LAUNCH_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>

#include "simt/stream.h"
#include "simt/vector_types.h"

namespace simt {

// Calls body(arguments) in every thread of the grid. Throws Error.
void launch_grid(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                 void (*body)(void *), void *arguments);

// Enqueues the grid, with its arguments as they are now.
template <typename... Parameters, typename... Arguments>
void launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, CUstream_st *stream,
            void (*kernel)(Parameters...), Arguments &&...arguments) {
    struct Call {
        void (*kernel)(Parameters...);
        std::tuple<Parameters...> arguments;
    } call = {kernel, std::tuple<Parameters...>(static_cast<Parameters>(arguments)...)};
    enqueue(stream, Label{Label::kKernel, name}, [=]() mutable {
        launch_grid(
            name, (const void *)kernel, grid, block, shared_bytes,
            [](void *p) { std::apply(((Call *)p)->kernel, ((Call *)p)->arguments); }, &call);
    });
}

// How many grids of kernels whose launch names `part` this process has run.
int64_t count_launches(const std::string &part);

// 0, or the cudaError_t of a kernel that cannot have that much dynamic shared memory. A kernel that
// has not asked has no more than 48 KB.
int allow_shared(const void *kernel, size_t bytes);

} // namespace simt

#endif
