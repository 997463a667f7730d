// mbarriers: arrivals, bytes, phases and their parity.
#include "cuda/prim/hopper.h"
#include "prim/device.h"

namespace {

constexpr int kSteps = 7;

// A ring of two slots between warp 0, which writes, and warps 1 to 3, which read: an mbarrier
// a slot says that it is full, another that it is empty.
__global__ void hand_over(int *out) {
    QN_SHARED(int, slots, [2][32]);
    QN_SHARED(uint64_t, barriers, [4]);
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    uint32_t full = shared_address(&barriers[0]), empty = shared_address(&barriers[2]);
    if (threadIdx.x == 0) {
        for (uint32_t i = 0; i < 2; i++) {
            mbarrier_init(full + 8 * i, 32);
            mbarrier_init(empty + 8 * i, 96);
        }
    }
    __syncthreads();
    for (int s = 0; s < kSteps; s++) {
        uint32_t slot = (uint32_t)s % 2, parity = (uint32_t)s / 2 % 2;
        if (warp == 0) {
            mbarrier_wait(empty + 8 * slot, parity ^ 1); // the first two pass at once
            slots[slot][lane] = 100 * s + lane;
            mbarrier_arrive(full + 8 * slot);
        } else {
            mbarrier_wait(full + 8 * slot, parity);
            out[(s * 3 + warp - 1) * 32 + lane] = slots[slot][31 - lane];
            mbarrier_arrive(empty + 8 * slot);
        }
    }
}

TEST(Mbarrier, HandsASlotOver) {
    prim::for_each_schedule([] {
        prim::Array<int> out(kSteps * 96);
        QN_LAUNCH(hand_over, 1, 128, 0, 0, out.get());
        ASSERT_TRUE(prim::finished());
        std::vector<int> values = out.values();
        for (int s = 0; s < kSteps; s++)
            for (int t = 0; t < 96; t++)
                ASSERT_EQ(values[(size_t)(s * 96 + t)], 100 * s + 31 - t % 32);
    });
}

// A phase waits for its bytes, in whatever order they and their announcement come.
__global__ void wait_for_bytes(const int *in, int *out, int announce_first) {
    QN_SHARED(uint4, tile, [16]);
    QN_SHARED(uint64_t, barrier, );
    uint32_t at = shared_address(&barrier), to = shared_address(tile);
    if (threadIdx.x == 0) {
        mbarrier_init(at, 33);
        mbarrier_init_fence();
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        if (announce_first) mbarrier_arrive_expect(at, 256);
        bulk_load(to, in, 128, at);
        bulk_load(to + 128, in + 32, 128, at);
        if (!announce_first) mbarrier_arrive_expect(at, 256);
    }
    mbarrier_arrive(at);
    mbarrier_wait(at, 0);
    for (int i = (int)threadIdx.x; i < 64; i += 32) out[i] = ((const int *)tile)[i];
}

TEST(Mbarrier, WaitsForBytes) {
    prim::for_each_schedule([] {
        std::vector<int> in(64);
        for (int i = 0; i < 64; i++) in[(size_t)i] = 7 * i + 1;
        prim::Array<int> device_in(in), out(64);
        for (int announce_first = 0; announce_first < 2; announce_first++) {
            QN_LAUNCH(wait_for_bytes, 1, 32, 0, 0, device_in.get(), out.get(), announce_first);
            ASSERT_TRUE(prim::finished());
            EXPECT_EQ(out.values(), in);
        }
    });
}

} // namespace
