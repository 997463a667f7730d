// test_lens_sample.cc: figures of a model's own passes: those of its layers, of the passes that
// were sampled, and of no others.
#include "harness/small_model.h"
#include "quern/lens.h"

namespace {

class LensSample : public testing::Test {
  protected:
    LensSample() : m(small_config("LlamaForCausalLM"), small_options(2, 6)) {}
    void SetUp() override { ASSERT_OK(qn_lens_open(m.model, &lens)); }
    void TearDown() override { qn_lens_close(lens); }

    void pass(const reference::Batch &batch) {
        const qn_batch b = view(batch);
        double sum;
        ASSERT_OK(qn_model_forward(m.model, &b, 0, 1));
        ASSERT_OK(qn_model_loss_sum(m.model, 1, &sum));
    }
    std::vector<qn_lens_figure> sample(const std::vector<reference::Batch> &batches) {
        const qn_lens_figure *figures = nullptr;
        int64_t count = 0;
        EXPECT_OK(qn_lens_begin(lens));
        for (const reference::Batch &b : batches) pass(b);
        EXPECT_OK(qn_lens_end(lens));
        EXPECT_OK(qn_lens_read(lens, &figures, &count));
        return std::vector<qn_lens_figure>(figures, figures + count);
    }
    static void expect_same(const std::vector<qn_lens_figure> &x,
                            const std::vector<qn_lens_figure> &y) {
        ASSERT_EQ(x.size(), y.size());
        for (size_t i = 0; i < x.size(); i++) {
            EXPECT_STREQ(x[i].metric, y[i].metric);
            EXPECT_EQ(x[i].value, y[i].value) << x[i].metric;
            EXPECT_EQ(x[i].n, y[i].n) << x[i].metric;
        }
    }
    reference::Batch batch(uint32_t seed) const { return random_batch(m.config, 2, 6, seed); }

    SmallModel m;
    qn_lens *lens = nullptr;
};

TEST_F(LensSample, TakesThePassesBetweenBeginAndEnd) {
    const std::vector<qn_lens_figure> first = sample({batch(1)});
    pass(batch(2));
    expect_same(sample({batch(1)}), first);
    const std::vector<qn_lens_figure> both = sample({batch(1), batch(3)});
    EXPECT_EQ(both[0].n, 2 * first[0].n);
    EXPECT_NE(both[0].value, first[0].value);
    EXPECT_EQ(qn_model_stats(m.model), nullptr) << "later passes pay for nothing";
}

TEST_F(LensSample, LayersAndHeadsAreToldApart) {
    std::vector<qn_lens_figure> all = sample({batch(1)});
    ASSERT_EQ(all.size(), (size_t)(2 * 4 * QN_LENS_METRICS));
    std::set<double> entropies;
    for (size_t i = 0; i < all.size(); i++) {
        EXPECT_EQ(all[i].layer, (int64_t)i / (4 * QN_LENS_METRICS));
        EXPECT_EQ(all[i].head, (int64_t)i / QN_LENS_METRICS % 4);
        if (std::string(all[i].metric) == "entropy") entropies.insert(all[i].value);
    }
    EXPECT_EQ(entropies.size(), 8u);
}

// Of one token, whose query is minus its key: the largest score is that one, below 0.
TEST(LensSampleOfOneToken, LargestLogitMayBeNegative) {
    SmallModel m(small_config("LlamaForCausalLM"), small_options(1, 1));
    for (int64_t l = 0; l < 2; l++) {
        const qn_param *q = qn_params_find(m.params(), QN_Q_W, l);
        const qn_param *k = qn_params_find(m.params(), QN_K_W, l);
        ASSERT_EQ(q->count, k->count);
        const std::vector<float> all = m.buffer(QN_BUF_PARAMS);
        std::vector<float> values(all.begin() + q->offset, all.begin() + q->offset + q->count);
        for (float &x : values) x = -x;
        m.set_param(*k, values);
    }
    qn_lens *lens;
    ASSERT_OK(qn_lens_open(m.model, &lens));
    const reference::Batch one = random_batch(m.config, 1, 1, 1);
    const qn_batch b = view(one);
    const qn_lens_figure *figures;
    int64_t count;
    ASSERT_OK(qn_lens_begin(lens));
    ASSERT_OK(qn_model_forward(m.model, &b, 0, 1));
    ASSERT_OK(qn_lens_end(lens));
    ASSERT_OK(qn_lens_read(lens, &figures, &count));
    for (int64_t i = 0; i < count; i++) {
        if (std::string(figures[i].metric) == "max_logit") {
            EXPECT_LT(figures[i].value, 0);
        }
    }
    qn_lens_close(lens);
}

} // namespace
