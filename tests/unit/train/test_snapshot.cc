// test_snapshot.cc: the probes of a run: when they are due, what they hold, which are trusted, and
// what a resume leaves of them.
#include "quern/snapshot.h"

#include "harness/small_model.h"
#include "unit/train/tiny_run.h"

namespace fs = std::filesystem;

namespace {

using Steps = std::vector<int64_t>;

Steps listed(const std::string &run) {
    int64_t *steps, count;
    EXPECT_OK(qn_snapshot_steps(run.c_str(), &steps, &count));
    const Steps all(steps, steps + count);
    free(steps);
    return all;
}

// ---- when ------------------------------------------------------------------------------------

Steps due(int64_t every, int64_t last) {
    Steps steps;
    for (int64_t step = 0; step <= last; step++)
        if (qn_snapshot_due(step, every, last)) steps.push_back(step);
    return steps;
}

TEST(SnapshotDue, PowersOfTwoThenEveryN) {
    EXPECT_EQ(due(100, 850), (Steps{0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 700, 800, 850}));
    EXPECT_EQ(due(1000, 2000), (Steps{0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000}));
    EXPECT_EQ(due(1, 515), (Steps{0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 513, 514, 515}));
    EXPECT_EQ(due(1, 3), (Steps{0, 1, 2, 3}));
    EXPECT_EQ(due(0, 100), Steps{});
}

// ---- one ---------------------------------------------------------------------------------------

class Snapshot : public testing::Test {
  protected:
    Snapshot() : model(small_config("Qwen3ForCausalLM"), small_options(1, 8)) {
        dir.write("tokenizer.json", "not read here");
    }
    qn_status save(int64_t step) {
        return qn_snapshot_save(dir.path().c_str(), model.model, step, 100 * step,
                                dir.path().c_str());
    }
    qn_status find(int64_t step, int64_t *tokens = nullptr) {
        char *path = nullptr;
        qn_status status = qn_snapshot_find(dir.path().c_str(), step, &path, tokens);
        EXPECT_EQ(path == nullptr, status != nullptr);
        EXPECT_EQ(path ? path : probe(step), probe(step));
        free(path);
        return status;
    }
    std::string probe(int64_t step) { return dir / ("probes/step-" + std::to_string(step)); }
    Steps steps() { return listed(dir.path()); }

    TempDir dir;
    SmallModel model;
};

TEST_F(Snapshot, NoneAreListedWhereThereAreNone) { EXPECT_EQ(steps(), Steps{}); }

TEST_F(Snapshot, AreListedByNumber) {
    for (int64_t step : {9, 100, 0, 20}) ASSERT_OK(save(step));
    EXPECT_EQ(steps(), (Steps{0, 9, 20, 100}));
}

TEST_F(Snapshot, HoldsTheWeightsAndNoMore) {
    ASSERT_OK(save(7));
    int64_t tokens = 0;
    ASSERT_OK(find(7, &tokens));
    EXPECT_EQ(tokens, 700);
    std::vector<std::string> names;
    for (const auto &entry : fs::directory_iterator(probe(7)))
        names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    EXPECT_EQ(names, (std::vector<std::string>{"config.json", "model.safetensors", "state.json",
                                               "tokenizer.json"}));
    qn_config config;
    ASSERT_OK(qn_config_load((probe(7) + "/config.json").c_str(), &config));
    SmallModel back(config, small_options(1, 8, QN_PLAN_EVAL), 99);
    ASSERT_OK(qn_model_load(back.model, probe(7).c_str()));
    EXPECT_EQ(back.buffer(QN_BUF_PARAMS), model.buffer(QN_BUF_PARAMS));
}

TEST_F(Snapshot, OfAnotherStep) {
    ASSERT_OK(save(7));
    EXPECT_ERROR(find(8), QN_CODE_USAGE, dir.path(), "no probe of step 8");
}

TEST_F(Snapshot, IsNotTrustedWhenDamaged) {
    for (const char *name : {"config.json", "model.safetensors", "tokenizer.json"}) {
        ASSERT_OK(save(7));
        const std::string path = probe(7) + "/" + name, text = TempDir::read(path);
        std::ofstream(path) << text.substr(0, text.size() - 1) << "#";
        EXPECT_ERROR(find(7), QN_CODE_INVALID, name, "damaged");
        fs::remove(path);
        EXPECT_ERROR(find(7), QN_CODE_IO, name);
    }
}

TEST_F(Snapshot, IsNotTrustedWhenItsStateIsDamaged) {
    ASSERT_OK(save(7));
    const std::string path = probe(7) + "/state.json", text = TempDir::read(path);
    std::string other = text;
    other.replace(other.find("700"), 3, "701");
    std::ofstream(path) << other;
    EXPECT_ERROR(find(7), QN_CODE_INVALID, "state.json", "damaged");
    std::ofstream(path) << "{}";
    EXPECT_ERROR(find(7), QN_CODE_INVALID, "state.json");
}

TEST_F(Snapshot, IsNotTrustedUnderAnotherName) {
    ASSERT_OK(save(7));
    fs::rename(probe(7), probe(8));
    EXPECT_ERROR(find(8), QN_CODE_INVALID, "\"step\" is 7, expected 8");
}

TEST_F(Snapshot, TakesTheOthersPlace) {
    ASSERT_OK(save(7));
    std::ofstream(probe(7) + "/model.safetensors") << "part";
    std::ofstream(probe(7) + "/strange") << "part";
    ASSERT_OK(save(7));
    EXPECT_OK(find(7));
    EXPECT_FALSE(fs::exists(probe(7) + "/strange"));
}

TEST_F(Snapshot, IsOfNoOtherName) {
    for (const char *name : {"tmp-step-3", "step-", "step-3x", "step-03", "Step-3", "step--3",
                             "step-99999999999999999999"})
        fs::create_directories(dir / (std::string("probes/") + name));
    EXPECT_EQ(steps(), Steps{});
}

TEST_F(Snapshot, CleaningRemovesWhatWasCutOffAndWhatLiesBeyond) {
    for (int64_t step : {0, 1, 2, 4, 8}) ASSERT_OK(save(step));
    fs::create_directories(dir / "probes/tmp-step-16/deeper");
    ASSERT_OK(qn_snapshot_clean(dir.path().c_str(), 2));
    EXPECT_EQ(steps(), (Steps{0, 1, 2}));
    EXPECT_EQ(std::distance(fs::directory_iterator(dir / "probes"), {}), 3);
}

// A save that fails leaves no part.
TEST_F(Snapshot, ASaveThatFails) {
    fs::remove(dir / "tokenizer.json");
    fs::create_directory(dir / "tokenizer.json"); // cannot be read as a file
    EXPECT_ERROR(save(3), QN_CODE_IO, "tokenizer.json");
    EXPECT_TRUE(fs::is_empty(dir / "probes"));
}

// ---- of a run ------------------------------------------------------------------------------

class ProbedRun : public TinyRun {
  protected:
    void SetUp() override {
        TinyRun::SetUp();
        set("lens-probes", "1000");
    }
    std::string probe(int64_t step) const { return run + "/probes/step-" + std::to_string(step); }
    static std::string weights(const std::string &folder) {
        return TempDir::read(folder + "/model.safetensors");
    }
    void mark(int64_t step) { std::ofstream(probe(step) + "/mark") << "before the resume"; }
    bool marked(int64_t step) const { return fs::exists(probe(step) + "/mark"); }
};

TEST_F(ProbedRun, HasTheWeightsOfItsSteps) {
    set("save-every", "1");
    set("keep-last", "100");
    ASSERT_OK(train());
    EXPECT_EQ(listed(run), (Steps{0, 1, 2, 4, 6}));
    for (int64_t step : {1, 2, 4, 6}) {
        char *path;
        int64_t tokens;
        ASSERT_OK(qn_snapshot_find(run.c_str(), step, &path, &tokens));
        EXPECT_EQ(weights(path), weights(checkpoint(step)));
        EXPECT_EQ(tokens, step * 2 * 2 * 16);
        free(path);
    }
}

TEST_F(ProbedRun, BeginsWithTheInitialWeights) {
    ASSERT_OK(train());
    set("model", probe(0)); // a run that begins with them is the same run
    const std::vector<std::string> expected = losses();
    in("again");
    ASSERT_OK(train());
    EXPECT_EQ(losses(), expected);
}

TEST_F(ProbedRun, IsTheRunWithoutProbes) {
    ASSERT_OK(train());
    const std::vector<std::string> with = losses();
    set("lens-probes", "0");
    in("without");
    ASSERT_OK(train());
    EXPECT_EQ(losses(), with);
    EXPECT_FALSE(fs::exists(run + "/probes"));
}

// Probes of steps that are taken again are made again; those before stay.
TEST_F(ProbedRun, GoesOnAfterAResume) {
    set("save-every", "3");
    ASSERT_OK(train());
    const std::string fourth = weights(probe(4)), last = weights(probe(6));
    fs::remove_all(checkpoint(6));
    for (int64_t step : {0, 2, 4, 6}) mark(step);
    ASSERT_OK(resume(3 + 1));
    EXPECT_EQ(listed(run), (Steps{0, 1, 2, 4}));
    ASSERT_OK(resume());
    EXPECT_EQ(listed(run), (Steps{0, 1, 2, 4, 6}));
    EXPECT_TRUE(marked(0) && marked(2));
    EXPECT_FALSE(marked(4) || marked(6));
    EXPECT_EQ(weights(probe(4)), fourth);
    EXPECT_EQ(weights(probe(6)), last);
}

TEST_F(ProbedRun, MayBeginWithAResume) {
    set("lens-probes", "0");
    ASSERT_OK(train(false, 2));
    set("lens-probes", "1");
    ASSERT_OK(resume());
    EXPECT_EQ(listed(run), (Steps{2, 4, 6}));
    EXPECT_OK(qn_snapshot_clean(run.c_str(), 0));
    ASSERT_OK(resume()); // nothing to train
    EXPECT_EQ(listed(run), Steps{6});
}

TEST_F(ProbedRun, LeavesAWholeOneOfItsFirstStep) {
    ASSERT_OK(train(false, 2));
    mark(2);
    ASSERT_OK(resume());
    EXPECT_TRUE(marked(2));
}

TEST_F(ProbedRun, MakesADamagedOneOfItsFirstStepAgain) {
    ASSERT_OK(train(false, 2));
    const std::string second = weights(probe(2));
    std::ofstream(probe(2) + "/model.safetensors") << "part";
    ASSERT_OK(resume());
    EXPECT_EQ(weights(probe(2)), second);
}

} // namespace
