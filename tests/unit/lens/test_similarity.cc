// test_similarity.cc: kernel alignment of depths, against the product of cross-covariances, and
// where its value is known.
#include "figures.h"
#include "harness/small_model.h"
#include "quern/activations.h"
#include "quern/probe.h"

namespace {

enum { kSequences = 2, kLength = 37 };

qn_plan_options inspected() { return small_options(kSequences, kLength, QN_PLAN_INSPECT); }

// Blocks that add nothing.
void silence(SmallModel &m, int64_t layer) {
    for (qn_role role : {QN_O_W, QN_DOWN_W}) {
        const qn_param *p = qn_params_find(m.params(), role, layer);
        ASSERT_OK(qn_model_write_param(m.model, p, std::vector<float>(p->count, 0).data()));
    }
}

reference::Rows centred(reference::Rows x) {
    for (size_t c = 0; c < x[0].size(); c++) {
        double sum = 0;
        for (const reference::Vector &row : x) sum += row[c];
        for (reference::Vector &row : x) row[c] -= sum / (double)x.size();
    }
    return x;
}

// ‖XᵀY‖²
double cross(const reference::Rows &x, const reference::Rows &y) {
    double sum = 0;
    for (size_t i = 0; i < x[0].size(); i++)
        for (size_t j = 0; j < y[0].size(); j++) {
            double product = 0;
            for (size_t n = 0; n < x.size(); n++) product += x[n][i] * y[n][j];
            sum += product * product;
        }
    return sum;
}

double alignment(const reference::Rows &x, const reference::Rows &y) {
    return cross(x, y) / std::sqrt(cross(x, x) * cross(y, y));
}

class Similarity : public testing::Test {
  protected:
    Similarity() : m(small_config("LlamaForCausalLM"), inspected()) {}

    // Tokens that count, of batches of their own, at a depth.
    reference::Rows residual(int64_t depth) {
        reference::Rows rows;
        const int64_t C = m.config.hidden_size;
        std::vector<float> x(kSequences * kLength * C);
        for (const qn_batch &b : batches) {
            double loss;
            EXPECT_OK(qn_model_evaluate(m.model, &b, &loss));
            EXPECT_OK(qn_model_read_residual(m.model, depth, x.data()));
            for (int64_t n = 0; n < kSequences * kLength; n++)
                if (b.targets[n] >= 0) rows.emplace_back(&x[n * C], &x[(n + 1) * C]);
        }
        return rows;
    }
    void add_batch(int ignored_every) {
        owned.push_back(std::make_unique<reference::Batch>(random_batch(
            m.config, kSequences, kLength, (uint32_t)owned.size() + 1, ignored_every)));
        batches.push_back(view(*owned.back()));
    }
    void measure(Figures &figures) {
        const qn_probe_text text = {batches.data(), (int64_t)batches.size()};
        ASSERT_OK(qn_probe_similarity(m.model, &text, &figures.list));
    }

    SmallModel m;
    std::vector<std::unique_ptr<reference::Batch>> owned;
    std::vector<qn_batch> batches;
};

TEST_F(Similarity, IsThatOfCrossCovariances) {
    add_batch(5);
    add_batch(3);
    Figures figures;
    measure(figures);
    EXPECT_EQ(figures.list.count, 3);
    for (int64_t a = 0; a < 2; a++)
        for (int64_t b = a + 1; b < 3; b++) {
            const reference::Rows x = centred(residual(a)), y = centred(residual(b));
            const qn_lens_figure f = figures.at("cka", a, -1, b);
            EXPECT_EQ(f.n, (int64_t)x.size());
            EXPECT_NEAR(f.value, alignment(x, y), 1e-6) << "fp32 features";
            EXPECT_LT(f.value, 0.99);
        }
}

// The mean over many orders of one depth's tokens is what the formula says.
TEST_F(Similarity, BaselineIsThatOfShuffledTokens) {
    add_batch(4);
    Figures figures;
    measure(figures);
    const reference::Rows x = centred(residual(0));
    reference::Rows y = centred(residual(2));
    std::mt19937 random(3);
    double sum = 0, squares = 0;
    const int draws = 200;
    for (int i = 0; i < draws; i++) {
        std::shuffle(y.begin(), y.end(), random);
        const double value = alignment(x, y);
        sum += value;
        squares += value * value;
    }
    const double mean = sum / draws, spread = std::sqrt(squares / draws - mean * mean);
    const qn_lens_figure f = figures.at("cka", 0, -1, 2);
    EXPECT_NEAR(f.baseline, mean, 3 * spread / std::sqrt((double)draws));
    EXPECT_GT(f.value, f.baseline + 3 * spread);
}

TEST_F(Similarity, OfWhatABlockLeavesAloneIsOne) {
    add_batch(0);
    silence(m, 0);
    Figures figures;
    measure(figures);
    EXPECT_NEAR(figures.value("cka", 0, -1, 1), 1, 1e-12);
    EXPECT_LT(figures.value("cka", 1, -1, 2), 0.99);
}

// Documents of one token attend to themselves. With embeddings of ±1, which the norm leaves as they
// are, and a projection to out of v to 3Q − 1, the block gives 3Q·x, Q a reflection.
TEST_F(Similarity, IsOneOfTurnedAndScaledFeatures) {
    SmallModel one(small_config("LlamaForCausalLM"), small_options(61, 1, QN_PLAN_INSPECT));
    const size_t C = 32;
    const auto set = [&one](qn_role role, int64_t layer, const std::vector<float> &values) {
        const qn_param *p = qn_params_find(one.params(), role, layer);
        ASSERT_EQ((size_t)p->count, values.size());
        ASSERT_OK(qn_model_write_param(one.model, p, values.data()));
    };
    std::mt19937 random(5);
    std::vector<float> table(61 * C), identity(C * C, 0), turn(C * C);
    for (float &x : table) x = random() % 2 ? 1.0f : -1.0f;
    reference::Vector axis(C);
    double norm = 0;
    for (size_t c = 0; c < C; c++) axis[c] = std::sin(1.0 + (double)c), norm += axis[c] * axis[c];
    for (size_t i = 0; i < C; i++) {
        identity[i * C + i] = 1;
        for (size_t j = 0; j < C; j++)
            turn[i * C + j] = (float)((i == j ? 2 : 0) - 6 * axis[i] * axis[j] / norm);
    }
    set(QN_WTE, -1, table);
    set(QN_ATTN_NORM_W, 0, std::vector<float>(C, 1));
    set(QN_V_W, 0, turn);
    set(QN_O_W, 0, identity);
    set(QN_DOWN_W, 0, std::vector<float>(C * 44, 0));
    const reference::Batch batch = random_batch(one.config, 61, 1, 1);
    const qn_batch b = view(batch);
    const qn_probe_text text = {&b, 1};
    Figures figures;
    ASSERT_OK(qn_probe_similarity(one.model, &text, &figures.list));
    EXPECT_NEAR(figures.value("cka", 0, -1, 1), 1, 1e-6);
    EXPECT_LT(figures.value("cka", 1, -1, 2), 0.99);
}

// A common offset of all tokens says nothing: without centring all would be near 1.
TEST_F(Similarity, OffsetsOfFeaturesDoNotCount) {
    add_batch(0);
    const qn_param *wte = qn_params_find(m.params(), QN_WTE, -1);
    std::vector<float> table(wte->count);
    ASSERT_OK(qn_model_read_param(m.model, wte, table.data()));
    for (float &x : table) x += 5;
    ASSERT_OK(qn_model_write_param(m.model, wte, table.data()));
    Figures figures;
    measure(figures);
    const reference::Rows x = residual(0), y = residual(2);
    EXPECT_GT(alignment(x, y), 0.999) << "uncentred";
    EXPECT_NEAR(figures.value("cka", 0, -1, 2), alignment(centred(x), centred(y)), 1e-5);
    EXPECT_LT(figures.value("cka", 0, -1, 2), 0.98);
}

// Of a longer text 1,024 tokens are taken, from its beginning to its end.
TEST_F(Similarity, LongTextsAreSampledEvenly) {
    for (int i = 0; i < 30; i++) add_batch(3);
    Figures figures;
    measure(figures);
    const qn_lens_figure f = figures.at("cka", 0, -1, 2);
    EXPECT_EQ(f.n, 1024);
    const reference::Rows all_x = residual(0), all_y = residual(2);
    ASSERT_GT(all_x.size(), 1300u);
    reference::Rows x, y;
    for (size_t i = 0; i < 1024; i++) {
        x.push_back(all_x[i * all_x.size() / 1024]);
        y.push_back(all_y[i * all_y.size() / 1024]);
    }
    EXPECT_NEAR(f.value, alignment(centred(x), centred(y)), 1e-6);
}

TEST_F(Similarity, OneTokenHasNone) {
    add_batch(0);
    for (size_t n = 1; n < owned[0]->targets.size(); n++) owned[0]->targets[n] = -1;
    Figures figures;
    measure(figures);
    EXPECT_EQ(figures.at("cka", 0, -1, 1).n, 1);
    EXPECT_TRUE(std::isnan(figures.value("cka", 0, -1, 1)));
    EXPECT_TRUE(std::isnan(figures.at("cka", 0, -1, 1).baseline));
}

} // namespace
