// test_lens_metrics.cc: measures of heads from sums of which the answer is known.
#include <cmath>

#include "harness/status.h"
#include "quern/lens.h"

namespace {

enum { kHeads = 2 };

// Sums of head 1; those of head 0 would give other figures.
class LensMetrics : public testing::Test {
  protected:
    LensMetrics() : sums(QN_ATTN_N_SUMS * kHeads, 99), counts(QN_ATTN_N_COUNTS * kHeads, 7) {
        count(QN_ATTN_ROWS) = 10;
        count(QN_ATTN_ROWS_ENTROPY) = 8;
        for (int s = 0; s < QN_ATTN_N_SUMS; s++) sum(s) = (float)(s + 1);
    }
    float &sum(int s) { return sums[(size_t)(s * kHeads + 1)]; }
    int64_t &count(int c) { return counts[(size_t)(c * kHeads + 1)]; }
    qn_lens_figure figure(const std::string &metric) {
        qn_lens_figure figures[QN_LENS_METRICS];
        const qn_attn_stats stats = {sums.data(), counts.data(), 0};
        qn_lens_metrics(&stats, kHeads, 5, 1, figures);
        for (const qn_lens_figure &f : figures) {
            EXPECT_EQ(f.layer, 5);
            EXPECT_EQ(f.head, 1);
            if (f.metric == metric) return f;
        }
        ADD_FAILURE() << "no " << metric;
        return {};
    }

    std::vector<float> sums;
    std::vector<int64_t> counts;
};

// Rows with a single key have no entropy to speak of: they are not in its mean.
TEST_F(LensMetrics, EntropyIsOverRowsThatHaveAChoice) {
    EXPECT_DOUBLE_EQ(figure("entropy").value, 1.0 / 8);
    EXPECT_EQ(figure("entropy").baseline, 1);
    EXPECT_EQ(figure("entropy").n, 8);
}

TEST_F(LensMetrics, MeansAreOverRows) {
    const struct {
        const char *metric;
        int sum, base;
    } all[] = {{"p_max", QN_ATTN_P_MAX, QN_ATTN_BASE_P_MAX},
               {"distance", QN_ATTN_DISTANCE, QN_ATTN_BASE_DISTANCE},
               {"sink", QN_ATTN_SINK, QN_ATTN_BASE_SINK},
               {"local", QN_ATTN_LOCAL, QN_ATTN_BASE_LOCAL}};
    for (const auto &m : all) {
        EXPECT_DOUBLE_EQ(figure(m.metric).value, (m.sum + 1) / 10.0) << m.metric;
        EXPECT_DOUBLE_EQ(figure(m.metric).baseline, (m.base + 1) / 10.0) << m.metric;
        EXPECT_EQ(figure(m.metric).n, 10) << m.metric;
    }
}

TEST_F(LensMetrics, TheLargestLogitIsNoMean) {
    EXPECT_EQ(figure("max_logit").value, QN_ATTN_MAX_LOGIT + 1);
    EXPECT_TRUE(std::isnan(figure("max_logit").baseline));
}

TEST_F(LensMetrics, NothingMeasuredIsNoFigure) {
    count(QN_ATTN_ROWS) = count(QN_ATTN_ROWS_ENTROPY) = 0;
    sum(QN_ATTN_MAX_LOGIT) = -INFINITY;
    for (const char *metric : {"entropy", "max_logit", "p_max", "distance", "sink", "local"}) {
        EXPECT_TRUE(std::isnan(figure(metric).value)) << metric;
        EXPECT_TRUE(std::isnan(figure(metric).baseline)) << metric;
        EXPECT_EQ(figure(metric).n, 0) << metric;
    }
}

} // namespace
