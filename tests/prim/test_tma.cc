// TMA: boxes of tensors of rank 1 to 5, within the tensor and across its edges, plain and
// swizzled.
#include "prim/tensor_map.h"

#include <array>

namespace {

constexpr uint32_t kBytes = 16384; // of the largest box

struct Corner {
    int32_t at[5];
};

__device__ uint32_t aligned_tile() { return (shared_address(dynamic_shared()) + 1023u) & ~1023u; }

// The box's bytes as they lie in shared memory.
template <int RANK>
__global__ void load_box(const __grid_constant__ qn_tensor_map map, Corner corner, uint32_t bytes,
                         uint8_t *out) {
    QN_SHARED(uint64_t, barrier, );
    uint32_t tile = aligned_tile(), full = shared_address(&barrier);
    const uint8_t *memory = dynamic_shared() + (tile - shared_address(dynamic_shared()));
    if (threadIdx.x == 0) {
        mbarrier_init(full, 1);
        mbarrier_init_fence();
        tma_prefetch_map(&map);
        int32_t at[RANK];
        for (int i = 0; i < RANK; i++) at[i] = corner.at[i];
        mbarrier_arrive_expect(full, bytes);
        tma_load<RANK>(tile, &map, full, at);
    }
    __syncthreads();
    mbarrier_wait(full, 0);
    for (uint32_t i = threadIdx.x; i < bytes; i += blockDim.x) out[i] = memory[i];
}

// The reverse: bytes as they lie in shared memory, stored to the box or added to it.
template <int RANK>
__global__ void store_box(const __grid_constant__ qn_tensor_map map, Corner corner, uint32_t bytes,
                          const uint8_t *in, int add) {
    uint32_t tile = aligned_tile();
    uint8_t *memory = dynamic_shared() + (tile - shared_address(dynamic_shared()));
    for (uint32_t i = threadIdx.x; i < bytes; i += blockDim.x) memory[i] = in[i];
    fence_proxy_async();
    __syncthreads();
    if (threadIdx.x) return;
    int32_t at[RANK];
    for (int i = 0; i < RANK; i++) at[i] = corner.at[i];
    if (add)
        tma_reduce_add<RANK>(&map, tile, at);
    else
        tma_store<RANK>(&map, tile, at);
    bulk_commit();
    bulk_wait_read<0>();
}

// ---- what is expected, element by element ----------------------------------------------------

struct Case {
    bool fp32;
    std::vector<uint64_t> dims;
    std::vector<uint64_t> pitches; // elements from one index to the next, dims 1 and up
    std::vector<uint32_t> box;
    std::vector<int32_t> at;
    int swizzle; // bytes
};

size_t rank_of(const Case &c) { return c.dims.size(); }
size_t size_of(const Case &c) { return c.fp32 ? 4 : 2; }

uint32_t box_elements(const Case &c) {
    uint32_t n = 1;
    for (uint32_t side : c.box) n *= side;
    return n;
}

size_t tensor_elements(const Case &c) {
    uint64_t last = c.dims[0] - 1;
    for (size_t d = 1; d < rank_of(c); d++) last += (c.dims[d] - 1) * c.pitches[d - 1];
    return (size_t)last + 1;
}

// Where element i of the box (innermost first) lies in shared memory, in bytes from its start:
// a row's units of 16 bytes trade places, by the number of the 128 bytes that hold the row.
uint32_t shared_offset(const Case &c, uint32_t i) {
    uint32_t row = i / c.box[0], byte = i % c.box[0] * (uint32_t)size_of(c);
    if (!c.swizzle) return row * c.box[0] * (uint32_t)size_of(c) + byte;
    uint32_t span = (uint32_t)c.swizzle, line = row * span / 128;
    uint32_t unit = (byte / 16) ^ (line % (span / 16));
    return row * span + unit * 16 + byte % 16;
}

// The index of element i of the box in the tensor's memory, or −1 outside the tensor.
int64_t tensor_index(const Case &c, uint32_t i) {
    int64_t index = 0;
    for (size_t d = 0; d < rank_of(c); d++) {
        int64_t x = c.at[d] + (int64_t)(i % c.box[d]);
        i /= c.box[d];
        if (x < 0 || x >= (int64_t)c.dims[d]) return -1;
        index += x * (int64_t)(d ? c.pitches[d - 1] : 1);
    }
    return index;
}

// ---- running a case ----------------------------------------------------------------------------

prim::Tensor tensor_of(const Case &c, void *base) {
    prim::Tensor t;
    t.type = c.fp32 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    t.base = base;
    t.dims = c.dims;
    for (uint64_t pitch : c.pitches) t.strides.push_back(pitch * size_of(c));
    t.box = c.box;
    t.swizzle = c.swizzle == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
                : c.swizzle == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                : c.swizzle == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                                  : CU_TENSOR_MAP_SWIZZLE_NONE;
    return t;
}

Corner corner_of(const Case &c) {
    Corner corner = {};
    for (size_t d = 0; d < rank_of(c); d++) corner.at[d] = c.at[d];
    return corner;
}

// Small integers, which both types hold and add exactly, as bits.
std::vector<uint8_t> numbers(size_t n, bool fp32, uint32_t salt) {
    std::vector<uint8_t> bytes(n * (fp32 ? 4 : 2));
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = prim::bits_of_float((float)((i * 31 + salt) % 97) - 48);
        if (fp32)
            memcpy(&bytes[4 * i], &bits, 4);
        else
            memcpy(&bytes[2 * i], (uint8_t *)&bits + 2, 2);
    }
    return bytes;
}

float number_at(const std::vector<uint8_t> &bytes, size_t i, bool fp32) {
    uint32_t bits = 0;
    if (fp32)
        memcpy(&bits, &bytes[4 * i], 4);
    else
        memcpy((uint8_t *)&bits + 2, &bytes[2 * i], 2);
    return prim::float_of_bits(bits);
}

void check_load(const Case &c) {
    std::vector<uint8_t> tensor = numbers(tensor_elements(c), c.fp32, 5);
    uint32_t bytes = box_elements(c) * (uint32_t)size_of(c);
    prim::Array<uint8_t> device_tensor(tensor), out(bytes);
    qn_tensor_map map;
    ASSERT_EQ(prim::encode(tensor_of(c, device_tensor.get()), &map), CUDA_SUCCESS);
    static constexpr auto kernels =
        std::array{load_box<1>, load_box<2>, load_box<3>, load_box<4>, load_box<5>};
    QN_LAUNCH(kernels[rank_of(c) - 1], 1, 64, kBytes + 1024, 0, map, corner_of(c), bytes,
              out.get());
    ASSERT_TRUE(prim::finished());
    std::vector<uint8_t> got = out.values();
    for (uint32_t i = 0; i < box_elements(c); i++) {
        int64_t from = tensor_index(c, i);
        float expected = from < 0 ? 0 : number_at(tensor, (size_t)from, c.fp32);
        ASSERT_EQ(number_at(got, shared_offset(c, i) / size_of(c), c.fp32), expected) << i;
    }
}

void check_store(const Case &c, bool add) {
    std::vector<uint8_t> before = numbers(tensor_elements(c), c.fp32, 11);
    std::vector<uint8_t> box = numbers(box_elements(c), c.fp32, 3);
    prim::Array<uint8_t> device_tensor(before), in(box);
    qn_tensor_map map;
    ASSERT_EQ(prim::encode(tensor_of(c, device_tensor.get()), &map), CUDA_SUCCESS);
    static constexpr auto kernels =
        std::array{store_box<1>, store_box<2>, store_box<3>, store_box<4>, store_box<5>};
    QN_LAUNCH(kernels[rank_of(c) - 1], 1, 64, kBytes + 1024, 0, map, corner_of(c),
              (uint32_t)box.size(), in.get(), (int)add);
    ASSERT_TRUE(prim::finished());
    std::vector<uint8_t> after = device_tensor.values();
    std::vector<float> expected;
    for (size_t i = 0; i < tensor_elements(c); i++)
        expected.push_back(number_at(before, i, c.fp32));
    for (uint32_t i = 0; i < box_elements(c); i++) {
        int64_t to = tensor_index(c, i);
        float x = number_at(box, shared_offset(c, i) / size_of(c), c.fp32);
        if (to >= 0) expected[(size_t)to] = add ? expected[(size_t)to] + x : x;
    }
    for (size_t i = 0; i < expected.size(); i++)
        ASSERT_EQ(number_at(after, i, c.fp32), expected[i]) << i;
}

void check(const Case &c) {
    SCOPED_TRACE(testing::Message() << "rank " << rank_of(c) << ", swizzle " << c.swizzle
                                    << (c.fp32 ? ", fp32" : ", bf16"));
    check_load(c);
    check_store(c, false);
    check_store(c, true);
}

// ---- cases
// -----------------------------------------------------------------------------------------

// A box within the tensor, and boxes across each of its edges, or wholly outside.
void check_corners(Case c, const std::vector<std::vector<int32_t>> &corners) {
    for (const std::vector<int32_t> &at : corners) {
        c.at = at;
        check(c);
        if (testing::Test::HasFatalFailure()) return;
    }
}

TEST(Tma, Rank1) {
    prim::for_each_schedule([] {
        check_corners({false, {300}, {}, {256}, {}, 0}, {{0}, {40}, {100}, {-5}, {-256}, {300}});
        check_corners({true, {77}, {}, {32}, {}, 128}, {{3}, {60}, {-31}});
    });
}

TEST(Tma, Rank2) {
    prim::for_each_schedule([] {
        const std::vector<std::vector<int32_t>> corners = {{8, 3}, {37, 21}, {-3, -7}, {-9, 25}};
        check_corners({false, {50, 30}, {56}, {24, 9}, {}, 0}, corners);
        check_corners({false, {50, 30}, {56}, {16, 17}, {}, 32}, corners);
        check_corners({false, {50, 30}, {56}, {32, 17}, {}, 64}, corners);
        check_corners({false, {90, 30}, {96}, {64, 17}, {}, 128}, corners);
        check_corners({true, {50, 30}, {52}, {8, 17}, {}, 32}, corners);
        check_corners({true, {50, 30}, {52}, {16, 17}, {}, 64}, corners);
        check_corners({true, {50, 30}, {52}, {32, 17}, {}, 128}, corners);
    });
}

TEST(Tma, HigherRanks) {
    prim::for_each_schedule([] {
        check_corners({false, {64, 9, 3}, {72, 704}, {64, 5, 2}, {}, 128},
                      {{0, 2, 1}, {0, -2, 2}, {16, 7, -1}});
        check_corners({true, {10, 5, 4, 3}, {12, 60, 240}, {8, 3, 2, 2}, {}, 0},
                      {{1, 1, 1, 1}, {-2, 3, 3, 2}, {4, -1, -1, -1}});
        check_corners({false, {16, 4, 3, 3, 2}, {16, 64, 192, 576}, {8, 2, 3, 2, 2}, {}, 0},
                      {{8, 1, 0, 1, 0}, {-3, 3, -2, 2, 1}, {3, -1, 1, -1, -1}});
    });
}

// A dimension may be traversed against the order of memory.
TEST(Tma, StridesOfAnyOrder) {
    check_corners({false, {16, 4, 6}, {96, 16}, {16, 3, 4}, {}, 32}, {{0, 0, 1}, {0, 2, 4}});
}

// ---- maps
// --------------------------------------------------------------------------------------------

TEST(Tma, MapsThatTheDriverRefuses) {
    prim::Array<uint8_t> memory(1 << 16);
    auto encoded = [&](auto change) {
        prim::Tensor t = {
            CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, memory.get(), {64, 32, 4}, {128, 4096}, {64, 8, 2},
            CU_TENSOR_MAP_SWIZZLE_128B};
        change(t);
        qn_tensor_map map;
        return prim::encode(t, &map);
    };
    EXPECT_EQ(encoded([](prim::Tensor &) {}), CUDA_SUCCESS);
    auto refused = [&](auto change) { return encoded(change) == CUDA_ERROR_INVALID_VALUE; };
    EXPECT_TRUE(refused([](prim::Tensor &t) { t.base = (uint8_t *)t.base + 8; }));
    EXPECT_TRUE(refused([](prim::Tensor &t) { t.base = nullptr; }));
    EXPECT_TRUE(refused([](prim::Tensor &t) { t.dims[1] = 0; }));
    EXPECT_TRUE(refused([](prim::Tensor &t) { t.dims[1] = ((uint64_t)1 << 32) + 1; }));
    EXPECT_TRUE(refused([](prim::Tensor &t) { t.strides[0] = 136; }));
    EXPECT_TRUE(refused([](prim::Tensor &t) { t.strides[1] = (uint64_t)1 << 40; }));
    EXPECT_TRUE(refused([](prim::Tensor &t) { t.box[1] = 0; }));
    EXPECT_TRUE(refused([](prim::Tensor &t) { t.box[1] = 257; }));
    EXPECT_TRUE(refused([](prim::Tensor &t) { t.box[0] = 72; })); // 144 bytes > the swizzle's
    EXPECT_TRUE(refused([](prim::Tensor &t) { t.box[0] = 12; })); // 24 bytes
    EXPECT_TRUE(refused([](prim::Tensor &t) { t.swizzle = CU_TENSOR_MAP_SWIZZLE_64B; }));
}

} // namespace
