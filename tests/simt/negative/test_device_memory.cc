// Device memory: races between blocks, semaphores and fences that are used wrongly, and
// accesses out of bounds. And shared memory that was never written.
#include <cmath>

#include "simt/negative/expect.h"

using namespace negative;

namespace {

// ---- races between blocks -----------------------------------------------------------------

__global__ void write_overlapping(float *out, int stride) {
    out[(int)blockIdx.x * stride + (int)threadIdx.x] = (float)blockIdx.x;
}
bool blocks_write(int stride) {
    Device<float> out(4 * 32);
    QN_LAUNCH(write_overlapping, 4, 32, 0, 0, out.get(), stride);
    return true;
}
TEST(DeviceRaces, BlocksWriteTheSameElements) {
    expect_race("write", [] { return blocks_write(31); });
    expect_silent([] { return blocks_write(32); });
}

TEST(DeviceRaces, LaunchesAreOrdered) {
    expect_silent([] {
        Device<float> out(4 * 32);
        QN_LAUNCH(write_overlapping, 4, 32, 0, 0, out.get(), 32);
        QN_LAUNCH(write_overlapping, 1, 32, 0, 0, out.get(), 32);
        return out[5] == 0 && out[40] == 1;
    });
}

__global__ void add_and_read(float *sum, float *out) {
    reduce_add(sum, 1);
    if (out) *out = *sum;
}
TEST(DeviceRaces, PlainReadOfWhatOthersAddTo) {
    auto run = [](bool read) {
        Device<float> sum(1, 0.0f), out(1);
        QN_LAUNCH(add_and_read, 2, 1, 0, 0, sum.get(), read ? out.get() : nullptr);
        return sum[0] == 2;
    };
    expect_race("", [=] { return run(true); });
    expect_silent([=] { return run(false); });
}

// ---- semaphores ------------------------------------------------------------------------------

// Blocks add to the same elements one after the other, in the order of their indices.
template <bool barrier_before_release, bool barrier_after_wait>
__global__ void take_turns(float *sum, int32_t *turn) {
    int t = (int)threadIdx.x;
    if (t == 0) semaphore_wait(turn, (int32_t)blockIdx.x);
    if (barrier_after_wait) __syncthreads();
    sum[t] = 2 * sum[t] + (float)blockIdx.x;
    if (barrier_before_release) __syncthreads();
    if (t == 0) semaphore_release(turn, (int32_t)blockIdx.x + 1);
}

template <bool barrier_before_release, bool barrier_after_wait> bool turns_are_taken() {
    Device<float> sum(64, 0.0f);
    Device<int32_t> turn(1, 0);
    QN_LAUNCH((take_turns<barrier_before_release, barrier_after_wait>), 5, 64, 0, 0, sum.get(),
              turn.get());
    for (int t = 0; t < 64; t++)
        if (sum[t] != 26) return false; // (((0·2+1)·2+2)·2+3)·2+4
    return true;
}

TEST(Semaphores, ReleasedBeforeTheBlockIsDone) {
    expect_race("", [] { return turns_are_taken<false, true>(); });
}
TEST(Semaphores, NotHandedOnToTheBlock) {
    expect_race_and_harm("", [] { return turns_are_taken<true, false>(); });
}
TEST(Semaphores, BetweenTwoBarriers) {
    expect_silent([] { return turns_are_taken<true, true>(); });
}

// The last block to finish adds up what all of them wrote.
template <bool fence> __global__ void add_up_last(float *parts, int *finished, float *sum) {
    parts[blockIdx.x] = (float)blockIdx.x;
    if (fence) __threadfence();
    if (atomicAdd(finished, 1) != (int)gridDim.x - 1) return;
    if (fence) __threadfence();
    float total = 0;
    for (unsigned i = 0; i < gridDim.x; i++) total += parts[i];
    *sum = total;
}

template <bool fence> bool last_block_adds() {
    Device<float> parts(6), sum(1);
    Device<int> finished(1, 0);
    QN_LAUNCH(add_up_last<fence>, 6, 1, 0, 0, parts.get(), finished.get(), sum.get());
    return sum[0] == 15;
}

TEST(Fences, MissingBeforeARelaxedAtomic) {
    expect_race("read", [] { return last_block_adds<false>(); });
}
TEST(Fences, OnBothSidesOfARelaxedAtomic) {
    expect_silent([] { return last_block_adds<true>(); });
}

// ---- bounds ------------------------------------------------------------------------------------

__global__ void store_at(float *out, int i) { out[i] = 1; }

bool store(int i) {
    Device<float> out(1000, 0.0f);
    QN_LAUNCH(store_at, 1, 1, 0, 0, out.get(), i);
    return true;
}

template <typename Test> void expect_out_of_bounds(const std::string &words, Test test) {
    if (simt::kAsanBuild)
        EXPECT_DEATH(test(), "AddressSanitizer: use-after-poison|AddressSanitizer: SEGV");
    else
        expect_reported(words, test);
}

TEST(Bounds, StoreJustBehindAnAllocation) {
    expect_out_of_bounds("0 bytes after the end of allocation", [] { return store(1000); });
}
TEST(Bounds, StoreJustBeforeAnAllocation) {
    expect_out_of_bounds("before allocation", [] { return store(-1); });
}
TEST(Bounds, StoreIntoTheGuard) {
    expect_out_of_bounds("after the end of allocation", [] { return store(1500); });
}
TEST(Bounds, StoreAtTheLastElement) {
    expect_silent([] { return store(999); });
}

TEST(Bounds, FreedMemory) {
    expect_out_of_bounds("freed", [] {
        float *out = (float *)simt::device_allocate(4000);
        simt::device_free(out);
        QN_LAUNCH(store_at, 1, 1, 0, 0, out, 0);
        return true;
    });
}

__global__ void store_shared(int i) {
    QN_SHARED(float, before, [32]);
    QN_SHARED(float, values, [32]);
    before[0] = 0;
    values[i] = 1;
}

bool store_in_shared(int i) {
    QN_LAUNCH(store_shared, 1, 1, 256, 0, i);
    return true;
}

// An optimised build does not see it: nothing stands between the store and the window.
TEST(Bounds, StoreBehindASharedArray) {
    if (simt::kRaceBuild)
        expect_reported("out of the bounds of shared memory", [] { return store_in_shared(32); });
    if (simt::kAsanBuild) {
        EXPECT_DEATH(store_in_shared(32), "use-after-poison|index 32 out of bounds");
    }
}
TEST(Bounds, StoreInASharedArray) {
    expect_silent([] { return store_in_shared(31); });
}

__global__ void recurse(int n, float *out) {
    volatile float frame[1024];
    frame[n % 1024] = 1;
    if (n > 0) recurse(n - 1, out);
    *out += frame[n % 1024];
}
TEST(Bounds, StackOverflows) {
    auto run = [](int depth) {
        Device<float> out(1, 0.0f);
        QN_LAUNCH(recurse, 1, 1, 0, 0, depth, out.get());
        return true;
    };
    if (simt::kAsanBuild)
        EXPECT_DEATH(run(1000), "AddressSanitizer");
    else
        expect_reported("its stack overflowed", [=] { return run(1000); });
    expect_silent([=] { return run(10); });
}

// ---- memory that was never written ------------------------------------------------------------

template <bool write> __global__ void sum_shared(float *out) {
    QN_SHARED(float, values, [32]);
    float *dynamic = (float *)dynamic_shared();
    int t = (int)threadIdx.x;
    if (write || t != 7) values[t] = 1;
    if (write || t != 9) dynamic[t] = 1;
    __syncwarp();
    out[t] = values[t ^ 1];
    out[32 + t] = dynamic[t ^ 1];
}

template <bool write> bool sums_have_no_nan() {
    Device<float> out(64);
    QN_LAUNCH(sum_shared<write>, 1, 32, 128, 0, out.get());
    bool static_is_nan = std::isnan(out[7 ^ 1]), dynamic_is_nan = std::isnan(out[32 + (9 ^ 1)]);
    EXPECT_EQ(static_is_nan, !write);
    EXPECT_EQ(dynamic_is_nan, !write);
    return !static_is_nan && !dynamic_is_nan;
}

TEST(Poison, SharedMemoryNeverWritten) {
    EXPECT_EQ(try_schedules([] { return sums_have_no_nan<false>(); }).wrong, kSchedules);
    expect_silent([] { return sums_have_no_nan<true>(); });
}

TEST(Poison, DeviceMemoryNeverWritten) {
    Device<float> never_written(3);
    for (int i = 0; i < 3; i++) EXPECT_TRUE(std::isnan(never_written[i]));
}

} // namespace
