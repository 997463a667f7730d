// Bulk copies: data that the async proxy does not see yet, buffers used again too early, what
// is taken for landed when it was only read; addresses, sizes and maps.
#include "cuda/prim/hopper.h"
#include "simt/negative/expect.h"

using namespace negative;

namespace {

// ---- stores -----------------------------------------------------------------------------------

enum class Store { kRight, kNoFence, kNoBarrier, kNoWaitBeforeReuse, kNoCommit, kNoWaitAtExit };

__global__ void store(Store bug, float *out) {
    QN_SHARED(float4, buffer, [16]);
    int t = (int)threadIdx.x;
    for (int step = 0; step < 2; step++) {
        ((float *)buffer)[t] = (float)(step + 1);
        if (bug != Store::kNoFence) fence_proxy_async();
        if (bug != Store::kNoBarrier) __syncthreads();
        if (t == 0) {
            bulk_store(out + 64 * step, shared_address(buffer), 256);
            if (bug != Store::kNoCommit) bulk_commit();
            if (bug != Store::kNoWaitBeforeReuse && bug != Store::kNoWaitAtExit)
                bulk_wait_read<0>();
        }
        if (bug == Store::kNoWaitAtExit) break;
        __syncthreads();
    }
    if (t == 0 && bug == Store::kNoWaitBeforeReuse) bulk_wait_read<0>();
}

template <Store bug> bool run_store() {
    Device<float> out(128, 0);
    QN_LAUNCH(store, 1, 64, 0, 0, bug, out.get());
    for (int i = 0; i < 128; i++)
        if (out[i] != (float)(i / 64 + 1)) return false;
    return true;
}

TEST(Bulk, DataNotFenced) {
    expect_race("read by an asynchronous copy", run_store<Store::kNoFence>);
    if (!simt::kRaceBuild) return;
    try {
        run_store<Store::kNoFence>();
    } catch (const simt::Error &error) {
        EXPECT_NE(std::string(error.what()).find("no fence_proxy_async hands it"),
                  std::string::npos);
    }
}
TEST(Bulk, DataOfOtherThreadsWithoutABarrier) {
    expect_race_and_harm("", run_store<Store::kNoBarrier>);
}
TEST(Bulk, BufferUsedAgainBeforeItWasRead) {
    expect_race_and_harm("write", run_store<Store::kNoWaitBeforeReuse>);
}
TEST(Bulk, NotCommitted) {
    expect_reported("2 bulk stores were not committed", run_store<Store::kNoCommit>);
}
TEST(Bulk, InFlightAtExit) {
    expect_reported("1 bulk stores may still read shared memory", run_store<Store::kNoWaitAtExit>);
}
TEST(Bulk, FencedCommittedAndWaitedFor) { expect_silent(run_store<Store::kRight>); }

// ---- additions
// ------------------------------------------------------------------------------------

// Block 0 adds, and hands the sum to block 1 through a semaphore.
template <bool landed> __global__ void add(float *sum, int32_t *ready, float *out) {
    QN_SHARED(float4, buffer, [16]);
    int t = (int)threadIdx.x;
    if (blockIdx.x == 0) {
        ((float *)buffer)[t] = 2;
        fence_proxy_async();
        __syncthreads();
        if (t) return;
        bulk_reduce_add_f32(sum, shared_address(buffer), 256);
        bulk_commit();
        if (landed)
            bulk_wait<0>();
        else
            bulk_wait_read<0>();
        semaphore_release(ready, 1);
    } else {
        if (t == 0) semaphore_wait(ready, 1);
        __syncthreads();
        out[t] = sum[t];
    }
}

template <bool landed> bool run_add() {
    Device<float> sum(64, 1), out(64, 0);
    Device<int32_t> ready(1, 0);
    simt::config().resident_blocks = 2;
    QN_LAUNCH(add<landed>, 2, 64, 0, 0, sum.get(), ready.get(), out.get());
    return out[0] == 3 && out[63] == 3;
}

TEST(Bulk, ReadIsNotLanded) { expect_race_and_harm("read", run_add<false>); }
TEST(Bulk, Landed) { expect_silent(run_add<true>); }

// fence_proxy_async is for shared memory: what threads wrote to global memory in this launch,
// bulk copies do not see.
template <bool other> __global__ void load_written(float *memory, float *out) {
    QN_SHARED(float4, tile, [16]);
    QN_SHARED(uint64_t, barrier, );
    uint32_t full = shared_address(&barrier);
    int t = (int)threadIdx.x;
    memory[(other ? 64 : 0) + t] = 5;
    fence_proxy_async();
    if (t == 0) {
        mbarrier_init(full, 1);
        mbarrier_init_fence();
    }
    __syncthreads();
    if (t == 0) {
        mbarrier_arrive_expect(full, 256);
        bulk_load(shared_address(tile), memory, 256, full);
    }
    mbarrier_wait(full, 0);
    out[t] = ((float *)tile)[t];
}

template <bool other> bool run_load_written() {
    Device<float> memory(128, 1), out(64, 0);
    QN_LAUNCH(load_written<other>, 1, 64, 0, 0, memory.get(), out.get());
    return out[0] == (other ? 1 : 5);
}

TEST(Bulk, GlobalMemoryWrittenByThreads) {
    expect_race("read by an asynchronous copy", run_load_written<false>);
    expect_silent(run_load_written<true>);
}

// A buffer that threads still read.
template <bool wait> __global__ void refill(const float *in, float *out) {
    QN_SHARED(float4, tile, [16]);
    QN_SHARED(uint64_t, barriers, [2]);
    int t = (int)threadIdx.x;
    if (t == 0) {
        mbarrier_init(shared_address(&barriers[0]), 1);
        mbarrier_init(shared_address(&barriers[1]), 1);
        mbarrier_init_fence();
    }
    __syncthreads();
    for (uint32_t step = 0; step < 2; step++) {
        uint32_t full = shared_address(&barriers[step]);
        if (t == 0) {
            mbarrier_arrive_expect(full, 256);
            bulk_load(shared_address(tile), in + 64 * step, 256, full);
        }
        mbarrier_wait(full, 0);
        out[64 * (int)step + t] = ((float *)tile)[63 - t];
        if (wait) __syncthreads();
    }
}

template <bool wait> bool run_refill() {
    Device<float> in(128, 1), out(128, 0);
    for (int i = 64; i < 128; i++) in[i] = 2;
    QN_LAUNCH(refill<wait>, 1, 64, 0, 0, in.get(), out.get());
    for (int i = 0; i < 128; i++)
        if (out[i] != (float)(i / 64 + 1)) return false;
    return true;
}

TEST(Bulk, BufferFilledWhileItIsRead) { expect_race_and_harm("", run_refill<false>); }
TEST(Bulk, BufferFilledAfterItWasRead) { expect_silent(run_refill<true>); }

// ---- arguments
// --------------------------------------------------------------------------------------

struct Arguments {
    uint32_t shared = 0, global = 0, bytes = 64; // offsets, size
};

__global__ void copy(Arguments arguments, uint8_t *out) {
    bulk_store(out + arguments.global, shared_address(dynamic_shared()) + arguments.shared,
               arguments.bytes);
    bulk_commit();
    bulk_wait<0>();
}

bool run_copy(Arguments arguments) {
    Device<uint8_t> out(64, 0);
    QN_LAUNCH(copy, 1, 1, 64, 0, arguments, out.get());
    return true;
}

TEST(Bulk, Arguments) {
    expect_reported("is not a multiple of 16", [] { return run_copy({8, 0, 32}); });
    expect_reported("is not a multiple of 16", [] { return run_copy({0, 8, 32}); });
    expect_reported("24 bytes; expected a multiple of 16", [] { return run_copy({0, 0, 24}); });
    expect_reported("0 bytes", [] { return run_copy({0, 0, 0}); });
    expect_reported("out of bounds", [] { return run_copy({16, 0, 64}); });
    expect_reported("device memory out of bounds", [] { return run_copy({0, 16, 64}); });
    expect_silent([] { return run_copy({}); });
}

// ---- tensors
// -------------------------------------------------------------------------------------------

struct Box {
    int swizzle = 3;       // as CUtensorMapSwizzle
    uint32_t columns = 64; // of the box
    uint32_t shared = 0;   // offset from a multiple of 1024
    int rows = 16;         // that exist, of those in the map
    bool encoded = true;
};

template <int RANK>
__global__ void store_box(const __grid_constant__ qn_tensor_map map, uint32_t offset) {
    uint32_t tile = ((shared_address(dynamic_shared()) + 1023u) & ~1023u) + offset;
    int32_t at[RANK] = {};
    tma_store<RANK>(&map, tile, at);
    bulk_commit();
    bulk_wait<0>();
}

template <int RANK> bool run_box(const Box &box) {
    Device<uint16_t> out(64 * box.rows, 0);
    qn_tensor_map map = {};
    uint64_t dims[] = {64, 16}, strides[] = {128};
    uint32_t sides[] = {box.columns, 16}, steps[] = {1, 1};
    CUresult result = cuTensorMapEncodeTiled(
        &map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, out.get(), dims, strides, sides, steps,
        CU_TENSOR_MAP_INTERLEAVE_NONE, (CUtensorMapSwizzle)box.swizzle,
        CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    EXPECT_EQ(result, CUDA_SUCCESS);
    if (!box.encoded) map = {};
    QN_LAUNCH(store_box<RANK>, 1, 1, 4096, 0, map, box.shared);
    return true;
}

TEST(Tma, Arguments) {
    expect_reported("was not encoded", [] { return run_box<2>({3, 64, 0, 16, false}); });
    expect_reported("rank 3, but the map's is 2", [] { return run_box<3>({}); });
    expect_reported("is not a multiple of 1024", [] { return run_box<2>({3, 64, 512}); });
    expect_reported("is not a multiple of 512", [] { return run_box<2>({2, 32, 256}); });
    expect_reported("is not a multiple of 256", [] { return run_box<2>({1, 16, 128}); });
    expect_reported("is not a multiple of 128", [] { return run_box<2>({0, 64, 64}); });
    expect_reported("rows of 64 bytes under a swizzle of 128", [] { return run_box<2>({3, 32}); });
    expect_reported("out of bounds", [] { return run_box<2>({3, 64, 3072}); });
    expect_reported("device memory out of bounds", [] { return run_box<2>({3, 64, 0, 15}); });
    expect_silent([] { return run_box<2>({}); });
    expect_silent([] { return run_box<2>({0, 64, 128}); });
}

} // namespace
