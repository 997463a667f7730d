// test_lens_gradients.cc: norms of the gradients of Wq, Wk and the embeddings, against sums in
// float64 over what the backward pass left.
#include "harness/small_model.h"
#include "quern/lens.h"

namespace {

struct Case {
    const char *name;
    qn_config config;
    bool stored_in_bf16;
};

void PrintTo(const Case &c, std::ostream *out) { *out << c.name; }

class Gradients : public testing::TestWithParam<Case> {
  protected:
    Gradients() : m(config(), options()) { m.step(random_batch(config(), 2, 12, 3)); }

    static const qn_config &config() { return GetParam().config; }
    static qn_plan_options options() {
        const qn_plan_options o = small_options(2, 12);
        return GetParam().stored_in_bf16 ? bf16_storage(o) : o;
    }

    // The norm of columns [first, first + width) of a parameter's rows.
    double norm(const qn_param *p, int64_t first, int64_t width) {
        const std::vector<float> grads = m.buffer(QN_BUF_GRADS);
        double sum = 0;
        for (int64_t row = 0; row < p->shape[0]; row++)
            for (int64_t at = first; at < first + width; at++) {
                const double g = grads[p->offset + row * p->shape[1] + at];
                sum += g * g;
            }
        return std::sqrt(sum);
    }
    double norm(const qn_param *p) { return norm(p, 0, p->shape[1]); }
    double norm_of(qn_role role, int64_t layer) {
        if (const qn_param *p = qn_params_find(m.params(), role, layer)) return norm(p);
        const int64_t C = config().hidden_size;
        return norm(qn_params_find(m.params(), QN_QKV_W, layer), role == QN_Q_W ? 0 : C, C);
    }

    SmallModel m;
};

INSTANTIATE_TEST_SUITE_P(
    Models, Gradients,
    testing::Values(Case{"llama", with_groups(small_config("LlamaForCausalLM")), false},
                    Case{"qwen3", untied(with_odd_widths(small_config("Qwen3ForCausalLM"))), true},
                    Case{"gpt2", small_config("GPT2LMHeadModel"), false},
                    Case{"gpt2_bf16", small_config("GPT2LMHeadModel"), true}),
    [](const auto &info) { return info.param.name; });

TEST_P(Gradients, AreThoseOfEveryLayerAndOfTheEmbeddings) {
    qn_lens_figures figures = {};
    ASSERT_OK(qn_lens_gradients(m.model, &figures));
    const int64_t layers = config().n_layers, D = config().head_dim, C = config().hidden_size;
    ASSERT_EQ(figures.count, 2 * layers + 1);
    for (int64_t i = 0; i < figures.count; i++) {
        const qn_lens_figure &f = figures.items[i];
        const bool q = std::string(f.metric) == "grad_norm_q", embedding = i == 2 * layers;
        const double expected =
            embedding ? norm_of(QN_WTE, -1) : norm_of(q ? QN_Q_W : QN_K_W, f.layer);
        EXPECT_STREQ(f.metric, embedding ? "grad_norm_embedding"
                               : i % 2   ? "grad_norm_k"
                                         : "grad_norm_q");
        EXPECT_EQ(f.layer, embedding ? -1 : i / 2);
        EXPECT_EQ(f.head, -1);
        EXPECT_EQ(f.n, embedding ? config().vocab_size * C
                                 : (q ? config().n_heads : config().n_kv_heads) * D * C);
        EXPECT_GT(f.value, 0);
        EXPECT_NEAR(f.value, expected, 1e-6 * expected);
        EXPECT_TRUE(std::isnan(f.baseline) && std::isnan(f.error));
        EXPECT_EQ(f.at, -1);
    }
    qn_lens_figures_free(&figures);
}

TEST_P(Gradients, StayWhatTheyAre) {
    const std::vector<float> before = m.buffer(QN_BUF_GRADS), params = m.buffer(QN_BUF_PARAMS);
    qn_lens_figures figures = {};
    ASSERT_OK(qn_lens_gradients(m.model, &figures));
    EXPECT_EQ(m.buffer(QN_BUF_GRADS), before);
    EXPECT_EQ(m.buffer(QN_BUF_PARAMS), params);
    qn_lens_figures_free(&figures);
}

} // namespace
