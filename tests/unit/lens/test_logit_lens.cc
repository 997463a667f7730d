// test_logit_lens.cc: predictions at each depth, against distributions in float64 and against the
// model's own loss.
#include "figures.h"
#include "harness/small_model.h"
#include "quern/activations.h"
#include "quern/probe.h"

namespace {

enum { kSequences = 2, kLength = 37 }; // no multiple of the tokens that are read at once

// Logits are products in fp32, rounded otherwise where other rows are read with them.
const double kRounding = 1e-7;

struct Text {
    Text(const qn_config &config, int ignored_every)
        : first(random_batch(config, kSequences, kLength, 1, ignored_every)),
          second(random_batch(config, kSequences, kLength, 2, ignored_every)),
          batches{view(first), view(second)}, text{batches, 2} {}
    reference::Batch first, second;
    qn_batch batches[2];
    qn_probe_text text;
};

qn_plan_options inspected() { return small_options(kSequences, kLength, QN_PLAN_INSPECT); }

struct Sums {
    double hits = 0, loss = 0, entropy = 0, kl = 0;
    int64_t n = 0;
};

reference::Vector softmax(const float *logits, int64_t V) {
    reference::Vector p(logits, logits + V);
    double most = *std::max_element(p.begin(), p.end()), sum = 0;
    for (double &x : p) sum += x = std::exp(x - most);
    for (double &x : p) x /= sum;
    return p;
}

// Of one batch, which the model has just evaluated, added to what others gave.
void add_reference(SmallModel &m, const reference::Batch &batch, int64_t depth, Sums *sums) {
    const int64_t V = m.config.vocab_size, N = kSequences * kLength;
    std::vector<float> early((size_t)(N * V)), last((size_t)(N * V));
    ASSERT_OK(qn_model_read_logits(m.model, depth, 0, N, early.data()));
    ASSERT_OK(qn_model_read_logits(m.model, m.config.n_layers, 0, N, last.data()));
    for (int64_t n = 0; n < N; n++) {
        const int32_t target = batch.targets[n];
        if (target < 0) continue;
        const reference::Vector q = softmax(&early[n * V], V), p = softmax(&last[n * V], V);
        sums->n++;
        sums->hits += std::max_element(q.begin(), q.end()) - q.begin() == target;
        sums->loss -= std::log(q[target]);
        for (int64_t i = 0; i < V; i++) {
            sums->entropy -= q[i] * std::log(q[i]);
            sums->kl += p[i] * std::log(p[i] / q[i]);
        }
    }
}

class LogitLens : public testing::TestWithParam<const char *> {};
INSTANTIATE_TEST_SUITE_P(Architectures, LogitLens,
                         testing::Values("LlamaForCausalLM", "GPT2LMHeadModel"));

// A NaN in the last layer leaves the depths before it.
TEST_P(LogitLens, LogitsThatAreNoNumbersForetellNothing) {
    SmallModel m(small_config(GetParam()), inspected());
    const Text text(m.config, 5);
    const qn_param *p = qn_params_find(m.params(), QN_O_W, m.config.n_layers - 1);
    std::vector<float> values((size_t)p->count, NAN);
    ASSERT_OK(qn_model_write_param(m.model, p, values.data()));
    const std::vector<char> begins((size_t)m.config.vocab_size, 1);
    Figures figures;
    ASSERT_OK(qn_probe_logit_lens(m.model, &text.text, (const bool *)begins.data(), &figures.list));
    for (const char *metric : {"lens_accuracy", "lens_word_accuracy", "lens_loss"}) {
        EXPECT_TRUE(std::isnan(figures.value(metric, m.config.n_layers))) << metric;
        EXPECT_FALSE(std::isnan(figures.value(metric, m.config.n_layers - 1))) << metric;
    }
}

TEST_P(LogitLens, AgreesWithDistributionsInFloat64) {
    SmallModel m(small_config(GetParam()), inspected());
    const Text text(m.config, 5);
    Figures figures;
    ASSERT_OK(qn_probe_logit_lens(m.model, &text.text, nullptr, &figures.list));
    ASSERT_EQ(figures.list.count, 4 * (m.config.n_layers + 1));
    for (int64_t depth = 0; depth <= m.config.n_layers; depth++) {
        Sums sums;
        for (const reference::Batch *batch : {&text.first, &text.second}) {
            const qn_batch b = view(*batch);
            double loss;
            ASSERT_OK(qn_model_evaluate(m.model, &b, &loss));
            add_reference(m, *batch, depth, &sums);
        }
        const double n = (double)sums.n;
        EXPECT_EQ(figures.at("lens_loss", depth).n, sums.n);
        EXPECT_DOUBLE_EQ(figures.value("lens_accuracy", depth), sums.hits / n);
        EXPECT_NEAR(figures.value("lens_loss", depth), sums.loss / n, kRounding);
        EXPECT_NEAR(figures.value("lens_entropy", depth), sums.entropy / n, kRounding);
        EXPECT_NEAR(figures.value("lens_kl", depth), sums.kl / n, kRounding);
    }
}

TEST_P(LogitLens, LastDepthIsTheModel) {
    SmallModel m(small_config(GetParam()), inspected());
    const Text text(m.config, 4);
    double loss = 0, of_batch;
    for (const qn_batch &b : text.batches) {
        ASSERT_OK(qn_model_evaluate(m.model, &b, &of_batch));
        loss += of_batch;
    }
    Figures figures;
    ASSERT_OK(qn_probe_logit_lens(m.model, &text.text, nullptr, &figures.list));
    const qn_lens_figure f = figures.at("lens_loss", m.config.n_layers);
    EXPECT_NEAR(f.value, loss / (double)f.n, 1e-6 * f.value) << "that one is summed in fp32";
    EXPECT_EQ(figures.value("lens_kl", m.config.n_layers), 0);
    EXPECT_GT(figures.value("lens_kl", 0), 0.01);
}

TEST(LogitLens, BaselinesAreTheUniformAndTheCommonestToken) {
    SmallModel m(small_config("LlamaForCausalLM"), inspected());
    Text text(m.config, 0);
    for (int32_t &target : text.first.targets) target = 3;
    for (int32_t &target : text.second.targets) target = target == 3 ? 4 : target;
    text.second.targets[0] = -1;
    Figures figures;
    ASSERT_OK(qn_probe_logit_lens(m.model, &text.text, nullptr, &figures.list));
    const double N = kSequences * kLength;
    EXPECT_DOUBLE_EQ(figures.at("lens_accuracy", 1).baseline, N / (2 * N - 1));
    EXPECT_DOUBLE_EQ(figures.at("lens_loss", 1).baseline, std::log(61.0));
    EXPECT_DOUBLE_EQ(figures.at("lens_entropy", 1).baseline, std::log(61.0));
    EXPECT_TRUE(std::isnan(figures.at("lens_kl", 1).baseline));
}

TEST(LogitLens, EqualLogitsGiveTheBaselines) {
    SmallModel m(small_config("LlamaForCausalLM"), inspected());
    const qn_param *norm = qn_params_find(m.params(), QN_FINAL_NORM_W, -1);
    ASSERT_OK(qn_model_write_param(m.model, norm, std::vector<float>(norm->count, 0).data()));
    const Text text(m.config, 6);
    Figures figures;
    ASSERT_OK(qn_probe_logit_lens(m.model, &text.text, nullptr, &figures.list));
    for (int64_t depth = 0; depth <= m.config.n_layers; depth++) {
        EXPECT_NEAR(figures.value("lens_loss", depth), std::log(61.0), 1e-14);
        EXPECT_NEAR(figures.value("lens_entropy", depth), std::log(61.0), 1e-14);
        EXPECT_EQ(figures.value("lens_kl", depth), 0);
    }
}

TEST(LogitLens, PaddingAloneIsNoFigure) {
    SmallModel m(small_config("LlamaForCausalLM"), inspected());
    Text text(m.config, 0);
    for (int32_t &target : text.first.targets) target = -1;
    const qn_probe_text one = {text.batches, 1};
    Figures figures;
    ASSERT_OK(qn_probe_logit_lens(m.model, &one, nullptr, &figures.list));
    for (const char *metric : {"lens_accuracy", "lens_loss", "lens_entropy", "lens_kl"}) {
        EXPECT_TRUE(std::isnan(figures.value(metric, 0))) << metric;
        EXPECT_EQ(figures.at(metric, 0).n, 0) << metric;
    }
}

TEST(LogitLens, RefusesOtherPlans) {
    SmallModel m(small_config("LlamaForCausalLM"), small_options(kSequences, kLength));
    const Text text(m.config, 0);
    Figures figures;
    EXPECT_ERROR(qn_probe_logit_lens(m.model, &text.text, nullptr, &figures.list), QN_CODE_INVALID,
                 "QN_PLAN_INSPECT");
}

// Of the targets that begin words alone, with a baseline of theirs.
TEST(LogitLensOfWords, CountsTheTargetsThatBeginThem) {
    SmallModel m(small_config("LlamaForCausalLM"), inspected());
    const Text text(m.config, 5);
    const int64_t V = m.config.vocab_size, N = kSequences * kLength;
    const std::unique_ptr<bool[]> begins(new bool[V]);
    for (int64_t v = 0; v < V; v++) begins[v] = v % 3 == 1;
    Figures figures;
    ASSERT_OK(qn_probe_logit_lens(m.model, &text.text, begins.get(), &figures.list));
    std::vector<int64_t> seen(V, 0);
    double hits = 0, words = 0;
    for (const reference::Batch *batch : {&text.first, &text.second}) {
        const qn_batch b = view(*batch);
        double loss;
        std::vector<float> logits(N * V);
        ASSERT_OK(qn_model_evaluate(m.model, &b, &loss));
        ASSERT_OK(qn_model_read_logits(m.model, m.config.n_layers, 0, N, logits.data()));
        for (int64_t n = 0; n < N; n++) {
            const int32_t target = batch->targets[n];
            if (target < 0 || !begins[target]) continue;
            const float *row = &logits[n * V];
            words++, seen[target]++;
            hits += std::max_element(row, row + V) - row == target;
        }
    }
    const qn_lens_figure f = figures.at("lens_word_accuracy", m.config.n_layers);
    EXPECT_EQ(f.n, (int64_t)words);
    EXPECT_DOUBLE_EQ(f.value, hits / words);
    EXPECT_DOUBLE_EQ(f.baseline, (double)*std::max_element(seen.begin(), seen.end()) / words);
}

} // namespace
