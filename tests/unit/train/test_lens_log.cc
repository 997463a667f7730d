// test_lens_log.cc: figures as lines, and attention sampled while a run trains: what lens.jsonl
// has, and what the run does not notice.
#include "train/lens_log.h"

#include <jansson.h>

#include <map>
#include <tuple>

#include "unit/train/tiny_run.h"

namespace {

enum { kLayers = 2, kHeads = 4, kMetrics = 6 };
constexpr int64_t kNone = -1;

struct Figure {
    double value, baseline; // NaN: null
    int64_t tokens, n;
};

std::string lines(const std::vector<qn_lens_figure> &figures) {
    TempDir dir;
    qn_run_log log;
    EXPECT_OK(qn_run_log_open((dir / "lens.jsonl").c_str(), 0, &log));
    EXPECT_OK(qn_lens_log_figures(figures.data(), (int64_t)figures.size(), 3, 4000000000, &log));
    qn_run_log_close(&log);
    return TempDir::read(dir / "lens.jsonl");
}

TEST(Figures, OfHeadsLayersAndTheModel) {
    EXPECT_EQ(lines({{0, 2, "sink", 0.25, 0.125, 5000000000, -1, NAN},
                     {1, -1, "change_q", 1e-12, 0, 9, -1, NAN},
                     {-1, -1, "lens_loss", 3, NAN, 1, -1, NAN}}),
              R"({"step":3,"tokens":4000000000,"layer":0,"head":2,"metric":"sink",)"
              R"("value":0.25,"baseline":0.125,"n":5000000000})"
              "\n"
              R"({"step":3,"tokens":4000000000,"layer":1,"head":null,"metric":"change_q",)"
              R"("value":1e-12,"baseline":0,"n":9})"
              "\n"
              R"({"step":3,"tokens":4000000000,"layer":null,"head":null,"metric":"lens_loss",)"
              R"("value":3,"baseline":null,"n":1})"
              "\n");
}

TEST(Figures, HaveAPlaceAndAnErrorWhereThereAreSuch) {
    EXPECT_EQ(
        lines({{0, 0, "offset", 1, 0.5, 8, 0, NAN}, {0, 0, "q_synonym_auc", NAN, 0.5, 0, 7, 0.5}}),
        R"({"step":3,"tokens":4000000000,"layer":0,"head":0,"metric":"offset",)"
        R"("value":1,"baseline":0.5,"n":8,"at":0})"
        "\n"
        R"({"step":3,"tokens":4000000000,"layer":0,"head":0,"metric":"q_synonym_auc",)"
        R"("value":null,"baseline":0.5,"n":0,"at":7,"error":0.5})"
        "\n");
}

TEST(Figures, NoneLeaveNoLine) { EXPECT_EQ(lines({}), ""); }

class LensLog : public TinyRun {
  protected:
    void SetUp() override {
        TinyRun::SetUp();
        set("lens-every", "2");
    }

    std::string lens_log() const { return TempDir::read(run + "/lens.jsonl"); }

    using Key = std::tuple<int64_t, int64_t, int64_t, std::string>; // step, layer, head, metric
    std::map<Key, Figure> figures() const {
        std::map<Key, Figure> all;
        std::istringstream text(lens_log());
        for (std::string line; std::getline(text, line);) {
            json_t *entry = json_loads(line.c_str(), 0, nullptr);
            auto whole = [&](const char *name) {
                const json_t *value = json_object_get(entry, name);
                return json_is_null(value) ? kNone : json_integer_value(value);
            };
            auto number = [&](const char *name) {
                const json_t *value = json_object_get(entry, name);
                return json_is_null(value) ? NAN : json_number_value(value);
            };
            const char *metric = json_string_value(json_object_get(entry, "metric"));
            EXPECT_TRUE(metric) << line;
            if (metric)
                all[{whole("step"), whole("layer"), whole("head"), metric}] = {
                    number("value"), number("baseline"), whole("tokens"), whole("n")};
            json_decref(entry);
        }
        return all;
    }
};

TEST_F(LensLog, HasEveryHeadOfTheSampledSteps) {
    ASSERT_OK(train());
    const auto all = figures();
    // steps 1, 2, 4, 6
    EXPECT_EQ(all.size(), (size_t)(4 * (kLayers * (kHeads * kMetrics + 2) + 1)));
    for (int64_t step : {1, 2, 4, 6})
        for (int64_t l = 0; l < kLayers; l++)
            for (int64_t h = 0; h < kHeads; h++) {
                ASSERT_TRUE(all.count({step, l, h, "entropy"})) << step << " " << l << " " << h;
                const Figure &f = all.at({step, l, h, "distance"});
                EXPECT_EQ(f.tokens, step * 2 * 2 * 16);
                EXPECT_EQ(f.n, 2 * 2 * 16); // every token of both micro-steps is a row
                EXPECT_GT(f.baseline, 0);
                EXPECT_LT(f.value, 16);
            }
}

// Together they are less than the norm of all, and more than what clipping leaves of it.
TEST_F(LensLog, HasTheGradientsBeforeClipping) {
    set("clip", "0.001");
    ASSERT_OK(train());
    const auto all = figures();
    for (int64_t step : {1, 2, 4, 6}) {
        double sum = std::pow(all.at({step, kNone, kNone, "grad_norm_embedding"}).value, 2);
        for (int64_t l = 0; l < kLayers; l++)
            for (const char *metric : {"grad_norm_q", "grad_norm_k"}) {
                const Figure &f = all.at({step, l, kNone, metric});
                EXPECT_GT(f.value, 0);
                EXPECT_TRUE(std::isnan(f.baseline));
                EXPECT_EQ(f.tokens, step * 2 * 2 * 16);
                sum += f.value * f.value;
            }
        EXPECT_LT(std::sqrt(sum), reports[(size_t)step - 1].grad_norm);
        EXPECT_GT(std::sqrt(sum), 0.01);
    }
}

// The gradients that would have reached Wq and Wk: those of the step in which nothing is frozen,
// whose weights are the same.
TEST_F(LensLog, HasTheGradientsOfWhatIsFrozen) {
    ASSERT_OK(train());
    const auto free = figures();
    set("freeze", "qk");
    in("frozen");
    ASSERT_OK(train());
    const auto frozen = figures();
    for (const char *metric : {"grad_norm_q", "grad_norm_k"})
        for (int64_t l = 0; l < kLayers; l++) {
            const Key first = {1, l, kNone, metric}, later = {6, l, kNone, metric};
            EXPECT_EQ(frozen.at(first).value, free.at(first).value);
            EXPECT_GT(frozen.at(later).value, 0);
            EXPECT_NE(frozen.at(later).value, free.at(later).value);
        }
}

TEST_F(LensLog, DoesNotChangeABitOfTheRun) {
    ASSERT_OK(train());
    const std::vector<std::string> with = losses();
    set("lens-every", "0");
    in("without");
    ASSERT_OK(train());
    EXPECT_EQ(losses(), with);
    EXPECT_FALSE(std::filesystem::exists(run + "/lens.jsonl"));
}

TEST_F(LensLog, GoesOnAfterAResume) {
    ASSERT_OK(train());
    const std::string whole = lens_log();
    in("resumed");
    set("save-every", "3");
    ASSERT_OK(train(false, 3));
    ASSERT_OK(resume());
    EXPECT_EQ(lens_log(), whole);
}

// Samples of steps that are taken again were never saved: they are not there twice.
TEST_F(LensLog, IsCutBackToTheCheckpoint) {
    set("save-every", "2");
    ASSERT_OK(train());
    const std::string whole = lens_log();
    std::filesystem::remove_all(checkpoint(6));
    set("lens-every", "2");
    ASSERT_OK(resume());
    EXPECT_EQ(lens_log(), whole);
}

} // namespace
