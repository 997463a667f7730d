#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include "quern/train.h"

static const std::vector<float> logits = {0.5f, 2.0f, -1.0f, 1.0f, 2.0f, 0.0f, -3.0f, 1.5f};
static const int V = 8;
// Tokens from the most probable on; equal ones in order of their ids.
static const std::vector<int> ranked = {1, 4, 7, 3, 0, 5, 2, 6};

static int32_t sample(const qn_sampling &s, uint64_t position) {
    std::vector<int32_t> scratch(V);
    return qn_sample(logits.data(), V, &s, position, scratch.data());
}

static qn_sampling sampling(double temperature, int64_t top_k, double top_p, uint64_t seed = 1) {
    return {temperature, top_k, top_p, seed, 0};
}

// Exact probabilities when only the first n of the ranking are left.
static std::vector<double> probabilities(double temperature, int n) {
    std::vector<double> p(V, 0);
    double total = 0;
    for (int i = 0; i < n; i++) total += p[ranked[i]] = std::exp(logits[ranked[i]] / temperature);
    for (double &x : p) x /= total;
    return p;
}

// Chi-square of many draws against p; infinite when an impossible token was drawn.
static double chi_square(const qn_sampling &s, const std::vector<double> &p) {
    const int n = 40000;
    std::vector<int> counts(V, 0);
    for (int i = 0; i < n; i++) counts[sample(s, i)]++;
    double sum = 0;
    for (int v = 0; v < V; v++) {
        if (p[v] == 0 && counts[v]) return std::numeric_limits<double>::infinity();
        if (p[v] > 0) sum += std::pow(counts[v] - n * p[v], 2) / (n * p[v]);
    }
    return sum;
}

// 99.9 % quantiles of chi-square with 0 … 7 degrees of freedom.
static const double quantile[] = {1e-20, 10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32};

TEST(Sampling, TemperatureZeroTakesTheMostProbable) {
    for (uint64_t i = 0; i < 20; i++) EXPECT_EQ(sample(sampling(0, 0, 1, i), i), 1);
}

TEST(Sampling, FollowsTheSoftmaxAtAnyTemperature) {
    for (double t : {0.3, 0.8, 1.0, 2.5}) {
        EXPECT_LT(chi_square(sampling(t, 0, 1), probabilities(t, V)), quantile[V - 1]) << t;
    }
}

TEST(Sampling, TopK) {
    for (int k = 1; k < V; k++) {
        EXPECT_LT(chi_square(sampling(1, k, 1), probabilities(1, k)), quantile[k - 1]) << k;
    }
    EXPECT_LT(chi_square(sampling(1, 100, 1), probabilities(1, V)), quantile[V - 1]);
}

// The fewest tokens whose probability reaches top_p.
TEST(Sampling, TopP) {
    const std::vector<double> p = probabilities(1, V);
    double reached = 0;
    for (int n = 1; n < V; n++) {
        reached += p[ranked[n - 1]];
        EXPECT_LT(chi_square(sampling(1, 0, reached - 1e-9), probabilities(1, n)), quantile[n - 1])
            << n;
        EXPECT_LT(chi_square(sampling(1, 0, reached + 1e-9), probabilities(1, n + 1)), quantile[n])
            << n;
    }
}

// top_p counts what top_k left.
TEST(Sampling, TopPWithinTopK) {
    const std::vector<double> p = probabilities(1, 3);
    const double two = p[ranked[0]] + p[ranked[1]];
    EXPECT_LT(chi_square(sampling(1, 3, two - 1e-9), probabilities(1, 2)), quantile[1]);
    EXPECT_LT(chi_square(sampling(1, 3, two + 1e-9), probabilities(1, 3)), quantile[2]);
}

TEST(Sampling, IsAFunctionOfSeedAndPosition) {
    auto draws = [](uint64_t seed) {
        std::vector<int32_t> out;
        for (int i = 0; i < 64; i++) out.push_back(sample(sampling(1, 0, 1, seed), i));
        return out;
    };
    EXPECT_EQ(draws(7), draws(7));
    EXPECT_NE(draws(7), draws(8));
    EXPECT_NE(draws(7), draws(7 + (1ull << 32)));
}

TEST(Sampling, ExtremeLogits) {
    std::vector<float> wide = {-1e38f, 1e38f, 3e38f, -INFINITY};
    std::vector<int32_t> scratch(4);
    for (double t : {1e-300, 1e-3, 1.0, 100.0}) {
        const qn_sampling s = sampling(t, 0, 0.95);
        EXPECT_EQ(qn_sample(wide.data(), 4, &s, 0, scratch.data()), 2) << t;
    }
}

TEST(Sampling, OneToken) {
    const float only = 3;
    int32_t scratch;
    const qn_sampling s = sampling(1, 0, 0.5);
    EXPECT_EQ(qn_sample(&only, 1, &s, 5, &scratch), 0);
}
