// test_rounding.cc: stochastic rounding to bf16, one number at a time.
#include "quern/rounding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace {

float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

constexpr uint32_t kNumbers = 1 << 16;
constexpr uint16_t kLargest = 0x7f7f, kInfinity = 0x7f80;

// Upper halves of floats: of every size, subnormals and both signs among them.
const std::vector<uint32_t> kHalves = {0x0000, 0x0001, 0x007f, 0x0080, 0x3f7f, 0x3f80,
                                       0x4049, 0x7f7e, 0x8000, 0x8001, 0xbf80, 0xff7e};

// With all 2^16 numbers, x goes up exactly as often as its distance from the lower neighbour
// says, so the mean is x; and nowhere else than to its neighbours.
TEST(Rounding, EveryNumberOnceGivesTheMean) {
    for (uint32_t half : kHalves)
        for (uint32_t low : {0x0001u, 0x00ffu, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
            uint32_t ups = 0;
            for (uint32_t number = 0; number < kNumbers; number++) {
                const uint16_t got = qn_bf16_stochastic(float_of(half << 16 | low), number);
                ASSERT_TRUE(got == half || got == half + 1) << std::hex << half << ' ' << got;
                ups += got == half + 1;
            }
            EXPECT_EQ(ups, low) << std::hex << half << ' ' << low;
        }
}

TEST(Rounding, WhatBf16HoldsStays) {
    for (uint32_t half : kHalves)
        for (uint32_t number : {0u, 1u, 0x8000u, 0xffffu})
            EXPECT_EQ(qn_bf16_stochastic(float_of(half << 16), number), half) << std::hex << half;
}

TEST(Rounding, InfinityAndNanStayWhatTheyAre) {
    for (uint32_t number : {0u, 1u, 0x8000u, 0xffffu}) {
        EXPECT_EQ(qn_bf16_stochastic(INFINITY, number), kInfinity);
        EXPECT_EQ(qn_bf16_stochastic(-INFINITY, number), kInfinity | 0x8000);
        for (uint32_t bits : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0xffffffffu, 0x7fc00000u})
            EXPECT_TRUE(std::isnan(qn_float_of_bf16(qn_bf16_stochastic(float_of(bits), number))));
    }
}

TEST(Rounding, FiniteNumbersStayFinite) {
    for (uint32_t low : {0x0001u, 0x8000u, 0xffffu})
        for (uint32_t number : {0u, 0x8000u, 0xffffu}) {
            EXPECT_EQ(qn_bf16_stochastic(float_of(0x7f7f0000u | low), number), kLargest);
            EXPECT_EQ(qn_bf16_stochastic(float_of(0xff7f0000u | low), number), kLargest | 0x8000);
        }
}

// Over n seeds the number of ups has mean n·p and deviation √(n·p(1 − p)); five of those are
// passed once in two million draws, and the seeds are fixed.
TEST(Rounding, TheMeanOverSeedsIsTheNumber) {
    const int n = 20000;
    for (uint32_t low : {0x0100u, 0x4000u, 0x8000u, 0xc000u, 0xff00u})
        for (int64_t index : {0, 1, 6, 7, 8, 1000003}) {
            const double p = low / 65536.0;
            int ups = 0;
            for (int seed = 0; seed < n; seed++)
                ups += qn_bf16_stochastic_at(float_of(0x3f800000u | low), (uint64_t)seed, 3,
                                             index) == 0x3f81;
            EXPECT_NEAR(ups, n * p, 5 * std::sqrt(n * p * (1 - p))) << low << ' ' << index;
        }
}

TEST(Rounding, EachElementStepAndSeedHasNumbersOfItsOwn) {
    std::set<std::vector<uint32_t>> seen;
    auto add = [&](uint64_t seed, int64_t step, int64_t group) {
        const qn_philox block = qn_rounding_group(seed, step, group);
        std::vector<uint32_t> numbers;
        for (int i = 0; i < QN_ROUNDING_GROUP; i++)
            numbers.push_back(qn_rounding_number(&block, i));
        EXPECT_EQ(std::set<uint32_t>(numbers.begin(), numbers.end()).size(), numbers.size());
        return seen.insert(numbers).second;
    };
    EXPECT_TRUE(add(1, 1, 0));
    EXPECT_FALSE(add(1, 1, 0));
    EXPECT_TRUE(add(2, 1, 0));
    EXPECT_TRUE(add(1ull << 32, 1, 0));
    EXPECT_TRUE(add(1, 2, 0));
    EXPECT_TRUE(add(1, 1, 1));
    EXPECT_TRUE(add(1, 1, 1ll << 32));
    const qn_philox initial = qn_philox_at(1, QN_RANDOM_INIT, 1, 0);
    EXPECT_NE(initial.x[0], qn_rounding_group(1, 1, 0).x[0]) << "shared with initial values";
}

// The words of Philox in order, the lower half of each before the upper one.
TEST(Rounding, NumbersAreHalvesOfWords) {
    const qn_philox block = {{0x00020001u, 0x00040003u, 0x00060005u, 0x00080007u}};
    for (int i = 0; i < QN_ROUNDING_GROUP; i++)
        EXPECT_EQ(qn_rounding_number(&block, i), (uint32_t)i + 1);
}

} // namespace
