// test_pair_measure.cc: closeness of pairs whose answer is known, and errors against repeated
// draws.
#include "lens/pair_measure.h"

#include <cmath>
#include <random>

#include "harness/status.h"

namespace {

using Pairs = std::vector<qn_word_pair>;

qn_pair_set view(Pairs &pairs) { return {pairs.data(), (int64_t)pairs.size()}; }

qn_measure auc_of(Pairs x, const std::vector<double> &xs, Pairs y, const std::vector<double> &ys,
                  int64_t n_words) {
    const qn_pair_set a = view(x), b = view(y);
    qn_measure out = {NAN, NAN};
    EXPECT_OK(qn_pair_auc(&a, xs.data(), &b, ys.data(), n_words, &out));
    return out;
}

qn_measure mean_of(Pairs x, const std::vector<double> &xs, int64_t n_words) {
    const qn_pair_set a = view(x);
    qn_measure out = {NAN, NAN};
    EXPECT_OK(qn_pair_mean(&a, xs.data(), n_words, &out));
    return out;
}

TEST(PairAuc, CountsWinsAndHalfOfTies) {
    const Pairs x = {{0, 1}, {2, 3}}, y = {{0, 2}, {1, 3}, {0, 3}};
    EXPECT_DOUBLE_EQ(auc_of(x, {3, 3}, y, {1, 2, 0}, 4).value, 1);
    EXPECT_DOUBLE_EQ(auc_of(x, {0, 0}, y, {1, 2, 1}, 4).value, 0);
    EXPECT_DOUBLE_EQ(auc_of(x, {1, 1}, y, {1, 1, 1}, 4).value, 0.5);
    EXPECT_DOUBLE_EQ(auc_of(x, {2, 1}, y, {1, 2, 0}, 4).value, (2.5 + 1.5) / 6);
}

TEST(PairAuc, OfWhatIsNoNumberIsNone) {
    const Pairs x = {{0, 1}, {2, 3}}, y = {{0, 2}, {1, 3}, {0, 3}};
    const qn_measure own = auc_of(x, {1, NAN}, y, {1, 2, 0}, 4);
    EXPECT_TRUE(std::isnan(own.value) && std::isnan(own.error));
    EXPECT_TRUE(std::isnan(auc_of(x, {1, 2}, y, {1, NAN, 0}, 4).value));
    EXPECT_TRUE(std::isnan(mean_of(x, {1, NAN}, 4).value));
}

TEST(PairMean, OfDisjointPairsHasTheErrorOfIndependentOnes) {
    const qn_measure m = mean_of({{0, 1}, {2, 3}, {4, 5}, {6, 7}}, {1, 2, 3, 6}, 8);
    EXPECT_DOUBLE_EQ(m.value, 3);
    EXPECT_NEAR(m.error, std::sqrt(4.0 + 1 + 0 + 9) / 4, 1e-15);
}

// The same pair four times is one pair.
TEST(PairMean, RepeatedPairsAreNotSurer) {
    Pairs pairs;
    std::vector<double> values;
    for (int i = 0; i < 6; i++)
        for (int again = 0; again < 4; again++) {
            pairs.push_back({again % 2 ? 2 * i : 2 * i + 1, again % 2 ? 2 * i + 1 : 2 * i});
            values.push_back(i * i);
        }
    const qn_measure once =
        mean_of({{0, 1}, {2, 3}, {4, 5}, {6, 7}, {8, 9}, {10, 11}}, {0, 1, 4, 9, 16, 25}, 12);
    const qn_measure many = mean_of(pairs, values, 12);
    EXPECT_NEAR(many.value, once.value, 1e-14);
    EXPECT_NEAR(many.error, once.error, 1e-14);
}

TEST(Cosines, AreOfCentredVectors) {
    std::vector<double> v = {11, 10, 9, 10, 10, 11, 10, 9, 10, 10};
    Pairs pairs = {{0, 1}, {0, 2}, {0, 4}};
    const qn_pair_set set = view(pairs);
    double cosines[3];
    qn_centre(v.data(), 5, 2);
    qn_cosines(&set, v.data(), 2, cosines);
    EXPECT_NEAR(cosines[0], -1, 1e-15);
    EXPECT_NEAR(cosines[1], 0, 1e-15);
    EXPECT_EQ(cosines[2], 0) << "the mean itself has no direction";
}

// ---- errors against repeated draws ----------------------------------------------------------

struct Draws {
    double spread, error; // of the AUC over draws; root mean square of what was said
    double mean;
};

// x and y keep their words; `draw` gives the value of each word, and a pair's is made of both.
template <typename F> Draws repeat(const Pairs &x, const Pairs &y, int n_words, F value_of) {
    const int draws = 600;
    double sum = 0, squares = 0, errors = 0;
    std::mt19937 random(11);
    std::normal_distribution<double> normal;
    for (int d = 0; d < draws; d++) {
        std::vector<std::vector<double>> words((size_t)n_words, std::vector<double>(6));
        for (auto &word : words)
            for (double &v : word) v = normal(random);
        std::vector<double> xs, ys;
        for (qn_word_pair p : x) xs.push_back(value_of(words[p.a], words[p.b]));
        for (qn_word_pair p : y) ys.push_back(value_of(words[p.a], words[p.b]));
        const qn_measure m = auc_of(x, xs, y, ys, n_words);
        sum += m.value;
        squares += m.value * m.value;
        errors += m.error * m.error;
    }
    const double mean = sum / draws;
    return {std::sqrt(squares / draws - mean * mean), std::sqrt(errors / draws), mean};
}

double cosine(const std::vector<double> &a, const std::vector<double> &b) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < a.size(); i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return ab / std::sqrt(aa * bb);
}
// Words that are close to any other, as anisotropic vectors have.
double popularity(const std::vector<double> &a, const std::vector<double> &b) {
    return a[0] + b[0] + 0.5 * a[1] * b[1];
}

Pairs random_pairs(int n, int n_words, uint32_t seed) {
    std::mt19937 random(seed);
    Pairs pairs;
    while ((int)pairs.size() < n) {
        const int a = (int)(random() % n_words), b = (int)(random() % n_words);
        if (a != b) pairs.push_back({a, b});
    }
    return pairs;
}

void expect_calibrated(const Draws &d) {
    EXPECT_NEAR(d.mean, 0.5, 4 * d.spread / std::sqrt(600.0));
    EXPECT_GT(d.error, 0.85 * d.spread);
    EXPECT_LT(d.error, 1.25 * d.spread);
}

TEST(AucError, IsThatOfRepeatedDrawsOfDisjointPairs) {
    Pairs x;
    for (int i = 0; i < 40; i++) x.push_back({2 * i, 2 * i + 1});
    expect_calibrated(repeat(x, random_pairs(320, 80, 1), 80, cosine));
}

TEST(AucError, IsThatOfRepeatedDrawsOfPairsThatShareWords) {
    Pairs x; // 16 words with five others each
    for (int i = 0; i < 80; i++) x.push_back({i % 16, 16 + i});
    const Draws d = repeat(x, random_pairs(640, 300, 3), 300, popularity);
    expect_calibrated(d);
    EXPECT_GT(d.spread, 1.15 * std::sqrt((80.0 + 640 + 1) / (12 * 80 * 640)))
        << "pairs that are not independent";
}

} // namespace
