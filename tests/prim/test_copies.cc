// cp.async: what lands, zero fill, groups.
#include "prim/device.h"

namespace {

// Copies element (i·5 + 3) % n of `in` to element i of shared memory, zeros where i is odd and
// `fill` is set, and hands all of it to other threads.
__global__ void gather(const uint4 *in, uint4 *out, int n, bool fill) {
    uint4 *tile = (uint4 *)dynamic_shared();
    for (int i = (int)threadIdx.x; i < n; i += (int)blockDim.x) {
        bool valid = !fill || i % 2 == 0;
        cp_async_16(shared_address(tile + i), valid ? in + (i * 5 + 3) % n : in, valid);
    }
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    for (int i = (int)threadIdx.x; i < n; i += (int)blockDim.x) out[n - 1 - i] = tile[n - 1 - i];
}

void check_gather(bool fill) {
    const int n = 333;
    std::vector<uint4> in(n);
    for (int i = 0; i < n; i++) {
        uint32_t x = (uint32_t)i * 2654435761u;
        in[i] = make_uint4(x, x + 1, x ^ 0xffffffffu, (uint32_t)i);
    }
    prim::Array<uint4> device_in(in), device_out(n);
    QN_LAUNCH(gather, 1, 128, n * 16, 0, device_in.get(), device_out.get(), n, fill);
    ASSERT_TRUE(prim::finished());
    std::vector<uint4> out = device_out.values();
    for (int i = 0; i < n; i++) {
        uint4 expected = fill && i % 2 ? make_uint4(0, 0, 0, 0) : in[(i * 5 + 3) % n];
        ASSERT_EQ(memcmp(&out[i], &expected, 16), 0) << i;
    }
}

TEST(CpAsync, Copies) {
    prim::for_each_schedule([] { check_gather(false); });
}
TEST(CpAsync, FillsWithZeros) {
    prim::for_each_schedule([] { check_gather(true); });
}

// A null source is never read when !valid.
__global__ void fill_from_nowhere(uint4 *out) {
    uint4 *tile = (uint4 *)dynamic_shared();
    cp_async_16(shared_address(tile + threadIdx.x), nullptr, false);
    cp_async_commit();
    cp_async_wait<0>();
    out[threadIdx.x] = tile[threadIdx.x];
}

TEST(CpAsync, InvalidSourceIsNotRead) {
    prim::for_each_schedule([] {
        prim::Array<uint4> out(32);
        QN_LAUNCH(fill_from_nowhere, 1, 32, 512, 0, out.get());
        ASSERT_TRUE(prim::finished());
        for (uint4 v : out.values()) ASSERT_EQ(v.x | v.y | v.z | v.w, 0u);
    });
}

// Three groups in flight over a ring of four stages; the oldest is used as it lands.
__global__ void pipeline(const uint4 *in, uint4 *out, int n_steps) {
    uint4 *ring = (uint4 *)dynamic_shared();
    int t = (int)threadIdx.x;
    for (int s = 0; s < n_steps + 3; s++) {
        if (s < n_steps)
            cp_async_16(shared_address(ring + (s % 4) * 64 + t), in + s * 64 + t, true);
        cp_async_commit(); // empty groups count too
        if (s < 3) continue;
        cp_async_wait<3>();
        __syncthreads();
        out[(s - 3) * 64 + t] = ring[(s - 3) % 4 * 64 + (63 - t)];
        __syncthreads();
    }
}

TEST(CpAsync, GroupsCompleteInOrder) {
    prim::for_each_schedule([] {
        const int n_steps = 9;
        std::vector<uint4> in(n_steps * 64);
        for (size_t i = 0; i < in.size(); i++) in[i] = make_uint4((uint32_t)i, 1, 2, 3);
        prim::Array<uint4> device_in(in), device_out(in.size());
        QN_LAUNCH(pipeline, 1, 64, 4 * 64 * 16, 0, device_in.get(), device_out.get(), n_steps);
        ASSERT_TRUE(prim::finished());
        std::vector<uint4> out = device_out.values();
        for (int s = 0; s < n_steps; s++)
            for (int t = 0; t < 64; t++) ASSERT_EQ(out[s * 64 + t].x, (uint32_t)(s * 64 + 63 - t));
    });
}

} // namespace
