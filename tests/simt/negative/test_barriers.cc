// Barriers that cannot complete, and warps that do not stay together.
#include "simt/negative/expect.h"

using namespace negative;

namespace {

template <typename... Parameters>
bool launch(void (*kernel)(Parameters...), int n_threads, Parameters... parameters) {
    QN_LAUNCH(kernel, 1, n_threads, 4096, 0, parameters...);
    return true;
}

// ---- barriers ------------------------------------------------------------------------

__global__ void two_barriers(int first, int second) {
    barrier_sync(threadIdx.x < 32 ? first : second, 64);
}
TEST(Barriers, WarpsAtDifferentBarriers) {
    expect_reported("deadlock", [] { return launch(two_barriers, 64, 1, 2); });
    expect_silent([] { return launch(two_barriers, 64, 2, 2); });
}

__global__ void counts(int first, int second) {
    barrier_sync(1, threadIdx.x < 32 ? first : second);
}
TEST(Barriers, WarpsExpectDifferentCounts) {
    expect_reported("for 64 threads, but at ", [] { return launch(counts, 128, 128, 64); });
    expect_silent([] { return launch(counts, 128, 128, 128); });
}
TEST(Barriers, CountIsNoMultipleOf32) {
    expect_reported("expected a multiple of 32", [] { return launch(counts, 64, 48, 48); });
}
TEST(Barriers, CountIsMoreThanTheBlock) {
    expect_reported("but the block has 64", [] { return launch(counts, 64, 96, 96); });
}

__global__ void lanes_count(int odd) { barrier_sync(1, threadIdx.x % 2 ? odd : 64); }
TEST(Barriers, LanesExpectDifferentCounts) {
    expect_reported("in one lane of the warp", [] { return launch(lanes_count, 64, 32); });
    expect_silent([] { return launch(lanes_count, 64, 64); });
}

__global__ void arrivals(int n_arriving_warps) {
    if ((int)threadIdx.x < 32 * n_arriving_warps)
        barrier_arrive(3, 96);
    else if (threadIdx.x >= 64)
        barrier_sync(3, 96);
}
TEST(Barriers, MissingArrival) {
    expect_reported("wait for barrier 3", [] { return launch(arrivals, 96, 1); });
    expect_silent([] { return launch(arrivals, 96, 2); });
}

__global__ void divergent_syncthreads(int limit) {
    if ((int)threadIdx.x < limit)
        __syncthreads();
    else
        __syncthreads();
}
TEST(Barriers, SyncthreadsInBothBranchesOfAWarp) {
    expect_reported("diverged", [] { return launch(divergent_syncthreads, 64, 16); });
    expect_silent([] { return launch(divergent_syncthreads, 64, 32); });
}

__global__ void early_exit(int limit) {
    if ((int)threadIdx.x >= limit) return;
    __syncthreads();
}
TEST(Barriers, AWarpExitsBefore) {
    expect_reported("exited", [] { return launch(early_exit, 64, 32); });
    expect_reported("exited", [] { return launch(early_exit, 64, 40); });
    expect_silent([] { return launch(early_exit, 64, 64); });
}

__global__ void wait_for_semaphore(int32_t *semaphore, int32_t released) {
    if (threadIdx.x == 32) semaphore_release(semaphore, released);
    if (threadIdx.x == 0) semaphore_wait(semaphore, 2);
    __syncthreads();
}
TEST(Barriers, SemaphoreNeverGetsItsValue) {
    auto run = [](int32_t released) {
        Device<int32_t> semaphore(1, 0);
        return launch(wait_for_semaphore, 64, semaphore.get(), released);
    };
    expect_reported("it is 1, and waited for to reach 2", [=] { return run(1); });
    expect_silent([=] { return run(2); });
}

// ---- collectives ------------------------------------------------------------------------

__global__ void diverged(int limit) {
    if ((int)threadIdx.x < limit)
        (void)__shfl_xor_sync(~0u, 1, 1);
    else
        __syncwarp();
}
TEST(Collectives, Diverged) {
    expect_reported("diverged", [] { return launch(diverged, 64, 16); });
    expect_silent([] { return launch(diverged, 64, 32); });
}

__global__ void masks(uint32_t low, uint32_t high) {
    (void)__ballot_sync(threadIdx.x < 16 ? low : high, 1);
    __syncwarp();
}
TEST(Collectives, MasksOverlap) {
    expect_reported("diverged", [] { return launch(masks, 32, 0x0000ffffu, 0xffffffffu); });
    expect_silent([] { return launch(masks, 32, 0x0000ffffu, 0xffff0000u); });
}
TEST(Collectives, CallerOutsideItsMask) {
    expect_reported("not in its mask", [] { return launch(masks, 32, 0x00007fffu, 0xffff0000u); });
}
__global__ void half_of_a_warp(int limit) {
    if ((int)threadIdx.x < limit) __syncwarp();
    if (threadIdx.x < 32) barrier_sync(1, 32);
}
TEST(Collectives, LanesNeverArrive) {
    expect_reported("diverged", [] { return launch(half_of_a_warp, 32, 16); });
    expect_silent([] { return launch(half_of_a_warp, 32, 32); });
}

__global__ void exited(int limit) {
    if ((int)threadIdx.x >= limit) return;
    (void)__shfl_sync(~0u, 1, 0);
}
TEST(Collectives, LaneHasExited) {
    expect_reported("exited", [] { return launch(exited, 32, 31); });
    expect_silent([] { return launch(exited, 32, 32); });
}

__global__ void outside(uint32_t mask, int source) {
    if (mask >> threadIdx.x & 1) (void)__shfl_sync(mask, 1, source);
}
TEST(Collectives, ShuffleReadsALaneOutsideTheMask) {
    expect_reported("lane 20, which is not in the mask",
                    [] { return launch(outside, 32, 0xffffu, 20); });
    expect_silent([] { return launch(outside, 32, 0xffffu, 9); });
}

__global__ void offset_rows(uint32_t by) {
    uint32_t r[4];
    ldmatrix_x4(r, shared_address(dynamic_shared()) + 16 * threadIdx.x + by);
}
TEST(Collectives, LdmatrixMisaligned) {
    expect_reported("is not a multiple of 16", [] { return launch(offset_rows, 32, 8u); });
    expect_silent([] { return launch(offset_rows, 32, 16u); });
}
TEST(Collectives, LdmatrixOutOfBounds) {
    expect_reported("out of bounds", [] { return launch(offset_rows, 32, 3600u); });
}

} // namespace
