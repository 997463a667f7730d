// test_lens_log.cc: attention sampled while a run trains, on both storages: what lens.jsonl has,
// and what the run does not notice.
#include <jansson.h>

#include <map>
#include <tuple>

#include "unit/train/tiny_run.h"

namespace {

enum { kLayers = 2, kHeads = 4, kMetrics = 6 };

struct Figure {
    double value, baseline; // NaN: null
    int64_t tokens, n;
};

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
                return json_integer_value(json_object_get(entry, name));
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
    EXPECT_EQ(all.size(), (size_t)(4 * kLayers * kHeads * kMetrics)); // steps 1, 2, 4, 6
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
