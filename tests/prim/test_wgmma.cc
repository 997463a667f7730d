// wgmma: every N, a from shared memory and from registers, both majors, every swizzle. Values
// are small integers, so that sums are exact.
#include "cuda/prim/hopper.h"
#include "prim/device.h"

#include <array>
#include <utility>

namespace {

constexpr int kM = 64, kK = 16;
constexpr uint32_t kOperandBytes = 64 * 1024;

// Of a descriptor; the start is relative to the operand's memory.
struct Fields {
    uint32_t start, leading, stride;
    wgmma_swizzle swizzle;
};

__device__ uint64_t descriptor_at(uint32_t memory, const Fields &f) {
    return wgmma_descriptor(memory + f.start, f.leading, f.stride, f.swizzle);
}

__device__ uint32_t copy_operand(const uint8_t *image, uint32_t bytes, uint32_t to) {
    uint8_t *memory = dynamic_shared() + (to - shared_address(dynamic_shared()));
    for (uint32_t i = threadIdx.x * 16; i < bytes; i += blockDim.x * 16)
        *(uint4 *)(memory + i) = *(const uint4 *)(image + i);
    return to + bytes;
}

// d = a·b + d where `accumulate`; a_rows: a as 64 rows of 16, for a in registers.
template <int N, int TRANS_A, int TRANS_B, bool A_IN_REGISTERS>
__global__ void multiply(const uint8_t *a_image, uint32_t a_bytes, const uint8_t *b_image,
                         uint32_t b_bytes, const uint16_t *a_rows, Fields a_fields, Fields b_fields,
                         float *d_matrix, int accumulate) {
    uint32_t a_at = (shared_address(dynamic_shared()) + 1023u) & ~1023u;
    uint32_t b_at = copy_operand(a_image, a_bytes, a_at);
    copy_operand(b_image, b_bytes, b_at);
    fence_proxy_async();
    __syncthreads();
    int warp = (int)threadIdx.x / 32, g = (int)threadIdx.x % 32 / 4, t = (int)threadIdx.x % 4;
    float *row = d_matrix + (16 * warp + g) * N + 2 * t;
    float d[N / 2];
    for (int i = 0; i < N / 2; i++) d[i] = row[i / 2 % 2 * 8 * N + i / 4 * 8 + i % 2];
    uint64_t a = descriptor_at(a_at, a_fields), b = descriptor_at(b_at, b_fields);
    uint32_t fragment[4];
    for (int i = 0; i < 4; i++)
        fragment[i] =
            *(const uint32_t *)(a_rows + (16 * warp + g + i % 2 * 8) * kK + 2 * t + i / 2 * 8);
    wgmma_pin(d);
    wgmma_fence();
    if constexpr (A_IN_REGISTERS)
        wgmma<N, TRANS_B>(d, fragment, b, accumulate);
    else
        wgmma<N, TRANS_A, TRANS_B>(d, a, b, accumulate);
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_pin(d);
    for (int i = 0; i < N / 2; i++) row[i / 2 % 2 * 8 * N + i / 4 * 8 + i % 2] = d[i];
}

// ---- operands
// ------------------------------------------------------------------------------------

// An operand in shared memory, as the PTX ISA draws it: atoms of 8 lines of `span` bytes (16
// where not swizzled) that lie side by side, with an atom's units of 16 bytes exchanged by line.
// Atoms are kept apart by gaps, so that a wrong offset reads something else. The k that are
// multiplied begin at `first_k` of the operand, a multiple of 16.
struct Operand {
    std::vector<uint16_t> elements; // [mn][k], bf16
    int n_mn, n_k, first_k, span;
    bool mn_major;
};

constexpr int kSpans[] = {0, 32, 64, 128};
constexpr wgmma_swizzle kModes[] = {WGMMA_PLAIN, WGMMA_32B, WGMMA_64B, WGMMA_128B};

struct Layout {
    uint32_t width;                         // elements across a line
    uint32_t atom, next_across, next_along; // bytes
};

Layout layout_of(const Operand &o) {
    Layout l;
    uint32_t line = o.span ? (uint32_t)o.span : 16;
    l.width = line / 2;
    l.atom = 8 * line;
    uint32_t n_across = (uint32_t)(o.mn_major ? o.n_mn : o.n_k);
    l.next_across = l.atom * (o.span ? 1 : 3); // a gap of two atoms; swizzled ones stay aligned
    l.next_along = l.next_across * ((n_across + l.width - 1) / l.width) + l.atom;
    return l;
}

uint32_t offset_of(const Operand &o, int mn, int k) {
    Layout l = layout_of(o);
    uint32_t across = (uint32_t)(o.mn_major ? mn : k), along = (uint32_t)(o.mn_major ? k : mn);
    uint32_t line = along % 8, unit = across % l.width / 8;
    if (o.span == 128) unit ^= line;
    if (o.span == 64) unit ^= line / 2;
    if (o.span == 32) unit ^= line / 4;
    return along / 8 * l.next_along + across / l.width * l.next_across + line * (2 * l.width) +
           unit * 16 + across % 8 * 2;
}

std::vector<uint8_t> image_of(const Operand &o) {
    std::vector<uint8_t> image;
    for (int mn = 0; mn < o.n_mn; mn++)
        for (int k = 0; k < o.n_k; k++) {
            uint32_t at = offset_of(o, mn, k);
            if (image.size() < at + 2) image.resize((at + 1024) / 1024 * 1024, 0x7f);
            memcpy(&image[at], &o.elements[(size_t)(mn * o.n_k + k)], 2);
        }
    return image;
}

// K-major: the stride leads to the next 8 rows, and without swizzle the leading offset to the
// next 8 of k. MN-major: without swizzle the stride leads to the next 8 of mn and the leading
// offset to the next 8 of k; with a swizzle it is the other way round, and by its span.
Fields fields_of(const Operand &o) {
    Layout l = layout_of(o);
    uint32_t leading = l.next_across, stride = l.next_along;
    if (o.mn_major && !o.span) std::swap(leading, stride);
    if (!o.mn_major && o.span) leading = 16; // not used
    int mode = o.span == 128 ? 3 : o.span / 32;
    uint32_t start = o.mn_major || !o.span ? offset_of(o, 0, o.first_k)
                                           : (uint32_t)o.first_k * 2; // within an atom
    return {start, leading, stride, kModes[mode]};
}

uint16_t bf16_of(int x) { return (uint16_t)(prim::bits_of_float((float)x) >> 16); }

Operand operand(int n_mn, int span, bool mn_major, int salt) {
    Operand o;
    o.n_mn = n_mn;
    o.span = span;
    o.mn_major = mn_major;
    // K-major atoms are as wide in k as the span; the last 16 of them are multiplied.
    o.n_k = mn_major || span <= 32 ? 2 * kK : span / 2;
    if (!mn_major && span == 32) o.n_k = kK;
    o.first_k = o.n_k - kK;
    for (int i = 0; i < n_mn * o.n_k; i++)
        o.elements.push_back(bf16_of((i * 37 + i / 7 * 11 + salt) % 17 - 8));
    return o;
}

float element(const Operand &o, int mn, int k) {
    return prim::float_of_bf16(o.elements[(size_t)(mn * o.n_k + o.first_k + k)]);
}

// ---- running
// -------------------------------------------------------------------------------------------

template <int N, int TRANS_A, int TRANS_B, bool A_IN_REGISTERS>
void check(int a_span, int b_span, bool accumulate) {
    SCOPED_TRACE(testing::Message()
                 << "N " << N << ", a " << (A_IN_REGISTERS ? "in registers" : "in shared memory")
                 << (TRANS_A ? ", M-major" : "") << ", swizzle " << a_span << ", b"
                 << (TRANS_B ? " N-major" : "") << ", swizzle " << b_span);
    Operand a = operand(kM, a_span, TRANS_A, 3), b = operand(N, b_span, TRANS_B, 5);
    std::vector<uint16_t> rows;
    for (int i = 0; i < kM; i++)
        for (int k = 0; k < kK; k++)
            rows.push_back(a.elements[(size_t)(i * a.n_k + a.first_k + k)]);
    std::vector<float> d(kM * N);
    for (size_t i = 0; i < d.size(); i++) d[i] = (float)(i % 23);
    std::vector<uint8_t> a_image = image_of(a), b_image = image_of(b);
    ASSERT_LE(a_image.size() + b_image.size(), 3 * kOperandBytes);
    prim::Array<uint8_t> device_a(a_image), device_b(b_image);
    prim::Array<uint16_t> device_rows(rows);
    prim::Array<float> device_d(d);
    auto kernel = multiply<N, TRANS_A, TRANS_B, A_IN_REGISTERS>;
    uint32_t shared = (uint32_t)(a_image.size() + b_image.size()) + 1024;
    ASSERT_TRUE(prim::allow_shared((const void *)kernel, shared));
    QN_LAUNCH(kernel, 1, 128, shared, 0, device_a.get(), (uint32_t)a_image.size(), device_b.get(),
              (uint32_t)b_image.size(), device_rows.get(), fields_of(a), fields_of(b),
              device_d.get(), (int)accumulate);
    ASSERT_TRUE(prim::finished());
    std::vector<float> got = device_d.values();
    for (int i = 0; i < kM; i++)
        for (int j = 0; j < N; j++) {
            float expected = accumulate ? d[(size_t)(i * N + j)] : 0;
            for (int k = 0; k < kK; k++) expected += element(a, i, k) * element(b, j, k);
            ASSERT_EQ(got[(size_t)(i * N + j)], expected) << i << ", " << j;
        }
}

// Each N with two combinations of majors, and with swizzles that change from N to N.
template <int N> void check_width() {
    constexpr int i = N / 8 - 1, trans_a = i % 2, trans_b = i / 2 % 2;
    check<N, trans_a, trans_b, false>(kSpans[i % 4], kSpans[i / 4 % 4], i % 3 != 0);
    check<N, 0, 1 - trans_b, true>(0, kSpans[(i + 1) / 2 % 4], i % 3 == 0);
}

template <int... I> void check_widths(std::integer_sequence<int, I...>) {
    (check_width<8 * (I + 1)>(), ...);
}

TEST(Wgmma, EveryWidth) { check_widths(std::make_integer_sequence<int, 32>()); }

template <int TRANS_A, int TRANS_B> void check_swizzles() {
    for (int a_span : kSpans)
        for (int b_span : kSpans) check<136, TRANS_A, TRANS_B, false>(a_span, b_span, true);
}

TEST(Wgmma, EveryMajorAndSwizzle) {
    check_swizzles<0, 0>();
    check_swizzles<0, 1>();
    check_swizzles<1, 0>();
    check_swizzles<1, 1>();
}

TEST(Wgmma, EverySchedule) {
    prim::for_each_schedule([] {
        check<40, 1, 0, false>(64, 128, true);
        check<40, 0, 1, true>(0, 32, false);
    });
}

} // namespace
