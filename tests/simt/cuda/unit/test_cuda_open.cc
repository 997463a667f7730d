// test_cuda_open.cc: what the CUDA backend says of GPUs that it cannot use and of memory that it
// does not have; nothing that it allocates is lost.
#include "harness/backend.h"
#include "simt/config.h"
#include "simt/cuda/emulated/gpu.h"

using namespace harness;

namespace {

class CudaOpen : public testing::Test {
  protected:
    void expect_no_device(const std::vector<std::string> &words) {
        qn_backend *backend = nullptr;
        expect_refused(qn_cuda_open(&backend), QN_CODE_UNSUPPORTED, words);
        EXPECT_EQ(backend, nullptr);
        EXPECT_EQ(cudaGetLastError(), cudaSuccess); // or the next launch would report it
    }

    simt::ScopedGpu restored_gpu;
    simt::ScopedConfig restored_config;
    simt::Gpu &gpu = simt::gpu();
};

TEST_F(CudaOpen, NoDriver) {
    gpu.driver = 0;
    gpu.count_error = cudaErrorInsufficientDriver; // as the runtime says it
    expect_no_device({"no NVIDIA driver", "CUDA 13", "\"cpu\""});
}

TEST_F(CudaOpen, OldDriver) {
    gpu.driver = 12040;
    gpu.count_error = cudaErrorInsufficientDriver;
    expect_no_device({"CUDA 12.4", "needs CUDA 13", "update", "\"cpu\""});
}

TEST_F(CudaOpen, NoGpu) {
    gpu.count_error = cudaErrorNoDevice;
    setenv("CUDA_VISIBLE_DEVICES", "7", 1);
    expect_no_device({"finds no GPU", "nvidia-smi", "CUDA_VISIBLE_DEVICES (now 7)", "\"cpu\""});
    unsetenv("CUDA_VISIBLE_DEVICES");
    expect_no_device({"CUDA_VISIBLE_DEVICES (not set)"});
}

TEST_F(CudaOpen, OldGpu) {
    gpu.major = 7;
    gpu.minor = 5;
    expect_no_device({"Emulated GPU", "compute capability 7.5", "8.0", "\"cpu\""});
}

TEST_F(CudaOpen, NoCodeForTheGpu) {
    gpu.major = 12;
    gpu.minor = 1;
    simt::config().has_code = false;
    expect_no_device({"capability 12.1", "code for \"emulated\"", "cudaErrorNoKernelImageForDevice",
                      "CMAKE_CUDA_ARCHITECTURES=121"});
}

TEST_F(CudaOpen, NoMatrixLibrary) {
    gpu.has_cublaslt = false;
    expect_no_device({"libcublasLt.so.13", "no such file", "install", "LD_LIBRARY_PATH"});
}

TEST_F(CudaOpen, AnotherErrorKeepsItsName) {
    gpu.count_error = cudaErrorDevicesUnavailable;
    qn_backend *backend = nullptr;
    expect_refused(qn_cuda_open(&backend), QN_CODE_IO,
                   {"looking for a GPU", "cudaErrorDevicesUnavailable", "another program"});
}

TEST_F(CudaOpen, DescribesTheGpu) {
    on_each_backend([&](Device &d) {
        EXPECT_STREQ(d.info.name, "Emulated GPU");
        EXPECT_STREQ(d.info.arch, "compute capability 8.0");
        EXPECT_EQ(d.info.memory_total, gpu.memory);
        EXPECT_EQ(d.info.n_threads, 0);
        EXPECT_EQ(d.storage, QN_BF16);
        EXPECT_TRUE(d.info.bf16_gemm);
    });
}

TEST_F(CudaOpen, OutOfMemory) {
    const size_t scratch = 128; // of a stream
    gpu.memory = 1000 + scratch;
    on_each_backend([&](Device &d) {
        void *some = nullptr, *more = nullptr;
        expect_ok(d.ops().alloc(d.backend, 600, &some));
        expect_refused(d.ops().alloc(d.backend, 500, &more), QN_CODE_MEMORY,
                       {"500 bytes", "Emulated GPU", "400 of 1128 are free",
                        "cudaErrorMemoryAllocation", "smaller batch"});
        EXPECT_EQ(more, nullptr);
        EXPECT_EQ(cudaGetLastError(), cudaSuccess);
        d.ops().free(d.backend, some);
        expect_ok(d.ops().alloc(d.backend, 900, &some));
        qn_stream *stream = d.stream;
        expect_refused(d.ops().stream_create(d.backend, &stream), QN_CODE_MEMORY,
                       {"128 bytes", "scratch", "stream"});
        EXPECT_EQ(stream, nullptr);
        d.ops().free(d.backend, some);
        expect_ok(d.ops().alloc(d.backend, 500, &more));
        d.ops().free(d.backend, more);
    });
    EXPECT_EQ(simt::gpu_memory_used(), 0u);
}

} // namespace
