// Conversions and the fast exponential and logarithm.
#include "prim/device.h"

#include <cmath>
#include <limits>

namespace {

// ---- bf16 --------------------------------------------------------------------------------

__global__ void convert(const float *x, uint16_t *single, uint32_t *pair, float *back, int n) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n) return;
    float next = x[(i + 1) % n];
    single[i] = to_bf16(x[i]).bits;
    pair[i] = pack_bf16(x[i], next);
    back[3 * i] = from_bf16(to_bf16(x[i]));
    back[3 * i + 1] = bf16_low(pair[i]);
    back[3 * i + 2] = bf16_high(pair[i]);
}

// Of the two neighbours in bf16 the nearer one; of two as near, the one with an even last bit.
uint16_t nearest_bf16(float x) {
    uint16_t below = (uint16_t)(prim::bits_of_float(x) >> 16);
    uint16_t above = (uint16_t)(below + 1); // in size
    if (std::isinf(x)) return below;
    // The overflow value that rounding sees behind the largest number: 2^128.
    double limit = std::ldexp(1.0, 128), to_above = prim::float_of_bf16(above);
    if (std::isinf(prim::float_of_bf16(above))) to_above = x < 0 ? -limit : limit;
    double down = std::fabs((double)x - prim::float_of_bf16(below)), up = std::fabs(to_above - x);
    if (down != up) return down < up ? below : above;
    return below % 2 == 0 ? below : above;
}

std::vector<float> numbers_to_convert() {
    std::vector<float> x = {0.0f, -0.0f, 1.0f, -1.0f, INFINITY, -INFINITY, 3.4028235e38f, 1e-45f};
    for (uint32_t high : {0x3f80u, 0x3f81u, 0xc2ffu, 0x0080u, 0x0001u, 0x7f7fu})
        for (uint32_t low : {0x0000u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
            x.push_back(prim::float_of_bits(high << 16 | low));
    std::mt19937 random(3);
    while (x.size() < 1000) {
        float y = prim::float_of_bits(random());
        if (!std::isnan(y)) x.push_back(y);
    }
    return x;
}

TEST(Bf16, RoundsToNearestEven) {
    std::vector<float> x = numbers_to_convert();
    int n = (int)x.size();
    prim::Array<float> device_x(x), back(3 * x.size());
    prim::Array<uint16_t> single(x.size());
    prim::Array<uint32_t> pair(x.size());
    QN_LAUNCH(convert, (n + 127) / 128, 128, 0, 0, device_x.get(), single.get(), pair.get(),
              back.get(), n);
    ASSERT_TRUE(prim::finished());
    std::vector<uint16_t> one = single.values();
    std::vector<uint32_t> two = pair.values();
    std::vector<float> floats = back.values();
    for (int i = 0; i < n; i++) {
        uint16_t low = nearest_bf16(x[i]), high = nearest_bf16(x[(i + 1) % n]);
        ASSERT_EQ(one[i], low) << x[i];
        ASSERT_EQ(two[i], low | (uint32_t)high << 16) << x[i];
        ASSERT_EQ(prim::bits_of_float(floats[3 * i]), (uint32_t)low << 16);
        ASSERT_EQ(prim::bits_of_float(floats[3 * i + 1]), (uint32_t)low << 16);
        ASSERT_EQ(prim::bits_of_float(floats[3 * i + 2]), (uint32_t)high << 16);
    }
}

TEST(Bf16, NanStaysNan) {
    std::vector<float> x = {NAN, prim::float_of_bits(0x7f800001u),
                            prim::float_of_bits(0xffffffffu)};
    prim::Array<float> device_x(x), back(9);
    prim::Array<uint16_t> single(3);
    prim::Array<uint32_t> pair(3);
    QN_LAUNCH(convert, 1, 32, 0, 0, device_x.get(), single.get(), pair.get(), back.get(), 3);
    ASSERT_TRUE(prim::finished());
    for (float y : back.values()) EXPECT_TRUE(std::isnan(y));
}

// ---- exponential and logarithm --------------------------------------------------------------

__global__ void exponentials(const float *x, float *powers, float *logarithms, int n) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n) return;
    powers[i] = exp2_approx(x[i]);
    logarithms[i] = log2_approx(x[i]);
}

struct Results {
    std::vector<float> powers, logarithms;
};

Results run_exponentials(const std::vector<float> &x) {
    int n = (int)x.size();
    prim::Array<float> device_x(x), powers(x.size()), logarithms(x.size());
    QN_LAUNCH(exponentials, (n + 127) / 128, 128, 0, 0, device_x.get(), powers.get(),
              logarithms.get(), n);
    EXPECT_TRUE(prim::finished());
    return {powers.values(), logarithms.values()};
}

TEST(Exp2, WithinTwoUlps) {
    std::vector<float> x;
    for (int i = 0; i < 4000; i++) x.push_back(-125.9f + 0.0633f * (float)i);
    std::vector<float> y = run_exponentials(x).powers;
    for (size_t i = 0; i < x.size(); i++) {
        double exact = std::exp2((double)x[i]);
        if (exact >= std::ldexp(1.0, 128)) {
            ASSERT_TRUE(std::isinf(y[i])) << x[i];
            continue;
        }
        double ulp = std::ldexp(1.0, std::ilogb(exact) - 23);
        ASSERT_NEAR(y[i], exact, 2 * ulp) << x[i];
    }
}

TEST(Exp2, AtTheEdges) {
    const float smallest = 1e-45f;
    std::vector<float> y =
        run_exponentials({-INFINITY, INFINITY, 0.0f, -0.0f, smallest, -127.0f, -1000.0f, -126.0f})
            .powers;
    std::vector<float> expected = {0, INFINITY, 1, 1, 1, 0, 0, 0x1p-126f};
    for (size_t i = 0; i < y.size(); i++) EXPECT_EQ(y[i], expected[i]) << i;
    EXPECT_TRUE(std::isnan(run_exponentials({NAN}).powers[0]));
}

// lg2.approx: 2^-22 absolute in (0.5, 2), relative elsewhere.
TEST(Log2, WithinTheErrorOfThePtxIsa) {
    std::vector<float> x;
    for (int i = 1; i < 3000; i++) x.push_back(0.001f * (float)i);
    for (int e = -126; e <= 127; e++) x.push_back(std::ldexp(1.37f, e));
    std::vector<float> y = run_exponentials(x).logarithms;
    for (size_t i = 0; i < x.size(); i++) {
        double exact = std::log2((double)x[i]);
        bool near_one = x[i] > 0.5f && x[i] < 2;
        ASSERT_NEAR(y[i], exact, near_one ? 0x1p-22 : std::fabs(exact) * 0x1p-22) << x[i];
    }
}

TEST(Log2, AtTheEdges) {
    std::vector<float> y =
        run_exponentials({0.0f, -0.0f, 1e-45f, 1.0f, INFINITY, -1.0f}).logarithms;
    EXPECT_EQ(y[0], -INFINITY);
    EXPECT_EQ(y[1], -INFINITY);
    EXPECT_EQ(y[2], -INFINITY);
    EXPECT_EQ(y[3], 0.0f);
    EXPECT_EQ(y[4], INFINITY);
    EXPECT_TRUE(std::isnan(y[5]));
}

} // namespace
