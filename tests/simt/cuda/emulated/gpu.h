// gpu.h: the GPU that the emulated CUDA runtime finds, for tests to change.
#ifndef QUERN_TESTS_SIMT_CUDA_GPU_H
#define QUERN_TESTS_SIMT_CUDA_GPU_H

#include <cstddef>
#include <cstdint>

#include <cupti.h>

#include "cuda_runtime_api.h"

namespace simt {

struct Gpu {
    int count = 1;
    int driver = 13000; // the CUDA version that the driver is for; 0: no driver
    cudaError_t count_error = cudaSuccess;
    int major = 8, minor = 0;
    bool has_cublaslt = true;      // the library is installed
    bool has_epilogues = true;     // and has algorithms with epilogues
    bool has_products = true;      // and without
    int product_error = 0;         // the cublasStatus_t that its products end with
    const char *cupti_folder = ""; // where libcupti.so.13 is; "": where the system looks; null: no
    uint32_t cupti_version = CUPTI_API_VERSION;
    CUptiResult cupti_refusal = CUPTI_SUCCESS; // what enabling a kind of record gives
    size_t cupti_records = 0;                  // a buffer; 0: as many as fit
    size_t cupti_most_records = SIZE_MAX;      // then all are dropped
    bool cupti_times = true;                   // else it has no memory for the times of kernels
    size_t memory = (size_t)8 << 30;
    int multiprocessors = 2;
    int l2_bytes = 128 << 10;
};

Gpu &gpu();

// Graphs made, and launched, by this process.
int64_t graphs_made();
int64_t graph_launches();

// Copies by this process between the device and host memory that is not page-locked: on a GPU they
// are slower, and the host waits.
int64_t pageable_copies();

// Bytes allocated and not freed.
size_t gpu_memory_used();

// What cuBLASLt was asked for since the program began, and what of it is left.
struct CublasLtUse {
    int heuristics;   // searches for an algorithm
    int products;     // launched
    int epilogues;    // of these, with an epilogue
    int unaligned;    // of these, with a matrix that does not lie in whole 16 bytes
    int descriptions; // of any kind, created and not destroyed
    uint32_t aligned; // bytes, the least that the last search was told of its matrices
};
CublasLtUse cublaslt_use();

// Puts the GPU back at the end of a scope.
class ScopedGpu {
  public:
    ScopedGpu() : saved_(gpu()) {}
    ~ScopedGpu() { gpu() = saved_; }
    ScopedGpu(const ScopedGpu &) = delete;
    ScopedGpu &operator=(const ScopedGpu &) = delete;

  private:
    Gpu saved_;
};

} // namespace simt

#endif
