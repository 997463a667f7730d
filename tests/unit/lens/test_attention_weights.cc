// test_attention_weights.cc: weights from q and k, against the statistics that attention itself
// makes.
#include "figures.h"
#include "harness/small_model.h"
#include "quern/activations.h"
#include "quern/probe.h"

namespace {

enum { kSequences = 2, kLength = 23 };

class Weights : public testing::TestWithParam<qn_config> {};
INSTANTIATE_TEST_SUITE_P(
    Models, Weights,
    testing::Values(small_config("LlamaForCausalLM"), small_config("GPT2LMHeadModel"),
                    with_groups(small_config("Qwen3ForCausalLM")),
                    with_window(with_groups(small_config("MistralForCausalLM"))),
                    with_odd_widths(small_config("Qwen2ForCausalLM"))));

TEST_P(Weights, AreThoseOfAttention) {
    SmallModel m(GetParam(), small_options(kSequences, kLength, QN_PLAN_INSPECT));
    const qn_config &c = m.config;
    const reference::Batch batch = random_batch(c, kSequences, kLength, 4);
    const qn_batch b = view(batch);
    std::vector<float> sums(c.n_layers * QN_ATTN_N_SUMS * c.n_heads);
    std::vector<int64_t> counts(c.n_layers * QN_ATTN_N_COUNTS * c.n_heads);
    std::vector<qn_attn_stats> stats(c.n_layers);
    for (int64_t l = 0; l < c.n_layers; l++)
        stats[l] = {&sums[l * QN_ATTN_N_SUMS * c.n_heads],
                    &counts[l * QN_ATTN_N_COUNTS * c.n_heads], 4};
    qn_model_set_stats(m.model, stats.data());
    double loss;
    ASSERT_OK(qn_model_evaluate(m.model, &b, &loss));
    qn_model_set_stats(m.model, nullptr);
    for (int64_t l = 0; l < c.n_layers; l++) {
        for (int64_t h = 0; h < c.n_heads; h++) {
            double distance = 0, local = 0, most = 0, total = 0;
            for (int64_t s = 0; s < kSequences; s++) {
                std::vector<double> p(kLength * kLength);
                ASSERT_OK(qn_probe_weights(m.model, l, h, s, kLength, p.data()));
                for (int64_t i = 0; i < kLength; i++) {
                    double row_most = 0;
                    for (int64_t j = 0; j < kLength; j++) {
                        const double x = p[i * kLength + j];
                        EXPECT_TRUE(j <= i || x == 0);
                        total += x;
                        distance += x * (double)(i - j);
                        local += i - j < 4 ? x : 0;
                        row_most = std::max(row_most, x);
                    }
                    most += row_most;
                }
            }
            const float *sum = stats[l].sums + h;
            const double rows = kSequences * kLength;
            EXPECT_NEAR(total, rows, 1e-9);
            EXPECT_NEAR(distance, sum[QN_ATTN_DISTANCE * c.n_heads], 1e-5 * rows * kLength);
            EXPECT_NEAR(local, sum[QN_ATTN_LOCAL * c.n_heads], 1e-5 * rows);
            EXPECT_NEAR(most, sum[QN_ATTN_P_MAX * c.n_heads], 1e-5 * rows);
        }
    }
}

// Softmax in float64 of the scores of the keys of a row's own document.
TEST(WeightsOfDocuments, StayInside) {
    qn_plan_options options = small_options(kSequences, kLength, QN_PLAN_INSPECT);
    options.documents = true;
    SmallModel m(with_groups(small_config("LlamaForCausalLM")), options);
    const reference::Batch batch =
        with_documents(random_batch(m.config, kSequences, kLength, 4), 9);
    const qn_batch b = view(batch);
    const int64_t D = m.config.head_dim, heads = m.config.n_heads, groups = m.config.n_kv_heads;
    std::vector<float> q(kSequences * kLength * heads * D), k(kSequences * kLength * groups * D);
    double loss;
    ASSERT_OK(qn_model_evaluate(m.model, &b, &loss));
    ASSERT_OK(qn_model_read_heads(m.model, 1, QN_HEAD_Q, q.data()));
    ASSERT_OK(qn_model_read_heads(m.model, 1, QN_HEAD_K, k.data()));
    const int64_t sequence = 1, head = 3, kv = 1;
    std::vector<double> p(kLength * kLength);
    ASSERT_OK(qn_probe_weights(m.model, 1, head, sequence, kLength, p.data()));
    for (int64_t i = 0; i < kLength; i++) {
        std::vector<double> e(kLength, 0);
        double total = 0;
        for (int64_t j = batch.doc_start[sequence * kLength + i]; j <= i; j++) {
            double s = 0;
            for (int64_t d = 0; d < D; d++)
                s += (double)q[((sequence * kLength + i) * heads + head) * D + d] *
                     k[((sequence * kLength + j) * groups + kv) * D + d];
            total += e[j] = std::exp(s / std::sqrt((double)D));
        }
        for (int64_t j = 0; j < kLength; j++)
            EXPECT_NEAR(p[i * kLength + j], e[j] / total, 1e-12) << i << ", " << j;
    }
}

TEST(Activations, OfTheOutputGiveTheModelsLoss) {
    for (const qn_config &config :
         {untied(small_config("LlamaForCausalLM")), small_config("GPT2LMHeadModel")}) {
        SmallModel m(config, small_options(3, kLength, QN_PLAN_INSPECT));
        const reference::Batch batch = random_batch(m.config, 3, kLength, 4, 5);
        const qn_batch b = view(batch);
        const int64_t N = 3 * kLength, V = m.config.vocab_size;
        double loss, sum = 0;
        ASSERT_OK(qn_model_evaluate(m.model, &b, &loss));
        std::vector<float> logits(N * V), part(5 * V);
        ASSERT_OK(qn_model_read_logits(m.model, 2, 0, N, logits.data()));
        for (int64_t n = 0; n < N; n++) {
            if (batch.targets[n] < 0) continue;
            double total = 0;
            for (int64_t v = 0; v < V; v++) total += std::exp((double)logits[n * V + v]);
            sum += std::log(total) - logits[n * V + batch.targets[n]];
        }
        EXPECT_NEAR(sum, loss, 1e-4);
        ASSERT_OK(qn_model_read_logits(m.model, 2, 62, 5, part.data()));
        for (int64_t i = 0; i < 5 * V; i++) EXPECT_NEAR(part[i], logits[62 * V + i], 1e-5);
    }
}

// Depth 0 is the embeddings; each depth differs from the one before.
TEST(Activations, TheResidualBeginsWithTheEmbeddings) {
    SmallModel m(small_config("LlamaForCausalLM"), small_options(2, kLength, QN_PLAN_INSPECT));
    const reference::Batch batch = random_batch(m.config, 2, kLength, 4);
    const qn_batch b = view(batch);
    const int64_t N = 2 * kLength, C = m.config.hidden_size;
    double loss;
    ASSERT_OK(qn_model_evaluate(m.model, &b, &loss));
    const reference::Vector table = m.weights().at("model.embed_tokens.weight");
    std::vector<float> x(N * C), next(N * C);
    ASSERT_OK(qn_model_read_residual(m.model, 0, x.data()));
    for (int64_t n = 0; n < N; n++)
        for (int64_t c = 0; c < C; c++)
            EXPECT_EQ(x[n * C + c], (float)table[batch.tokens[n] * C + c]);
    for (int64_t depth = 1; depth <= 2; depth++) {
        ASSERT_OK(qn_model_read_residual(m.model, depth, next.data()));
        EXPECT_NE(x, next);
        x = next;
    }
}

TEST(Activations, ParametersGoOutAndInUnchanged) {
    for (bool narrow : {false, true}) {
        const qn_plan_options o = small_options(1, 8, QN_PLAN_INSPECT);
        SmallModel m(small_config("LlamaForCausalLM"), narrow ? bf16_storage(o) : o);
        const qn_param *p = qn_params_find(m.params(), QN_O_W, 1);
        std::vector<float> before(p->count), after(p->count), other(p->count, 0.5f);
        ASSERT_OK(qn_model_read_param(m.model, p, before.data()));
        ASSERT_OK(qn_model_write_param(m.model, p, other.data()));
        ASSERT_OK(qn_model_read_param(m.model, p, after.data()));
        EXPECT_EQ(after, other);
        ASSERT_OK(qn_model_write_param(m.model, p, before.data()));
        ASSERT_OK(qn_model_read_param(m.model, p, after.data()));
        EXPECT_EQ(after, before);
    }
}

TEST(Activations, RefuseWhatIsNotThere) {
    SmallModel m(small_config("LlamaForCausalLM"), small_options(2, 8, QN_PLAN_INSPECT));
    SmallModel plain(small_config("LlamaForCausalLM"), small_options(2, 8, QN_PLAN_EVAL));
    std::vector<float> x(16 * 61);
    EXPECT_ERROR(qn_model_read_residual(plain.model, 0, x.data()), QN_CODE_INVALID, "INSPECT");
    EXPECT_ERROR(qn_model_read_heads(m.model, 2, QN_HEAD_Q, x.data()), QN_CODE_INVALID, "2");
    EXPECT_ERROR(qn_model_read_residual(m.model, 3, x.data()), QN_CODE_INVALID, "3");
    EXPECT_ERROR(qn_model_read_logits(m.model, 0, 10, 7, x.data()), QN_CODE_INVALID, "16");
    std::vector<double> p(81);
    EXPECT_ERROR(qn_probe_weights(m.model, 0, 4, 0, 8, p.data()), QN_CODE_INVALID, "head 4");
    EXPECT_ERROR(qn_probe_weights(m.model, 0, 0, 0, 9, p.data()), QN_CODE_INVALID, "9");
}

} // namespace
