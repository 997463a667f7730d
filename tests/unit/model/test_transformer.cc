// test_transformer.cc: forward and backward passes of whole small models against the float64
// reference, and what must not change their bits.
#include <cfloat>
#include <limits>
#include <numeric>

#include "harness/small_model.h"

using reference::Batch;

namespace {

struct Case {
    const char *name;
    qn_config config;
    bool documents = false;
};

std::vector<Case> cases() {
    const qn_config llama = small_config("LlamaForCausalLM");
    const qn_config mistral = small_config("MistralForCausalLM");
    const qn_config qwen2 = small_config("Qwen2ForCausalLM");
    const qn_config qwen3 = small_config("Qwen3ForCausalLM");
    const qn_config gpt2 = small_config("GPT2LMHeadModel");
    return {{"llama", llama},
            {"llama_untied", untied(llama)},
            {"llama_documents", with_groups(llama), true},
            {"mistral_window", with_window(with_groups(mistral))},
            {"qwen2_bias", with_groups(qwen2)},
            {"qwen3_qk_norm", with_odd_widths(with_groups(qwen3))},
            {"qwen3_everything", with_window(with_odd_widths(with_groups(untied(qwen3)))), true},
            {"gpt2", gpt2},
            {"gpt2_untied_documents", untied(gpt2), true}};
}

void PrintTo(const Case &c, std::ostream *out) { *out << c.name; }

constexpr int64_t kBatch = 2, kTokens = 13;

class Transformer : public testing::TestWithParam<Case> {
  protected:
    Batch batch(uint32_t seed, int64_t n_sequences = kBatch, int64_t seq_len = kTokens) const {
        Batch b = random_batch(GetParam().config, n_sequences, seq_len, seed, 5);
        return GetParam().documents ? with_documents(b, seed) : b;
    }
    qn_plan_options options(int64_t n_sequences = kBatch, int64_t seq_len = kTokens) const {
        qn_plan_options o = small_options(n_sequences, seq_len);
        o.documents = GetParam().documents;
        return o;
    }
    const qn_config &config() const { return GetParam().config; }
};

INSTANTIATE_TEST_SUITE_P(Models, Transformer, testing::ValuesIn(cases()),
                         [](const auto &info) { return info.param.name; });

double max_abs(const std::vector<float> &x) {
    double most = 0;
    for (float v : x) most = std::max(most, (double)std::abs(v));
    return most;
}

std::vector<float> part(const std::vector<float> &all, const qn_param &p) {
    return {all.begin() + p.offset, all.begin() + p.offset + p.count};
}

bool same_bits(const std::vector<float> &a, const std::vector<float> &b) {
    return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Rounding of a small fp32 computation whose largest value is `scale`: products and sums of
// some dozens of terms, some dozens of times over. Largest seen: 9 epsilons.
double rounding(double scale) { return 16 * FLT_EPSILON * scale; }

// The same of gradients that are sums over all tokens and heads, which cancel (those of
// q_norm and k_norm above all). Largest seen: 17 epsilons.
double gradient_rounding(double scale) { return 48 * FLT_EPSILON * scale; }

// Each tensor's gradients agree to a rounding error of the tensor's largest.
void expect_close_grads(const SmallModel &m, const std::vector<float> &a,
                        const std::vector<float> &b) {
    for (int i = 0; i < m.params()->count; i++) {
        const qn_param &p = m.params()->items[i];
        const std::vector<float> x = part(a, p), y = part(b, p);
        const double scale = max_abs(y);
        EXPECT_GT(scale, 0) << p.name;
        for (int64_t j = 0; j < p.count; j++)
            EXPECT_NEAR(x[j], y[j], gradient_rounding(scale)) << p.name << " element " << j;
    }
}

// ---- the forward pass -----------------------------------------------------------------

TEST_P(Transformer, LossesAreTheReferences) {
    SmallModel m(config(), options());
    ASSERT_TRUE(m.model);
    const Batch b = batch(1);
    const reference::Losses expected = reference::Transformer(m.config, m.weights()).run(b);
    EXPECT_NEAR(m.step(b), expected.sum, rounding(expected.sum));
    const std::vector<float> losses = m.buffer(QN_BUF_LOSSES);
    for (size_t n = 0; n < losses.size(); n++)
        EXPECT_NEAR(losses[n], expected.losses[n], rounding(4)) << "token " << n;

    const qn_batch host = view(b);
    double evaluated = NAN;
    ASSERT_OK(qn_model_evaluate(m.model, &host, &evaluated));
    EXPECT_NEAR(evaluated, expected.sum, rounding(expected.sum));
}

// What an ignored target leaves behind is exactly nothing.
TEST_P(Transformer, IgnoredTargetsCountNowhere) {
    SmallModel m(config(), options());
    ASSERT_TRUE(m.model);
    Batch b = batch(2);
    m.step(b);
    const std::vector<float> losses = m.buffer(QN_BUF_LOSSES);
    for (size_t n = 0; n < losses.size(); n++) EXPECT_EQ(b.targets[n] < 0, losses[n] == 0);

    std::fill(b.targets.begin(), b.targets.end(), -100);
    const qn_batch host = view(b);
    double sum = NAN;
    ASSERT_OK(qn_model_zero_grads(m.model));
    ASSERT_OK(qn_model_forward(m.model, &host, 0, 1));
    ASSERT_OK(qn_model_backward(m.model, nullptr, nullptr));
    ASSERT_OK(qn_model_loss_sum(m.model, 1, &sum));
    EXPECT_EQ(sum, 0);
    EXPECT_EQ(max_abs(m.buffer(QN_BUF_GRADS)), 0);
}

// bf16 keeps 8 bits of each operand.
TEST_P(Transformer, Bf16IsCloseToFp32) {
    qn_plan_options o = options();
    SmallModel exact(config(), o);
    o.compute = QN_BF16;
    SmallModel rounded(config(), o);
    ASSERT_TRUE(exact.model && rounded.model);
    const Batch b = batch(3);
    const double expected = exact.step(b);
    const double found = rounded.step(b);
    EXPECT_NE(found, expected);
    EXPECT_NEAR(found, expected, 0x1p-8 * expected);
    double difference = 0, size = 0;
    const std::vector<float> x = rounded.buffer(QN_BUF_GRADS), y = exact.buffer(QN_BUF_GRADS);
    for (size_t i = 0; i < y.size(); i++) {
        difference += std::pow((double)x[i] - y[i], 2);
        size += std::pow(y[i], 2);
    }
    EXPECT_LT(std::sqrt(difference / size), 0x1p-4);
}

// ---- the backward pass ------------------------------------------------------------------

// The derivative of the reference's mean loss along a direction of one tensor, by central
// differences.
double finite_difference(const SmallModel &m, const Batch &b, const char *name,
                         const reference::Vector &direction) {
    const double step = 3e-5;
    reference::Weights weights = m.weights();
    const reference::Vector origin = weights.at(name);
    auto loss = [&](double distance) {
        reference::Vector &w = weights.at(name);
        for (size_t i = 0; i < w.size(); i++) w[i] = origin[i] + distance * direction[i];
        const reference::Losses out = reference::Transformer(m.config, weights).run(b);
        return out.sum / (double)out.n_targets;
    };
    return (loss(step) - loss(-step)) / (2 * step);
}

// One random direction over all elements, of length 1, and two single elements.
std::vector<reference::Vector> directions(int64_t count, std::mt19937 *random) {
    std::vector<reference::Vector> out(1, reference::Vector(count));
    for (double &d : out[0])
        d = std::normal_distribution<double>()(*random) / std::sqrt((double)count);
    for (int i = 0; i < 2; i++) {
        out.emplace_back(count, 0.0);
        out.back()[(*random)() % count] = 1;
    }
    return out;
}

TEST_P(Transformer, GradientsAreFiniteDifferences) {
    SmallModel m(config(), options());
    ASSERT_TRUE(m.model);
    const Batch b = batch(4);
    m.step(b);
    const std::vector<float> grads = m.buffer(QN_BUF_GRADS);
    std::mt19937 random(5);
    for (int i = 0; i < m.params()->count; i++) {
        const qn_param &p = m.params()->items[i];
        const std::vector<float> g = part(grads, p);
        for (const reference::Vector &d : directions(p.count, &random)) {
            const double found = std::inner_product(g.begin(), g.end(), d.begin(), 0.0);
            const double expected = finite_difference(m, b, p.name, d);
            EXPECT_NEAR(found, expected, gradient_rounding(max_abs(g))) << p.name;
        }
    }
}

// Nothing else may touch the zeros between the groups of parameters.
TEST_P(Transformer, PaddingHasNoGradient) {
    SmallModel m(config(), options());
    ASSERT_TRUE(m.model);
    m.step(batch(4));
    std::vector<float> grads = m.buffer(QN_BUF_GRADS);
    for (int i = 0; i < m.params()->count; i++) {
        const qn_param &p = m.params()->items[i];
        std::fill_n(grads.begin() + p.offset, p.count, 0.0f);
    }
    EXPECT_EQ(max_abs(grads), 0);
}

// ---- what must not matter -----------------------------------------------------------------

TEST_P(Transformer, RecomputationGivesTheSameBits) {
    qn_plan_options o = options();
    SmallModel kept(config(), o);
    ASSERT_TRUE(kept.model);
    const Batch b = batch(6);
    const double loss = kept.step(b);
    for (qn_recompute policy : {QN_RECOMPUTE_NORMS, QN_RECOMPUTE_BLOCK}) {
        o.recompute = policy;
        SmallModel again(config(), o);
        ASSERT_TRUE(again.model);
        EXPECT_EQ(again.step(b), loss);
        EXPECT_TRUE(same_bits(again.buffer(QN_BUF_GRADS), kept.buffer(QN_BUF_GRADS))) << policy;
    }
}

TEST_P(Transformer, TwoRunsGiveTheSameBits) {
    SmallModel first(config(), options()), second(config(), options());
    ASSERT_TRUE(first.model && second.model);
    second.step(batch(8)); // what an earlier step left behind does not matter
    const double loss = first.step(batch(7));
    EXPECT_EQ(second.step(batch(7)), loss);
    EXPECT_TRUE(same_bits(first.buffer(QN_BUF_GRADS), second.buffer(QN_BUF_GRADS)));
}

TEST_P(Transformer, NaiveAndFusedAttentionAgree) {
    qn_plan_options o = options();
    SmallModel fused(config(), o);
    o.attention = QN_ATTN_NAIVE;
    SmallModel naive(config(), o);
    ASSERT_TRUE(fused.model && naive.model);
    const Batch b = batch(9);
    const double loss = fused.step(b);
    EXPECT_NEAR(naive.step(b), loss, rounding(loss));
    expect_close_grads(naive, naive.buffer(QN_BUF_GRADS), fused.buffer(QN_BUF_GRADS));
}

TEST_P(Transformer, StatisticsDoNotChangeTheBits) {
    SmallModel plain(config(), options()), watched(config(), options());
    ASSERT_TRUE(plain.model && watched.model);
    const int64_t heads = config().n_heads, layers = config().n_layers;
    std::vector<float> sums(layers * QN_ATTN_N_SUMS * heads, 0);
    std::vector<int64_t> counts(layers * QN_ATTN_N_COUNTS * heads, 0);
    std::vector<qn_attn_stats> stats;
    for (int64_t l = 0; l < layers; l++)
        stats.push_back(
            {&sums[l * QN_ATTN_N_SUMS * heads], &counts[l * QN_ATTN_N_COUNTS * heads], 4});
    qn_model_set_stats(watched.model, stats.data());
    const Batch b = batch(10);
    EXPECT_EQ(watched.step(b), plain.step(b));
    EXPECT_TRUE(same_bits(watched.buffer(QN_BUF_GRADS), plain.buffer(QN_BUF_GRADS)));
    for (int64_t l = 0; l < layers; l++)
        for (int64_t h = 0; h < heads; h++)
            EXPECT_EQ(stats[l].counts[QN_ATTN_ROWS * heads + h], kBatch * kTokens);

    qn_model_set_stats(watched.model, nullptr);
    watched.step(b);
    EXPECT_EQ(stats[0].counts[QN_ATTN_ROWS * heads], kBatch * kTokens);
}

// A block that is computed again is not counted again.
TEST(Recomputation, CountsStatisticsOnce) {
    qn_config config = small_config("LlamaForCausalLM");
    qn_plan_options o = small_options(kBatch, kTokens);
    o.recompute = QN_RECOMPUTE_BLOCK;
    SmallModel m(config, o);
    ASSERT_TRUE(m.model);
    std::vector<float> sums(QN_ATTN_N_SUMS * config.n_heads, 0);
    std::vector<int64_t> counts(QN_ATTN_N_COUNTS * config.n_heads, 0);
    std::vector<qn_attn_stats> stats(config.n_layers, {sums.data(), counts.data(), 4});
    qn_model_set_stats(m.model, stats.data());
    m.step(random_batch(config, kBatch, kTokens, 10));
    EXPECT_EQ(counts[QN_ATTN_ROWS * config.n_heads], config.n_layers * kBatch * kTokens);
}

// ---- gradient accumulation ----------------------------------------------------------------

Batch sequences(const Batch &all, int64_t first, int64_t count) {
    Batch b = {count, all.seq_len, {}, {}, {}};
    auto cut = [&](const std::vector<int32_t> &from, std::vector<int32_t> *to) {
        if (from.empty()) return;
        to->assign(from.begin() + first * all.seq_len,
                   from.begin() + (first + count) * all.seq_len);
    };
    cut(all.tokens, &b.tokens);
    cut(all.targets, &b.targets);
    cut(all.doc_start, &b.doc_start);
    return b;
}

TEST_P(Transformer, MicroStepsAddUpToTheWholeBatch) {
    constexpr int64_t kMicroSteps = 3;
    const Batch all = batch(11, kMicroSteps * kBatch);
    SmallModel whole(config(), options(kMicroSteps * kBatch));
    qn_plan_options o = options();
    o.grad_accum = kMicroSteps;
    SmallModel parts(config(), o);
    ASSERT_TRUE(whole.model && parts.model);
    const double loss = whole.step(all);

    int64_t n_targets = 0;
    for (int32_t target : all.targets) n_targets += target >= 0;
    ASSERT_OK(qn_model_zero_grads(parts.model));
    for (int64_t i = 0; i < kMicroSteps; i++) {
        const Batch some = sequences(all, i * kBatch, kBatch);
        const qn_batch host = view(some);
        ASSERT_OK(qn_model_forward(parts.model, &host, i, (float)(1.0 / (double)n_targets)));
        ASSERT_OK(qn_model_backward(parts.model, nullptr, nullptr));
    }
    double sum = NAN;
    ASSERT_OK(qn_model_loss_sum(parts.model, kMicroSteps, &sum));
    EXPECT_NEAR(sum, loss, rounding(loss));
    expect_close_grads(parts, parts.buffer(QN_BUF_GRADS), whole.buffer(QN_BUF_GRADS));
}

struct Announced {
    SmallModel *model;
    std::vector<float> grads; // as they were when they were announced
    std::vector<int> times;
};

qn_status take(void *context, int64_t offset, int64_t count, qn_stream *stream) {
    auto *a = static_cast<Announced *>(context);
    EXPECT_EQ(stream, qn_model_stream(a->model->model));
    if (offset < 0 || count < 1 || offset + count > (int64_t)a->times.size())
        return qn_error(QN_CODE_INVALID, "range %lld, %lld", (long long)offset, (long long)count);
    const std::vector<float> now = a->model->buffer(QN_BUF_GRADS);
    for (int64_t i = offset; i < offset + count; i++) {
        a->grads[i] = now[i];
        a->times[i]++;
    }
    return QN_OK;
}

TEST_P(Transformer, GradientsAreAnnouncedOnceWhenFinal) {
    SmallModel m(config(), options());
    ASSERT_TRUE(m.model);
    const size_t n = (size_t)m.params()->n_elements;
    const Batch b = batch(12);
    const qn_batch host = view(b);
    Announced announced = {&m, std::vector<float>(n), std::vector<int>(n)};
    ASSERT_OK(qn_model_zero_grads(m.model));
    ASSERT_OK(qn_model_forward(m.model, &host, 0, 0.1f));
    ASSERT_OK(qn_model_backward(m.model, take, &announced));
    EXPECT_EQ(announced.times, std::vector<int>(n, 1));
    EXPECT_TRUE(same_bits(announced.grads, m.buffer(QN_BUF_GRADS)));
}

qn_status refuse(void *, int64_t, int64_t, qn_stream *) {
    return qn_error(QN_CODE_IO, "the other rank is gone");
}

TEST(Announcement, ErrorEndsTheBackwardPass) {
    const qn_config config = small_config("LlamaForCausalLM");
    SmallModel m(config, small_options(1, 8));
    ASSERT_TRUE(m.model);
    const Batch b = random_batch(config, 1, 8, 1);
    const qn_batch host = view(b);
    ASSERT_OK(qn_model_forward(m.model, &host, 0, 1));
    EXPECT_ERROR(qn_model_backward(m.model, refuse, nullptr), QN_CODE_IO, "the other rank");
}

// ---- generation -----------------------------------------------------------------------------

// Columns [first, first + count) of the (B,T) tokens.
std::vector<int32_t> columns(const Batch &b, int64_t first, int64_t count) {
    std::vector<int32_t> out;
    for (int64_t s = 0; s < b.n_sequences; s++)
        for (int64_t t = first; t < first + count; t++) out.push_back(b.tokens[s * b.seq_len + t]);
    return out;
}

TEST_P(Transformer, CacheGivesTheLogitsOfTheWholeSequence) {
    const int64_t length = 2 * kTokens;
    const Batch b = random_batch(config(), kBatch, length, 13);
    SmallModel m(config(), small_options(kBatch, length, QN_PLAN_GENERATE));
    ASSERT_TRUE(m.model);
    const int64_t V = config().vocab_size;
    const reference::Losses expected = reference::Transformer(m.config, m.weights()).run(b);
    const std::vector<std::vector<int64_t>> plans = {
        std::vector<int64_t>(length, 1), {length}, {5, 1, 7, 1, 1, 11}, {1, length - 1}};
    for (const std::vector<int64_t> &chunks : plans) {
        int64_t start = 0;
        for (int64_t count : chunks) {
            std::vector<float> logits(kBatch * V, NAN);
            ASSERT_OK(qn_model_extend(m.model, columns(b, start, count).data(), start, count,
                                      logits.data()));
            start += count;
            for (int64_t s = 0; s < kBatch; s++) {
                const reference::Vector &row = expected.logits[s * length + start - 1];
                for (int64_t v = 0; v < V; v++)
                    EXPECT_NEAR(logits[s * V + v], row[v], rounding(8)) << "position " << start - 1;
            }
        }
        ASSERT_EQ(start, length);
    }
}

TEST(Generation, RefusesPositionsOutsideTheCache) {
    const qn_config config = small_config("LlamaForCausalLM");
    SmallModel m(config, small_options(1, 8, QN_PLAN_GENERATE));
    ASSERT_TRUE(m.model);
    const std::vector<int32_t> tokens(16, 1);
    std::vector<float> logits(config.vocab_size);
    auto extend = [&](int64_t start, int64_t count) {
        return qn_model_extend(m.model, tokens.data(), start, count, logits.data());
    };
    EXPECT_OK(extend(0, 8));
    EXPECT_ERROR(extend(0, 9), QN_CODE_INVALID, "8");
    EXPECT_ERROR(extend(8, 1), QN_CODE_INVALID, "8");
    EXPECT_ERROR(extend(-1, 2), QN_CODE_INVALID, "-1");
    EXPECT_ERROR(extend(3, 0), QN_CODE_INVALID, "3");
    EXPECT_ERROR(extend(INT64_MAX, INT64_MAX), QN_CODE_INVALID, "8");
}

// ---- misuse ------------------------------------------------------------------------------------

TEST(Misuse, PassesNeedTheirPlan) {
    const qn_config config = small_config("LlamaForCausalLM");
    const Batch b = random_batch(config, 1, 8, 1);
    const qn_batch host = view(b);
    std::vector<float> logits(config.vocab_size);
    double sum;
    SmallModel train(config, small_options(1, 8));
    SmallModel eval(config, small_options(1, 8, QN_PLAN_EVAL));
    SmallModel generate(config, small_options(1, 8, QN_PLAN_GENERATE));
    ASSERT_TRUE(train.model && eval.model && generate.model);
    EXPECT_ERROR(qn_model_extend(train.model, b.tokens.data(), 0, 1, logits.data()),
                 QN_CODE_INVALID, "QN_PLAN_GENERATE");
    EXPECT_ERROR(qn_model_forward(eval.model, &host, 0, 1), QN_CODE_INVALID, "QN_PLAN_TRAIN");
    EXPECT_ERROR(qn_model_backward(eval.model, nullptr, nullptr), QN_CODE_INVALID, "QN_PLAN_TRAIN");
    EXPECT_ERROR(qn_model_zero_grads(eval.model), QN_CODE_INVALID, "QN_PLAN_TRAIN");
    EXPECT_ERROR(qn_model_evaluate(generate.model, &host, &sum), QN_CODE_INVALID,
                 "QN_PLAN_GENERATE");
    EXPECT_ERROR(qn_model_loss_sum(generate.model, 1, &sum), QN_CODE_INVALID, "1");
    EXPECT_ERROR(qn_model_forward(train.model, &host, 2, 1), QN_CODE_INVALID, "slot 2", "0 to 0",
                 "1, the spare");
    EXPECT_ERROR(qn_model_forward(train.model, &host, -1, 1), QN_CODE_INVALID, "slot -1");
    EXPECT_ERROR(qn_model_loss_sum(train.model, 2, &sum), QN_CODE_INVALID, "2");
}

TEST(Misuse, TokensOutsideTheVocabulary) {
    const qn_config config = small_config("LlamaForCausalLM");
    SmallModel m(config, small_options(1, 8));
    ASSERT_TRUE(m.model);
    Batch b = random_batch(config, 1, 8, 1);
    const qn_batch host = view(b);
    double sum;
    b.tokens[3] = 61;
    EXPECT_ERROR(qn_model_evaluate(m.model, &host, &sum), QN_CODE_INVALID, "61");
    b.tokens[3] = -1;
    EXPECT_ERROR(qn_model_evaluate(m.model, &host, &sum), QN_CODE_INVALID, "-1");
    b.tokens[3] = 0;
    b.targets[3] = 61;
    EXPECT_ERROR(qn_model_evaluate(m.model, &host, &sum), QN_CODE_INVALID, "61");
}

// An evaluation between two training steps leaves nothing behind.
TEST(Evaluation, LeavesTrainingAsItWas) {
    const qn_config config = small_config("LlamaForCausalLM");
    SmallModel plain(config, small_options(1, 8)), evaluated(config, small_options(1, 8));
    SmallModel small(config, small_options(1, 8, QN_PLAN_EVAL));
    ASSERT_TRUE(plain.model && evaluated.model && small.model);
    const Batch b = random_batch(config, 1, 8, 1), other = random_batch(config, 1, 8, 2);
    const qn_batch host = view(other);
    const double loss = plain.step(b);
    double sum, sum_of_small;
    ASSERT_OK(qn_model_zero_grads(evaluated.model));
    ASSERT_OK(qn_model_evaluate(evaluated.model, &host, &sum));
    EXPECT_EQ(max_abs(evaluated.buffer(QN_BUF_GRADS)), 0);
    EXPECT_EQ(evaluated.step(b), loss);
    EXPECT_TRUE(same_bits(evaluated.buffer(QN_BUF_GRADS), plain.buffer(QN_BUF_GRADS)));
    ASSERT_OK(qn_model_evaluate(small.model, &host, &sum_of_small));
    EXPECT_EQ(sum, sum_of_small);
}

} // namespace
