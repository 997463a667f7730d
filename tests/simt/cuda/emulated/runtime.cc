// runtime.cc: the CUDA runtime, its one GPU being the emulation layer.
#include "cuda_runtime_api.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <set>

#include "simt/config.h"
#include "simt/cuda/emulated/activity.h"
#include "simt/cuda/emulated/gpu.h"
#include "simt/cuda/emulated/memory.h"
#include "simt/device_heap.h"
#include "simt/device_memory.h"
#include "simt/stream.h"
#include "simt/text.h"

namespace simt {

Gpu &gpu() {
    static Gpu the_gpu;
    return the_gpu;
}

static size_t used;
size_t gpu_memory_used() { return used; }

static cudaError_t last_error = cudaSuccess;

static cudaError_t remember(cudaError_t error) {
    if (error) last_error = error;
    return error;
}

static std::set<cudaStream_t> &streams() {
    static std::set<cudaStream_t> the_streams;
    return the_streams;
}

void check_device_range(const void *p, size_t n, const char *operation) {
    if (n == 0 || !in_device_heap(p)) return;
    const Allocation *a = find_allocation(p);
    if (!a || (const uint8_t *)p + n > a->begin + a->size)
        throw Error(format("%s: %zu bytes of device memory out of bounds: they begin %s", operation,
                           n, place_in_heap(p).c_str()));
}

} // namespace simt

using namespace simt;

struct CUevent_st {
    cudaStream_t stream;
    bool recorded, reached;
    std::chrono::steady_clock::time_point time;
};

// ---- errors ----------------------------------------------------------------------------

#define NAME(error)                                                                                \
    case error:                                                                                    \
        return #error;

const char *cudaGetErrorName(cudaError_t error) {
    switch (error) {
        NAME(cudaSuccess)
        NAME(cudaErrorInvalidValue)
        NAME(cudaErrorMemoryAllocation)
        NAME(cudaErrorInsufficientDriver)
        NAME(cudaErrorDevicesUnavailable)
        NAME(cudaErrorInvalidDeviceFunction)
        NAME(cudaErrorNoDevice)
        NAME(cudaErrorNoKernelImageForDevice)
        NAME(cudaErrorECCUncorrectable)
        NAME(cudaErrorInvalidResourceHandle)
        NAME(cudaErrorNotReady)
        NAME(cudaErrorIllegalAddress)
        NAME(cudaErrorIllegalInstruction)
        NAME(cudaErrorMisalignedAddress)
        NAME(cudaErrorLaunchFailure)
        NAME(cudaErrorStreamCaptureUnsupported)
        NAME(cudaErrorStreamCaptureInvalidated)
        NAME(cudaErrorStreamCaptureUnmatched)
    }
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t) { return "emulated"; }

cudaError_t cudaGetLastError() {
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

// ---- the device -----------------------------------------------------------------------------

cudaError_t cudaDriverGetVersion(int *version) {
    *version = gpu().driver;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = gpu().count_error ? 0 : gpu().count;
    return remember(gpu().count_error);
}

cudaError_t cudaSetDevice(int device) {
    return remember(device < gpu().count ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device) {
    if (device >= gpu().count) return remember(cudaErrorInvalidValue);
    *properties = cudaDeviceProp();
    snprintf(properties->name, sizeof properties->name, "Emulated GPU");
    properties->totalGlobalMem = gpu().memory;
    properties->major = gpu().major;
    properties->minor = gpu().minor;
    properties->multiProcessorCount = gpu().multiprocessors;
    properties->l2CacheSize = gpu().l2_bytes;
    properties->sharedMemPerBlockOptin = simt::config().shared_limit;
    return cudaSuccess;
}

// ---- memory ------------------------------------------------------------------------------------

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
    *total = gpu().memory;
    *free_bytes = gpu().memory - used;
    return cudaSuccess;
}

static bool any_capture() {
    for (cudaStream_t stream : streams())
        if (stream->captured) return true;
    return false;
}

cudaError_t cudaMalloc(void **out, size_t bytes) {
    *out = nullptr;
    if (any_capture()) return remember(cudaErrorStreamCaptureUnsupported);
    if (bytes > gpu().memory - used) return remember(cudaErrorMemoryAllocation);
    try {
        *out = device_allocate(bytes);
    } catch (const std::bad_alloc &) {
        return remember(cudaErrorMemoryAllocation);
    }
    used += bytes;
    return cudaSuccess;
}

// Waits for all work, as CUDA does.
cudaError_t cudaFree(void *memory) {
    if (!memory) return cudaSuccess;
    if (any_capture()) return remember(cudaErrorStreamCaptureUnsupported);
    for (cudaStream_t stream : streams()) finish(stream);
    if (const Allocation *a = find_allocation(memory)) used -= a->size;
    device_free(memory);
    return cudaSuccess;
}

// Bytes by where they begin.
static std::map<const char *, size_t> &page_locked() {
    static std::map<const char *, size_t> allocations;
    return allocations;
}

static bool is_page_locked(const void *p, size_t bytes) {
    const char *at = (const char *)p;
    auto next = page_locked().upper_bound(at);
    if (next == page_locked().begin()) return false;
    const auto &[begin, size] = *--next;
    return at + bytes <= begin + size;
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned) {
    *out = malloc(bytes);
    if (!*out) return remember(cudaErrorMemoryAllocation);
    page_locked()[(const char *)*out] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *memory) {
    page_locked().erase((const char *)memory);
    free(memory);
    return cudaSuccess;
}

static int64_t n_pageable_copies;
int64_t simt::pageable_copies() { return n_pageable_copies; }

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    if (kind != cudaMemcpyHostToDevice) check_device_range(src, bytes, "cudaMemcpyAsync, source");
    if (kind != cudaMemcpyDeviceToHost)
        check_device_range(dst, bytes, "cudaMemcpyAsync, destination");
    if ((kind == cudaMemcpyHostToDevice && !is_page_locked(src, bytes)) ||
        (kind == cudaMemcpyDeviceToHost && !is_page_locked(dst, bytes)))
        n_pageable_copies++;
    enqueue(stream, Label{Label::kCopy, ""}, [=] { memcpy(dst, src, bytes); });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream) {
    check_device_range(dst, bytes, "cudaMemsetAsync");
    enqueue(stream, Label{Label::kSet, ""}, [=] { memset(dst, value, bytes); });
    return cudaSuccess;
}

// ---- streams --------------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned) {
    *out = new CUstream_st();
    streams().insert(*out);
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    if (any_capture()) return remember(cudaErrorStreamCaptureUnsupported);
    for (cudaStream_t stream : streams()) finish(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    finish(stream);
    streams().erase(stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (stream->captured) {
        stream->capture_lost = true;
        return remember(cudaErrorStreamCaptureUnsupported);
    }
    finish(stream);
    return cudaSuccess;
}

// An event that was recorded but not reached lies in the queue of its stream.
static void reach(cudaEvent_t event) {
    if (event->recorded && !event->reached) finish(event->stream);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    enqueue(stream, [=] { reach(event); });
    return cudaSuccess;
}

// ---- graphs ---------------------------------------------------------------------------------

using Work = std::vector<std::function<void()>>;

struct CUgraph_st {
    Work work;
};
struct CUgraphExec_st {
    std::shared_ptr<Work> work; // a launch that is pending outlives its graph
};

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    if (stream->captured) return remember(cudaErrorStreamCaptureUnmatched);
    stream->captured = std::make_unique<Work>();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) {
    *out = nullptr;
    if (!stream->captured) return remember(cudaErrorStreamCaptureUnmatched);
    const bool lost = stream->capture_lost;
    if (!lost) *out = new CUgraph_st{std::move(*stream->captured)};
    stream->captured.reset();
    stream->capture_lost = false;
    return lost ? remember(cudaErrorStreamCaptureInvalidated) : cudaSuccess;
}

static int64_t n_graphs_made, n_graph_launches;
int64_t simt::graphs_made() { return n_graphs_made; }
int64_t simt::graph_launches() { return n_graph_launches; }

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *out, cudaGraph_t graph,
                                          unsigned long long) {
    n_graphs_made++;
    *out = new CUgraphExec_st{std::make_shared<Work>(graph->work)};
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    n_graph_launches++;
    enqueue(stream, [work = graph->work, launch = cupti_call()] {
        CuptiGraphRun run(launch);
        for (auto &piece : *work) piece();
    });
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}

// ---- events ---------------------------------------------------------------------------------

cudaError_t cudaEventCreate(cudaEvent_t *out) {
    *out = new CUevent_st();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    reach(event);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    event->stream = stream;
    event->recorded = true;
    event->reached = false;
    enqueue(stream, [=] {
        event->time = std::chrono::steady_clock::now();
        event->reached = true;
    });
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    reach(event);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
    if (!start->recorded || !end->recorded) return remember(cudaErrorInvalidResourceHandle);
    if (!start->reached || !end->reached) return remember(cudaErrorNotReady);
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return cudaSuccess;
}
