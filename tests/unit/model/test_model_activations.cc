// test_model_activations.cc: what a pass left inside a model: q, k, v, the residual stream and the
// logits of every depth against the float64 reference; parameters out and in; misuse.
#include <cfloat>

#include "harness/accuracy.h"
#include "harness/small_model.h"
#include "quern/activations.h"

namespace {

constexpr int64_t kBatch = 3, kTokens = 23; // more tokens than logits are made of at once

struct Case {
    const char *name;
    qn_config config;
    bool documents = false;
};

void PrintTo(const Case &c, std::ostream *out) { *out << c.name; }

class ModelActivations : public testing::TestWithParam<Case> {
  protected:
    const qn_config &config() const { return GetParam().config; }
    qn_plan_options options() const {
        qn_plan_options o = small_options(kBatch, kTokens, QN_PLAN_INSPECT);
        o.documents = GetParam().documents;
        return o;
    }
    reference::Batch batch(uint32_t seed) const {
        const reference::Batch b = random_batch(config(), kBatch, kTokens, seed, 5);
        return GetParam().documents ? with_documents(b, seed) : b;
    }
    int64_t heads_of(int part) const { return part ? config().n_kv_heads : config().n_heads; }
};

INSTANTIATE_TEST_SUITE_P(
    Models, ModelActivations,
    testing::Values(
        Case{"llama_groups", with_groups(small_config("LlamaForCausalLM"))},
        Case{"mistral_window", with_window(with_groups(small_config("MistralForCausalLM")))},
        Case{"qwen2_documents", small_config("Qwen2ForCausalLM"), true},
        Case{"qwen3_odd", untied(with_odd_widths(with_groups(small_config("Qwen3ForCausalLM"))))},
        Case{"gpt2", small_config("GPT2LMHeadModel")},
        Case{"gpt2_untied", untied(small_config("GPT2LMHeadModel"))}),
    [](const auto &info) { return info.param.name; });

double evaluate(const SmallModel &m, const reference::Batch &batch) {
    const qn_batch b = view(batch);
    double loss = NAN;
    EXPECT_OK(qn_model_evaluate(m.model, &b, &loss));
    return loss;
}

std::vector<float> read_heads(const SmallModel &m, int64_t layer, int part, int64_t n_heads) {
    std::vector<float> x(kBatch * kTokens * n_heads * m.config.head_dim);
    EXPECT_OK(qn_model_read_heads(m.model, layer, (qn_head_part)part, x.data()));
    return x;
}
std::vector<float> read_residual(const SmallModel &m, int64_t depth) {
    std::vector<float> x(kBatch * kTokens * m.config.hidden_size);
    EXPECT_OK(qn_model_read_residual(m.model, depth, x.data()));
    return x;
}
std::vector<float> read_logits(const SmallModel &m, int64_t depth, int64_t first, int64_t count) {
    std::vector<float> x(count * m.config.vocab_size);
    EXPECT_OK(qn_model_read_logits(m.model, depth, first, count, x.data()));
    return x;
}

std::vector<double> flat(const reference::Rows &rows) {
    std::vector<double> out;
    for (const reference::Vector &row : rows) out.insert(out.end(), row.begin(), row.end());
    return out;
}

// ---- values --------------------------------------------------------------------------------

// Products and sums of some dozens of terms, some dozens of times over, as in test_transformer.cc.
void expect_close(const std::string &name, const std::vector<float> &x,
                  const std::vector<double> &exact) {
    ASSERT_EQ(x.size(), exact.size()) << name;
    double scale = 0;
    for (double v : exact) scale = std::max(scale, std::fabs(v));
    EXPECT_GT(scale, 0) << name;
    for (size_t i = 0; i < x.size(); i++)
        ASSERT_NEAR(x[i], exact[i], 16 * FLT_EPSILON * scale) << name << " element " << i;
}

TEST_P(ModelActivations, AreTheReferences) {
    SmallModel m(config(), options());
    const reference::Batch b = batch(3);
    reference::Trace trace;
    reference::Transformer(config(), m.weights()).run(b, &trace);
    evaluate(m, b);
    for (int64_t l = 0; l < config().n_layers; l++)
        for (int part = 0; part < 3; part++)
            expect_close(std::string(1, "qkv"[part]) + " of layer " + std::to_string(l),
                         read_heads(m, l, part, heads_of(part)), flat(trace.qkv[l][part]));
    for (int64_t depth = 0; depth <= config().n_layers; depth++) {
        const std::string name = " at depth " + std::to_string(depth);
        expect_close("residual" + name, read_residual(m, depth), flat(trace.residual[depth]));
        expect_close("logits" + name, read_logits(m, depth, 0, kBatch * kTokens),
                     flat(trace.logits[depth]));
    }
}

// With everything stored in bf16: as good as the reference that rounds all that is stored.
TEST_P(ModelActivations, OfBf16StorageAreAsGoodAsPlain) {
    SmallModel m(config(), bf16_storage(options()));
    const reference::Batch b = batch(3);
    reference::Trace exact, plain;
    reference::Transformer(config(), m.weights()).run(b, &exact);
    reference::Transformer(config(), m.weights(), true).run(b, &plain);
    evaluate(m, b);
    const auto compare = [](const std::string &name, const std::vector<float> &x,
                            const reference::Rows &exact, const reference::Rows &plain) {
        harness::expect_stored(QN_BF16, name, x, flat(exact), harness::convert<float>(flat(plain)));
    };
    for (int64_t l = 0; l < config().n_layers; l++)
        for (int part = 0; part < 3; part++)
            compare(std::string(1, "qkv"[part]) + " of layer " + std::to_string(l),
                    read_heads(m, l, part, heads_of(part)), exact.qkv[l][part], plain.qkv[l][part]);
    for (int64_t depth = 0; depth <= config().n_layers; depth++) {
        const std::string name = " at depth " + std::to_string(depth);
        compare("residual" + name, read_residual(m, depth), exact.residual[depth],
                plain.residual[depth]);
        compare("logits" + name, read_logits(m, depth, 0, kBatch * kTokens), exact.logits[depth],
                plain.logits[depth]);
    }
}

// The logits of the last depth are the model's own; reading others changes nothing of that.
TEST_P(ModelActivations, OfTheLastDepthGiveTheLoss) {
    for (const qn_plan_options &o : {options(), bf16_storage(options())}) {
        SmallModel m(config(), o);
        const reference::Batch b = batch(4);
        const double loss = evaluate(m, b);
        const int64_t N = kBatch * kTokens, V = config().vocab_size;
        read_logits(m, 0, 0, N);
        const std::vector<float> logits = read_logits(m, config().n_layers, 0, N);
        double sum = 0;
        for (int64_t n = 0; n < N; n++) {
            if (b.targets[n] < 0) continue;
            double total = 0;
            for (int64_t v = 0; v < V; v++) total += std::exp((double)logits[n * V + v]);
            sum += std::log(total) - logits[n * V + b.targets[n]];
        }
        EXPECT_NEAR(sum, loss, 16 * FLT_EPSILON * loss);
        EXPECT_EQ(evaluate(m, b), loss);
    }
}

// Those of the range that was asked for, within what is made at once and across it.
TEST_P(ModelActivations, LogitsOfARange) {
    SmallModel m(config(), options());
    evaluate(m, batch(5));
    const int64_t N = kBatch * kTokens, V = config().vocab_size;
    const std::vector<float> all = read_logits(m, 1, 0, N);
    for (const auto &range :
         std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {61, 7}, {N - 1, 1}}) {
        const std::vector<float> part = read_logits(m, 1, range.first, range.second);
        for (int64_t i = 0; i < (int64_t)part.size(); i++)
            EXPECT_NEAR(part[i], all[range.first * V + i], 1e-5) << range.first;
    }
    EXPECT_OK(qn_model_read_logits(m.model, 1, N, 0, nullptr));
}

// ---- parameters ------------------------------------------------------------------------------

TEST_P(ModelActivations, AParameterAloneIsWritten) {
    for (const qn_plan_options &o : {options(), bf16_storage(options())}) {
        SmallModel m(config(), o);
        const qn_param *p = qn_params_find(m.params(), QN_O_W, 1);
        const std::vector<float> before = m.buffer(m.params_id());
        std::vector<float> values(p->count), other(p->count, 0.5f), found(p->count);
        ASSERT_OK(qn_model_read_param(m.model, p, values.data()));
        EXPECT_TRUE(std::equal(values.begin(), values.end(), before.begin() + p->offset));
        ASSERT_OK(qn_model_write_param(m.model, p, other.data()));
        ASSERT_OK(qn_model_read_param(m.model, p, found.data()));
        EXPECT_EQ(found, other);
        std::vector<float> expected = before;
        std::fill_n(expected.begin() + p->offset, p->count, 0.5f);
        EXPECT_EQ(m.buffer(m.params_id()), expected);
        ASSERT_OK(qn_model_write_param(m.model, p, values.data()));
        EXPECT_EQ(m.buffer(m.params_id()), before);
    }
}

// A training plan that stores bf16 keeps two copies: the precise one is read, both are written.
TEST(ModelParameters, MastersAndWorkingCopyAreWritten) {
    SmallModel m(small_config("LlamaForCausalLM"), bf16_storage(small_options(1, 8)));
    const qn_param *p = qn_params_find(m.params(), QN_O_W, 0);
    const std::vector<float> values(p->count, 1.001f); // between two bf16 values
    std::vector<float> found(p->count);
    ASSERT_OK(qn_model_write_param(m.model, p, values.data()));
    ASSERT_OK(qn_model_read_param(m.model, p, found.data()));
    EXPECT_EQ(found, values);
    EXPECT_EQ(m.buffer(QN_BUF_WEIGHTS)[p->offset], qn_round_bf16(1.001f));
}

// ---- misuse ------------------------------------------------------------------------------------

TEST(ModelActivationsMisuse, NeedsAnInspectedPlan) {
    std::vector<float> x(8 * 61);
    for (qn_plan_mode mode : {QN_PLAN_TRAIN, QN_PLAN_EVAL, QN_PLAN_GENERATE}) {
        SmallModel m(small_config("LlamaForCausalLM"), small_options(1, 8, mode));
        EXPECT_ERROR(qn_model_read_heads(m.model, 0, QN_HEAD_Q, x.data()), QN_CODE_INVALID, "heads",
                     "QN_PLAN_INSPECT");
        EXPECT_ERROR(qn_model_read_residual(m.model, 0, x.data()), QN_CODE_INVALID, "residual",
                     "QN_PLAN_INSPECT");
        EXPECT_ERROR(qn_model_read_logits(m.model, 0, 0, 1, x.data()), QN_CODE_INVALID, "logits",
                     "QN_PLAN_INSPECT");
    }
}

TEST(ModelActivationsMisuse, NamesWhatThereIs) {
    SmallModel m(small_config("LlamaForCausalLM"), small_options(2, 8, QN_PLAN_INSPECT));
    const int64_t most = std::numeric_limits<int64_t>::max();
    std::vector<float> x(16 * 61);
    for (int64_t layer : {(int64_t)-1, (int64_t)2, most})
        EXPECT_ERROR(qn_model_read_heads(m.model, layer, QN_HEAD_K, x.data()), QN_CODE_INVALID,
                     std::to_string(layer), "0 to 1");
    for (int64_t depth : {(int64_t)-1, (int64_t)3, most}) {
        EXPECT_ERROR(qn_model_read_residual(m.model, depth, x.data()), QN_CODE_INVALID,
                     std::to_string(depth), "0 to 2");
        EXPECT_ERROR(qn_model_read_logits(m.model, depth, 0, 1, x.data()), QN_CODE_INVALID,
                     std::to_string(depth), "0 to 2");
    }
    EXPECT_ERROR(qn_model_read_heads(m.model, 0, (qn_head_part)3, x.data()), QN_CODE_INVALID, "3");
    const std::vector<std::pair<int64_t, int64_t>> ranges = {{-1, 1}, {0, -1},   {16, 1},
                                                             {9, 8},  {most, 1}, {1, most}};
    for (const auto &range : ranges)
        EXPECT_ERROR(qn_model_read_logits(m.model, 0, range.first, range.second, x.data()),
                     QN_CODE_INVALID, std::to_string(range.first), std::to_string(range.second),
                     "16");
}

} // namespace
