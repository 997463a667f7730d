/* open.c: opens a GPU, or says why not: what was found, what is needed, what to do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attention/fused.h"
#include "backend.h"
#include "code_is_here.h"
#include "open.h"

enum { MIN_MAJOR = 8 }; /* of the compute capability: bf16 matrix instructions, cp.async */

/* ---- the driver ------------------------------------------------------------ */

static qn_status driver_error(cudaError_t error) {
    int driver = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
    const int needed = CUDART_VERSION / 1000;
    cudaGetLastError(); /* or the next launch would report it */
    if (driver == 0)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "no NVIDIA driver is found on this machine; install one for CUDA %d or "
                        "later, or use \"cpu\"",
                        needed);
    if (error == cudaErrorInsufficientDriver)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "the NVIDIA driver is for CUDA %d.%d, and this build needs CUDA %d; update "
                        "the driver, build quern with an older toolkit, or use \"cpu\"",
                        driver / 1000, driver % 1000 / 10, needed);
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (error == cudaErrorNoDevice)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "the NVIDIA driver finds no GPU; check nvidia-smi and the environment "
                        "variable CUDA_VISIBLE_DEVICES (%s%s), or use \"cpu\"",
                        visible ? "now " : "not set", visible ? visible : "");
    return qn_cuda_error(error, "looking for a GPU");
}

bool qn_cuda_has_gpu(void) {
    int driver = 0, count = 0;
    if (cudaDriverGetVersion(&driver) || driver == 0) return false;
    const cudaError_t error = cudaGetDeviceCount(&count);
    cudaGetLastError();
    return error ? error != cudaErrorNoDevice : count > 0;
}

/* ---- the device ---------------------------------------------------------------- */

static qn_status check_device(const struct cudaDeviceProp *device) {
    if (device->major < MIN_MAJOR)
        return qn_error(QN_CODE_UNSUPPORTED,
                        "%s has compute capability %d.%d, and quern needs %d.0 (Ampere) or later; "
                        "choose another GPU with CUDA_VISIBLE_DEVICES, or use \"cpu\"",
                        device->name, device->major, device->minor, MIN_MAJOR);
    const cudaError_t error = (cudaError_t)qn_cuda_code_is_here();
    if (!error) return QN_OK;
    cudaGetLastError();
    return qn_error(QN_CODE_UNSUPPORTED,
                    "%s has compute capability %d.%d, and this build holds code for \"%s\" (%s); "
                    "build it with -DCMAKE_CUDA_ARCHITECTURES=%d%d",
                    device->name, device->major, device->minor, QN_CUDA_ARCHITECTURES,
                    cudaGetErrorName(error), device->major, device->minor);
}

static qn_status open_device(qn_cuda *cuda) {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error || count == 0) return driver_error(error ? error : cudaErrorNoDevice);
    struct cudaDeviceProp device;
    QN_CUDA_TRY(cudaSetDevice(0), "taking the first of %d GPUs", count);
    QN_CUDA_TRY(cudaGetDeviceProperties(&device, 0), "reading the properties of the GPU");
    QN_TRY(check_device(&device));
    snprintf(cuda->name, sizeof cuda->name, "%.*s", (int)sizeof cuda->name - 1, device.name);
    cuda->major = device.major;
    cuda->minor = device.minor;
    cuda->multiprocessors = device.multiProcessorCount;
    cuda->l2_bytes = (size_t)device.l2CacheSize;
    cuda->shared_bytes = device.sharedMemPerBlockOptin;
    QN_TRY(qn_cuda_fused_open(cuda));
    return qn_cublaslt_open(&cuda->blas);
}

qn_status qn_cuda_open_device(const qn_ops *ops, qn_backend **out) {
    *out = NULL;
    qn_cuda *cuda = calloc(1, sizeof *cuda);
    if (!cuda) return qn_error(QN_CODE_MEMORY, "cannot allocate the CUDA backend");
    cuda->base.ops = ops;
    qn_matmul_plan_cache_open(&cuda->plans);
    qn_status status = open_device(cuda);
    if (status) {
        qn_cuda_close_device(&cuda->base);
        return qn_context(status, "device \"cuda\"");
    }
    *out = &cuda->base;
    return QN_OK;
}

void qn_cuda_close_device(qn_backend *backend) {
    if (!backend) return;
    qn_cuda *cuda = (qn_cuda *)backend;
    qn_matmul_plan_cache_close(&cuda->plans, &cuda->blas);
    qn_cublaslt_close(&cuda->blas);
    free(cuda);
}

/* ---- what it is, and its memory ---------------------------------------------------- */

qn_status qn_cuda_device_info(qn_backend *backend, qn_device_info *info) {
    const qn_cuda *cuda = (const qn_cuda *)backend;
    *info =
        (qn_device_info){.bf16_gemm = true, .storage = {QN_BF16}, .n_storage = 1, .graphs = true};
    snprintf(info->name, sizeof info->name, "%s", cuda->name);
    snprintf(info->arch, sizeof info->arch, "compute capability %d.%d", cuda->major, cuda->minor);
    QN_CUDA_TRY(cudaMemGetInfo(&info->memory_free, &info->memory_total),
                "asking how much memory the GPU has");
    return QN_OK;
}

qn_status qn_cuda_alloc(qn_backend *backend, size_t bytes, void **out) {
    *out = NULL;
    if (bytes == 0) return QN_OK;
    const cudaError_t error = cudaMalloc(out, bytes);
    if (!error) return QN_OK;
    *out = NULL;
    size_t free_bytes = 0, total = 0;
    cudaMemGetInfo(&free_bytes, &total);
    return qn_cuda_error(error, "allocating %zu bytes on %s, where %zu of %zu are free", bytes,
                         ((const qn_cuda *)backend)->name, free_bytes, total);
}

void qn_cuda_free(qn_backend *backend, void *memory) {
    (void)backend;
    cudaFree(memory);
}

qn_status qn_cuda_host_alloc(qn_backend *backend, size_t bytes, void **out) {
    (void)backend;
    *out = NULL;
    if (bytes == 0) return QN_OK;
    const cudaError_t error = cudaHostAlloc(out, bytes, cudaHostAllocDefault);
    if (!error) return QN_OK;
    *out = NULL;
    return qn_cuda_error(error, "allocating %zu bytes of page-locked host memory", bytes);
}

void qn_cuda_host_free(qn_backend *backend, void *memory) {
    (void)backend;
    cudaFreeHost(memory);
}
