// test_storage.cc: models whose activations and working parameters are stored in bf16. Their
// errors may be twice those of the plain computation: of the reference with everything rounded
// that is stored; for gradients, of a model that rounds only the operands of its products.
#include <algorithm>

#include "harness/small_model.h"
#include "harness/temp_dir.h"

namespace {

constexpr int64_t kBatch = 2, kTokens = 13;

struct Case {
    const char *name;
    qn_config config;
};

void PrintTo(const Case &c, std::ostream *out) { *out << c.name; }

class Storage : public testing::TestWithParam<Case> {
  protected:
    const qn_config &config() const { return GetParam().config; }
    reference::Batch batch(uint32_t seed) const {
        return random_batch(config(), kBatch, kTokens, seed, 5);
    }
};

INSTANTIATE_TEST_SUITE_P(
    Models, Storage,
    testing::Values(Case{"llama", small_config("LlamaForCausalLM")},
                    Case{"qwen3_groups", with_groups(small_config("Qwen3ForCausalLM"))},
                    Case{"qwen3_odd", untied(with_odd_widths(small_config("Qwen3ForCausalLM")))},
                    Case{"gpt2", small_config("GPT2LMHeadModel")}),
    [](const auto &info) { return info.param.name; });

double distance(const std::vector<float> &x, const std::vector<float> &y) {
    double sum = 0;
    for (size_t i = 0; i < y.size(); i++) sum += std::pow((double)x[i] - y[i], 2);
    return std::sqrt(sum);
}

std::vector<float> rounded(std::vector<float> x) {
    for (float &v : x) v = qn_round_bf16(v);
    return x;
}

// ---- the plan ------------------------------------------------------------------------------

TEST_P(Storage, DtypesOfBuffers) {
    for (qn_plan_mode mode : {QN_PLAN_TRAIN, QN_PLAN_EVAL, QN_PLAN_GENERATE}) {
        SmallModel m(config(), bf16_storage(small_options(kBatch, kTokens, mode)));
        ASSERT_TRUE(m.model);
        const std::vector<qn_buffer_id> fp32 = {
            QN_BUF_PARAMS,     QN_BUF_GRADS,      QN_BUF_ADAM_M,     QN_BUF_ADAM_V,
            QN_BUF_ROPE,       QN_BUF_NORM1_MEAN, QN_BUF_NORM1_RSTD, QN_BUF_QK_RSTD,
            QN_BUF_LSE,        QN_BUF_NORM2_MEAN, QN_BUF_NORM2_RSTD, QN_BUF_FINAL_MEAN,
            QN_BUF_FINAL_RSTD, QN_BUF_LOSSES,     QN_BUF_LOSS_SUMS,  QN_BUF_GRAD_SUMSQ,
            QN_BUF_LOGITS,     QN_BUF_WORKSPACE,  QN_BUF_ATTN_SUMS,  QN_BUF_GRAD_PARTS};
        for (int id = 0; id < QN_N_BUFFERS; id++) {
            const qn_buffer &b = qn_model_plan(m.model)->buffers[id];
            if (!b.name || b.dtype == QN_I32 || b.dtype == QN_I64) continue;
            const bool wide = std::count(fp32.begin(), fp32.end(), (qn_buffer_id)id);
            EXPECT_EQ(b.dtype, wide ? QN_F32 : QN_BF16) << b.name;
        }
    }
}

// Training keeps masters and a working copy of half their bytes; reading keeps the copy alone.
TEST_P(Storage, MastersAreKeptForTraining) {
    SmallModel train(config(), bf16_storage(small_options(1, 8)));
    SmallModel eval(config(), bf16_storage(small_options(1, 8, QN_PLAN_EVAL)));
    SmallModel fp32(config(), small_options(1, 8));
    ASSERT_TRUE(train.model && eval.model && fp32.model);
    const qn_plan *plan = qn_model_plan(train.model);
    const size_t n = (size_t)train.params()->n_elements;
    EXPECT_EQ(plan->buffers[QN_BUF_WEIGHTS].count, plan->buffers[QN_BUF_PARAMS].count);
    EXPECT_NEAR((double)plan->group_bytes[QN_GROUP_PARAMS], 6.0 * (double)n, 512);
    EXPECT_NEAR((double)qn_model_plan(eval.model)->group_bytes[QN_GROUP_PARAMS], 2.0 * (double)n,
                256);
    EXPECT_EQ(qn_model_buffer(eval.model, QN_BUF_PARAMS), nullptr);
    EXPECT_EQ(qn_model_buffer(fp32.model, QN_BUF_WEIGHTS), nullptr);
}

// ---- the passes ----------------------------------------------------------------------------

struct Step {
    double loss;
    std::vector<float> grads;
};

Step take_step(const qn_config &config, const qn_plan_options &options,
               const reference::Batch &batch) {
    SmallModel m(config, options);
    if (!m.model) return {NAN, {}};
    const double loss = m.step(batch);
    return {loss, m.buffer(QN_BUF_GRADS)};
}

// Differences of losses from the exact ones, token by token.
std::vector<float> difference(const std::vector<float> &x, const reference::Losses &exact) {
    std::vector<float> out;
    for (size_t i = 0; i < exact.losses.size(); i++)
        out.push_back((float)((double)x[i] - exact.losses[i]));
    return out;
}

double size_of(const std::vector<float> &x) { return distance(x, std::vector<float>(x.size())); }

TEST_P(Storage, LossesAreAsGoodAsPlain) {
    double error = 0, plain_error = 0;
    for (uint32_t seed = 1; seed <= 4; seed++) {
        SmallModel fp32(config(), small_options(kBatch, kTokens));
        SmallModel m(config(), bf16_storage(small_options(kBatch, kTokens)));
        ASSERT_TRUE(fp32.model && m.model);
        const reference::Batch b = batch(seed);
        const auto exact = reference::Transformer(config(), fp32.weights()).run(b);
        const auto plain = reference::Transformer(config(), m.weights(), true).run(b);
        m.step(b);
        error += size_of(difference(m.buffer(QN_BUF_LOSSES), exact));
        plain_error += size_of(difference({plain.losses.begin(), plain.losses.end()}, exact));
    }
    EXPECT_GT(error, 0);
    EXPECT_LE(error, 2 * plain_error);
}

TEST_P(Storage, GradientsAreAsGoodAsPlain) {
    double error = 0, plain_error = 0;
    for (uint32_t seed = 1; seed <= 4; seed++) {
        const qn_plan_options o = small_options(kBatch, kTokens);
        const Step exact = take_step(config(), o, batch(seed));
        const Step plain = take_step(config(), bf16_products(o), batch(seed));
        const Step stored = take_step(config(), bf16_storage(o), batch(seed));
        ASSERT_EQ(stored.grads.size(), exact.grads.size());
        error += distance(stored.grads, exact.grads);
        plain_error += distance(plain.grads, exact.grads);
    }
    EXPECT_GT(error, 0);
    EXPECT_LE(error, 2 * plain_error);
}

// What is made again from what was stored has the same bits; but GELU of the feed-forward's
// input may have been taken before that was rounded.
TEST_P(Storage, RecomputationChangesNothing) {
    qn_plan_options o = bf16_storage(small_options(kBatch, kTokens));
    const Step exact = take_step(config(), small_options(kBatch, kTokens), batch(6));
    const Step kept = take_step(config(), o, batch(6));
    for (qn_recompute policy : {QN_RECOMPUTE_NORMS, QN_RECOMPUTE_BLOCK}) {
        o.recompute = policy;
        const Step again = take_step(config(), o, batch(6));
        EXPECT_EQ(again.loss, kept.loss);
        if (config().arch == QN_ARCH_GPT2 && policy == QN_RECOMPUTE_NORMS)
            EXPECT_LE(distance(again.grads, kept.grads), distance(kept.grads, exact.grads));
        else
            EXPECT_EQ(again.grads, kept.grads) << policy;
    }
}

TEST_P(Storage, NaiveAttentionIsAsGood) {
    qn_plan_options o = small_options(kBatch, kTokens);
    o.attention = QN_ATTN_NAIVE;
    const Step exact = take_step(config(), o, batch(7));
    const Step plain = take_step(config(), bf16_products(o), batch(7));
    const Step stored = take_step(config(), bf16_storage(o), batch(7));
    EXPECT_LE(distance(stored.grads, exact.grads), 2 * distance(plain.grads, exact.grads));
}

// ---- generation ----------------------------------------------------------------------------

// Logits (length,B,V) of a sequence that is given in pieces, after the last piece of each.
std::vector<float> generate(const SmallModel &m, const reference::Batch &b,
                            const std::vector<int64_t> &pieces) {
    const int64_t V = m.config.vocab_size, B = b.n_sequences;
    std::vector<float> logits(B * V, NAN);
    int64_t start = 0;
    for (int64_t count : pieces) {
        std::vector<int32_t> tokens;
        for (int64_t s = 0; s < B; s++)
            for (int64_t t = start; t < start + count; t++)
                tokens.push_back(b.tokens[s * b.seq_len + t]);
        EXPECT_OK(qn_model_extend(m.model, tokens.data(), start, count, logits.data()));
        start += count;
    }
    return logits;
}

TEST_P(Storage, CacheGivesTheLogitsOfTheWholeSequence) {
    const qn_plan_options o = small_options(kBatch, 2 * kTokens, QN_PLAN_GENERATE);
    const reference::Batch b = random_batch(config(), kBatch, 2 * kTokens, 13);
    SmallModel fp32(config(), o), m(config(), bf16_storage(o));
    ASSERT_TRUE(fp32.model && m.model);
    auto last_logits = [&](const SmallModel &weights, bool bf16) {
        const auto all = reference::Transformer(config(), weights.weights(), bf16).run(b).logits;
        std::vector<float> out;
        for (int64_t s = 1; s <= kBatch; s++)
            for (double x : all[s * 2 * kTokens - 1]) out.push_back((float)x);
        return out;
    };
    const std::vector<float> exact = last_logits(fp32, false);
    const double plain_error = distance(last_logits(m, true), exact);
    const std::vector<int64_t> whole = {2 * kTokens}, singly(2 * kTokens, 1);
    for (const std::vector<int64_t> &pieces :
         {whole, singly, std::vector<int64_t>{5, 1, 7, 1, 1, 11}}) {
        EXPECT_LE(distance(generate(m, b, pieces), exact), 2 * plain_error);
    }
}

// ---- the working copy ------------------------------------------------------------------------

TEST_P(Storage, InitialWeightsAreRoundedMasters) {
    SmallModel m(config(), bf16_storage(small_options(1, 8)), 3);
    SmallModel eval(config(), bf16_storage(small_options(1, 8, QN_PLAN_EVAL)), 4);
    ASSERT_TRUE(m.model && eval.model);
    ASSERT_OK(qn_model_init(m.model, 5));
    ASSERT_OK(qn_model_init(eval.model, 5));
    const std::vector<float> masters = m.buffer(QN_BUF_PARAMS);
    EXPECT_NE(masters, rounded(masters));
    EXPECT_EQ(m.buffer(QN_BUF_WEIGHTS), rounded(masters));
    EXPECT_EQ(eval.buffer(QN_BUF_WEIGHTS), rounded(masters));
}

TEST_P(Storage, LoadingRoundsIntoTheWorkingCopy) {
    TempDir dir;
    const std::string path = dir.path();
    SmallModel saved(config(), small_options(1, 8), 1);
    SmallModel train(config(), bf16_storage(small_options(1, 8)), 2);
    SmallModel eval(config(), bf16_storage(small_options(1, 8, QN_PLAN_EVAL)), 2);
    ASSERT_TRUE(saved.model && train.model && eval.model);
    ASSERT_OK(qn_model_save(saved.model, path.c_str(), nullptr));
    ASSERT_OK(qn_model_load(train.model, path.c_str()));
    ASSERT_OK(qn_model_load(eval.model, path.c_str()));
    const std::vector<float> params = saved.buffer(QN_BUF_PARAMS);
    EXPECT_EQ(train.buffer(QN_BUF_PARAMS), params);
    EXPECT_EQ(train.buffer(QN_BUF_WEIGHTS), rounded(params));
    EXPECT_EQ(eval.buffer(QN_BUF_WEIGHTS), rounded(params));
}

// A training model saves its masters, one without any the bf16 that it has.
TEST_P(Storage, SavingKeepsAllDigitsThatThereAre) {
    TempDir dir;
    const std::string path = dir.path();
    for (qn_plan_mode mode : {QN_PLAN_TRAIN, QN_PLAN_EVAL}) {
        const qn_plan_options o = bf16_storage(small_options(1, 8, mode));
        SmallModel saved(config(), o, 1), loaded(config(), o, 2);
        SmallModel fp32(config(), small_options(1, 8), 3);
        ASSERT_TRUE(saved.model && loaded.model && fp32.model);
        ASSERT_OK(qn_model_save(saved.model, path.c_str(), nullptr));
        ASSERT_OK(qn_model_load(loaded.model, path.c_str()));
        ASSERT_OK(qn_model_load(fp32.model, path.c_str()));
        const qn_buffer_id best = saved.params_id();
        EXPECT_EQ(best, mode == QN_PLAN_TRAIN ? QN_BUF_PARAMS : QN_BUF_WEIGHTS);
        EXPECT_EQ(loaded.buffer(best), saved.buffer(best));
        EXPECT_EQ(fp32.buffer(QN_BUF_PARAMS), saved.buffer(best));
    }
}

} // namespace
