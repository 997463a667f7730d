// test_train_examples.cc: training on examples of one length counts the targets that they name.
#include "tiny_run.h"

namespace {

class TrainExamples : public TinyRun {
  protected:
    void SetUp() override {
        TinyRun::SetUp();
        set("seq-len", "19"); // 2000 tokens are 100 examples of 20, 200 are 10
    }
    void name_targets(const std::string &targets) {
        dir.write("data/data.json", R"({"format": 2, "vocab_size": 64, "boundary_id": 0,
                  "examples": {"length": 20)" +
                                        targets + R"(},
                  "train": {"tokens": 2000, "bytes": 0, "documents": 100},
                  "val": {"tokens": 200, "bytes": 0, "documents": 10}})");
    }
};

std::string all_but_first() {
    std::string list = R"(, "targets": [1)";
    for (int i = 2; i < 20; i++) list += ", " + std::to_string(i);
    return list + "]";
}

TEST_F(TrainExamples, NamingAllTargetsIsNamingNone) {
    name_targets("");
    ASSERT_OK(train());
    const std::vector<std::string> unnamed = losses();
    name_targets(all_but_first());
    in("named");
    ASSERT_OK(train());
    EXPECT_EQ(losses(), unnamed);
}

// Losses of the first step and of an evaluation before the rate rises: those over one target each
// have for their mean that over all.
TEST_F(TrainExamples, LossesAreMeansOverTheTargets) {
    set("steps", "1");
    set("lr", "0");
    name_targets("");
    ASSERT_OK(train());
    const qn_step_report whole = result.last;
    double loss = 0, val_loss = 0;
    for (int i = 1; i < 20; i++) {
        name_targets(R"(, "targets": [)" + std::to_string(i) + "]");
        in("target-" + std::to_string(i));
        ASSERT_OK(train());
        EXPECT_EQ(result.last.tokens, whole.tokens) << "those read";
        loss += result.last.loss / 19;
        val_loss += result.last.val_loss / 19;
    }
    EXPECT_NEAR(loss, whole.loss, 1e-5);
    EXPECT_NEAR(val_loss, whole.val_loss, 1e-5);
}

// Gradients, too: with the loss of the last token alone they are of its own size, not a 19th.
TEST_F(TrainExamples, GradientsAreOfTheMean) {
    name_targets("");
    ASSERT_OK(train());
    const double whole = reports[0].grad_norm;
    name_targets(R"(, "targets": [19])");
    in("last");
    ASSERT_OK(train());
    EXPECT_GT(reports[0].grad_norm, whole);
}

TEST_F(TrainExamples, ARunKeepsTheShapeOfItsExamples) {
    name_targets(R"(, "targets": [7])");
    set("save-every", "2");
    ASSERT_OK(train(false, 2));
    name_targets(R"(, "targets": [8])");
    EXPECT_ERROR(resume(), QN_CODE_USAGE, "fingerprint");
    name_targets(R"(, "targets": [7])");
    EXPECT_OK(resume());
}

TEST_F(TrainExamples, OtherLengthsAreRefused) {
    name_targets("");
    set("seq-len", "20");
    EXPECT_ERROR(train(), QN_CODE_USAGE, "examples of 20 tokens", "expected 19");
    EXPECT_FALSE(std::filesystem::exists(run));
}

} // namespace
