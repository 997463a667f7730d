#include "quern/philox.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <set>

/* A block by the words of Random123: counter (c0, c1, c2, c3), key (k0, k1). */
static std::array<uint32_t, 4> block(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
    const uint64_t seed = (uint64_t)k[1] << 32 | k[0], index = (uint64_t)c[1] << 32 | c[0];
    /* The last word of the counter holds any use, also one that has no name. */
    qn_random_use use;
    static_assert(sizeof use == sizeof c[3], "a use fills one word");
    memcpy(&use, &c[3], sizeof use);
    qn_philox r = qn_philox_at(seed, use, c[2], index);
    return {r.x[0], r.x[1], r.x[2], r.x[3]};
}

/* Vectors of Random123's kat_vectors, philox4x32 with 10 rounds. */
TEST(Philox, KnownAnswers) {
    const uint32_t f = 0xffffffff;
    EXPECT_EQ(block({0, 0, 0, 0}, {0, 0}),
              (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    EXPECT_EQ(block({f, f, f, f}, {f, f}),
              (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    /* Digits of pi: every word differs, so that the order of the words shows. */
    EXPECT_EQ(block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, EachArgumentGivesAnotherStream) {
    std::set<std::array<uint32_t, 4>> seen;
    auto add = [&](uint64_t seed, qn_random_use use, uint32_t stream, uint64_t index) {
        qn_philox r = qn_philox_at(seed, use, stream, index);
        return seen.insert({r.x[0], r.x[1], r.x[2], r.x[3]}).second;
    };
    EXPECT_TRUE(add(1, QN_RANDOM_INIT, 0, 0));
    EXPECT_FALSE(add(1, QN_RANDOM_INIT, 0, 0));
    EXPECT_TRUE(add(1ull << 32, QN_RANDOM_INIT, 0, 0));
    EXPECT_TRUE(add(1, QN_RANDOM_SHUFFLE, 0, 0));
    EXPECT_TRUE(add(1, QN_RANDOM_INIT, 1, 0));
    EXPECT_TRUE(add(1, QN_RANDOM_INIT, 0, 1));
    EXPECT_TRUE(add(1, QN_RANDOM_INIT, 0, 1ull << 32));
}

TEST(Philox, UniformExcludesTheEnds) {
    EXPECT_GT(qn_uniform(0), 0.0);
    EXPECT_LT(qn_uniform(0xffffffff), 1.0);
    EXPECT_DOUBLE_EQ(qn_uniform(0x7fffffff) + qn_uniform(0x80000000), 1.0);
}

/* Moments of n normal numbers; the bounds are five standard errors. */
TEST(Philox, NormalMoments) {
    const int n = 1 << 20;
    double sum[5] = {0}, cross = 0;
    for (int i = 0; i < n / 4; i++) {
        qn_philox r = qn_philox_at(7, QN_RANDOM_INIT, 3, (uint64_t)i);
        float z[4];
        qn_normal_pair(r.x[0], r.x[1], z);
        qn_normal_pair(r.x[2], r.x[3], z + 2);
        for (float x : z) {
            double power = 1;
            for (double &s : sum) s += power, power *= x;
        }
        cross += z[0] * z[1] + z[2] * z[3];
    }
    const double root = std::sqrt((double)n);
    EXPECT_NEAR(sum[1] / n, 0, 5 / root);
    EXPECT_NEAR(sum[2] / n, 1, 5 * std::sqrt(2) / root);
    EXPECT_NEAR(sum[3] / n, 0, 5 * std::sqrt(15) / root);
    EXPECT_NEAR(sum[4] / n, 3, 5 * std::sqrt(96) / root);
    EXPECT_NEAR(cross / (n / 2), 0, 5 / std::sqrt(n / 2.0));
}

TEST(Philox, NormalsOfExtremeWordsAreFinite) {
    for (uint32_t a : {0u, 1u, 0xffffffffu}) {
        for (uint32_t b : {0u, 0x40000000u, 0xffffffffu}) {
            float z[2];
            qn_normal_pair(a, b, z);
            EXPECT_TRUE(std::isfinite(z[0]) && std::isfinite(z[1]));
            EXPECT_LT(std::hypot(z[0], z[1]), 7.0f);
        }
    }
}
