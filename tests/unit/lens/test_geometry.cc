// test_geometry.cc: lengths and spreads of q and k, against float64, and what scaling does to them.
#include <numeric>

#include "figures.h"
#include "lens/eigen.h"
#include "planted_model.h"
#include "quern/activations.h"

namespace {

enum { kSequences = 3, kLength = 21 };

qn_plan_options inspected() { return small_options(kSequences, kLength, QN_PLAN_INSPECT); }

struct Text {
    explicit Text(const qn_config &config)
        : batch(random_batch(config, kSequences, kLength, 3, 4)),
          view_of(view(batch)), text{&view_of, 1} {}
    reference::Batch batch;
    qn_batch view_of;
    qn_probe_text text;
};

// Householder's reflections of a diagonal matrix keep its eigenvalues.
TEST(Eigenvalues, OfAReflectedDiagonal) {
    const int n = 17;
    std::vector<double> expected(n), a(n * n, 0), found(n);
    for (int i = 0; i < n; i++) a[i * n + i] = expected[i] = i < 3 ? 0 : std::pow(1.7, i - 8);
    for (int round = 1; round <= 4; round++) {
        std::vector<double> v(n), h(n * n), ha(n * n, 0), hah(n * n, 0);
        double square = 0;
        for (int i = 0; i < n; i++) square += (v[i] = std::sin(round * (i + 1.0))) * v[i];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) h[i * n + j] = (i == j) - 2 * v[i] * v[j] / square;
        for (int i = 0; i < n; i++)
            for (int k = 0; k < n; k++)
                for (int j = 0; j < n; j++) ha[i * n + j] += h[i * n + k] * a[k * n + j];
        for (int i = 0; i < n; i++)
            for (int k = 0; k < n; k++)
                for (int j = 0; j < n; j++) hah[i * n + j] += ha[i * n + k] * h[k * n + j];
        a = hah;
    }
    qn_eigenvalues(a.data(), n, found.data());
    std::sort(found.begin(), found.end());
    std::sort(expected.begin(), expected.end());
    for (int i = 0; i < n; i++) EXPECT_NEAR(found[i], expected[i], 1e-12 * expected[n - 1]);
}

// q or k of a head before rotation, of tokens that count.
std::vector<std::vector<double>> vectors_of(SmallModel &m, const reference::Batch &batch,
                                            int64_t layer, qn_head_part part, int64_t head) {
    const int64_t D = m.config.head_dim, half = D / 2;
    const int64_t heads = part == QN_HEAD_Q ? m.config.n_heads : m.config.n_kv_heads;
    std::vector<float> values(kSequences * kLength * heads * D);
    EXPECT_OK(qn_model_read_heads(m.model, layer, part, values.data()));
    std::vector<std::vector<double>> out;
    for (int64_t n = 0; n < kSequences * kLength; n++) {
        if (batch.targets[n] < 0) continue;
        const float *x = &values[(n * heads + head) * D];
        std::vector<double> v(D);
        for (int64_t c = 0; c < half; c++) {
            const double angle =
                (double)(n % kLength) * std::pow(m.config.rope_theta, -(double)c / half);
            v[c] = x[c] * std::cos(angle) + x[c + half] * std::sin(angle);
            v[c + half] = x[c + half] * std::cos(angle) - x[c] * std::sin(angle);
        }
        out.push_back(v);
    }
    return out;
}

// Figures of head 3 of layer 1, whose vectors these are.
void expect_geometry(const Figures &f, const std::string &of,
                     const std::vector<std::vector<double>> &vectors) {
    const int64_t D = (int64_t)vectors[0].size();
    const double n = (double)vectors.size();
    double norm = 0, cosine = 0, trace = 0, square = 0, entropy = 0;
    std::vector<double> mean(D, 0), c(D * D, 0), eigenvalues(D);
    for (const auto &x : vectors) {
        norm += std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0)) / n;
        for (int64_t i = 0; i < D; i++) mean[i] += x[i] / n;
    }
    for (const auto &x : vectors) {
        for (int64_t i = 0; i < D; i++)
            for (int64_t j = 0; j < D; j++) c[i * D + j] += (x[i] - mean[i]) * (x[j] - mean[j]) / n;
        for (const auto &y : vectors) {
            if (&x == &y) continue;
            cosine += std::inner_product(x.begin(), x.end(), y.begin(), 0.0) /
                      std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0) *
                                std::inner_product(y.begin(), y.end(), y.begin(), 0.0)) /
                      (n * (n - 1));
        }
    }
    for (int64_t i = 0; i < D; i++) trace += c[i * D + i];
    for (double x : c) square += x * x;
    qn_eigenvalues(c.data(), D, eigenvalues.data());
    for (double x : eigenvalues) entropy -= x / trace * std::log(x / trace);
    EXPECT_EQ(f.at(of + "_norm", 1, 3).n, (int64_t)n);
    EXPECT_NEAR(f.value(of + "_norm", 1, 3), norm, 1e-9);
    EXPECT_NEAR(f.value(of + "_participation", 1, 3), trace * trace / square, 1e-9);
    EXPECT_NEAR(f.value(of + "_rank", 1, 3), std::exp(entropy), 1e-9);
    EXPECT_NEAR(f.value(of + "_anisotropy", 1, 3), cosine, 1e-9);
}

TEST(Geometry, AgreesWithFloat64) {
    SmallModel m(with_groups(small_config("Qwen3ForCausalLM")), inspected());
    const Text text(m.config);
    Figures f;
    ASSERT_OK(qn_probe_geometry(m.model, &text.text, &f.list));
    expect_geometry(f, "q", vectors_of(m, text.batch, 1, QN_HEAD_Q, 3));
    expect_geometry(f, "k", vectors_of(m, text.batch, 1, QN_HEAD_K, 1));
    EXPECT_EQ(f.value("k_rank", 1, 2), f.value("k_rank", 1, 3)); // one kv head
    EXPECT_NE(f.value("k_rank", 1, 1), f.value("k_rank", 1, 2));
}

// (Wq, Wk) → (c·Wq, Wk/c) changes no score: norms alone tell.
TEST(Geometry, ScalingChangesNormsOnly) {
    SmallModel m(small_config("LlamaForCausalLM"), inspected());
    const Text text(m.config);
    Figures before, after;
    for (Figures *f : {&before, &after}) {
        ASSERT_OK(qn_probe_geometry(m.model, &text.text, &f->list));
        ASSERT_OK(qn_probe_distance(m.model, &text.text, &f->list));
        scale_param(m, QN_Q_W, 0, 4);
        scale_param(m, QN_K_W, 0, 0.25f);
    }
    for (int64_t i = 0; i < before.list.count; i++) {
        const qn_lens_figure &x = before.list.items[i], &y = after.list.items[i];
        double factor = 1;
        if (x.layer == 0 && std::string(x.metric) == "q_norm") factor = 4;
        if (x.layer == 0 && std::string(x.metric) == "k_norm") factor = 0.25;
        EXPECT_NEAR(y.value, factor * x.value, 1e-6 * std::abs(factor * x.value)) << x.metric;
    }
}

// k alike for all tokens spreads in no direction.
TEST(Geometry, OfEqualVectors) {
    SmallModel m(small_config("Qwen2ForCausalLM"), inspected());
    const Text text(m.config);
    plant_distance(m, 0, 3, 2);
    Figures f;
    ASSERT_OK(qn_probe_geometry(m.model, &text.text, &f.list));
    EXPECT_NEAR(f.value("k_anisotropy", 0, 1), 1, 1e-6);
    EXPECT_NEAR(f.value("k_norm", 0, 1), 2, 1e-6); // four pairs of length 1
    EXPECT_TRUE(std::isnan(f.value("k_participation", 0, 1)));
    EXPECT_TRUE(std::isnan(f.value("k_rank", 0, 1)));
}

TEST(Geometry, OfVectorsOfLengthZero) {
    SmallModel m(small_config("LlamaForCausalLM"), inspected());
    const Text text(m.config);
    scale_param(m, QN_K_W, 0, 0);
    Figures f;
    ASSERT_OK(qn_probe_geometry(m.model, &text.text, &f.list));
    EXPECT_EQ(f.value("k_norm", 0, 1), 0);
    EXPECT_TRUE(std::isnan(f.value("k_anisotropy", 0, 1)));
    EXPECT_EQ(f.at("k_anisotropy", 0, 1).n, 0);
    EXPECT_TRUE(std::isnan(f.value("k_rank", 0, 1)));
    EXPECT_GT(f.value("q_rank", 0, 1), 1);
}

} // namespace
