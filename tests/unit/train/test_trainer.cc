#include <cmath>

#include "quern/backend.h"
#include "unit/train/tiny_run.h"

using Trainer = TinyRun;
using Names = std::vector<std::string>;
namespace fs = std::filesystem;

static std::string bytes_of(const std::string &checkpoint) {
    return TempDir::read(checkpoint + "/model.safetensors") +
           TempDir::read(checkpoint + "/optimizer.safetensors");
}

// ---- going on ---------------------------------------------------------------------------

TEST_F(Trainer, IsAFunctionOfItsOptions) {
    ASSERT_OK(train());
    const Names first = losses();
    EXPECT_EQ(first.size(), (size_t)kSteps);
    in("again");
    ASSERT_OK(train());
    EXPECT_EQ(losses(), first);
    in("other seed");
    set("seed", "2");
    ASSERT_OK(train());
    EXPECT_NE(losses(), first);
}

TEST_F(Trainer, ResumedAtAnyStepItIsTheUninterruptedRun) {
    in("reference");
    ASSERT_OK(train());
    const Names expected = losses();
    const std::string last = bytes_of(checkpoint(kSteps));
    for (int64_t step = 1; step < kSteps; step++) {
        in("stopped at " + std::to_string(step));
        ASSERT_OK(train(false, step));
        EXPECT_TRUE(result.interrupted);
        EXPECT_EQ(result.saved_step, step);
        EXPECT_EQ(result.last.step, step);
        const double seconds = result.last.seconds;
        ASSERT_OK(resume());
        EXPECT_GT(reports.front().seconds, seconds);
        EXPECT_FALSE(result.interrupted);
        EXPECT_EQ(losses(), expected);
        EXPECT_EQ(bytes_of(checkpoint(kSteps)), last);
    }
}

TEST_F(Trainer, ResumedAfterEveryStep) {
    in("reference");
    ASSERT_OK(train());
    const Names expected = losses();
    in("run");
    ASSERT_OK(train(false, 1));
    for (int64_t step = 2; step <= kSteps; step++) ASSERT_OK(resume(step));
    EXPECT_EQ(losses(), expected);
}

// A run that was killed in step 6, with a checkpoint of step 4.
TEST_F(Trainer, ResumeTruncatesTheLogs) {
    set("save-every", "4");
    ASSERT_OK(train());
    const Names expected = losses();
    fs::remove_all(checkpoint(6));
    std::string text;
    for (int i = 0; i < 6; i++) text += log()[i] + "\n";
    dir.write("run/log.jsonl", text + "{\"step\":6,\"lo");
    dir.write("run/lens.jsonl", "{\"step\":4}\n{\"step\":5}\n");
    ASSERT_OK(resume());
    EXPECT_EQ(losses(), expected);
    EXPECT_EQ(reports.front().step, 5);
    EXPECT_EQ(TempDir::read(run + "/lens.jsonl"), "{\"step\":4}\n");
}

TEST_F(Trainer, ResumeWithoutACheckpointBeginsAgain) {
    in("reference");
    ASSERT_OK(train());
    const Names expected = losses();
    in("cut");
    ASSERT_OK(train(false, 1));
    fs::remove_all(checkpoint(1));
    ASSERT_OK(resume());
    EXPECT_NE(notes.find("from the beginning"), std::string::npos);
    EXPECT_EQ(losses(), expected);
}

TEST_F(Trainer, ResumeOfNothingIsANewRun) {
    ASSERT_OK(resume());
    EXPECT_EQ(losses().size(), (size_t)kSteps);
}

TEST_F(Trainer, MoreStepsContinueAFinishedRun) {
    set("schedule", "constant");
    in("reference");
    ASSERT_OK(train());
    const Names expected = losses();
    in("run");
    set("steps", "3");
    ASSERT_OK(train());
    ASSERT_OK(resume());
    EXPECT_EQ(result.last.step, 0) << "there was nothing to do";
    EXPECT_EQ(result.saved_step, 3);
    set("steps", std::to_string(kSteps));
    ASSERT_OK(resume());
    EXPECT_EQ(losses(), expected);
}

TEST_F(Trainer, DamagedCheckpointsArePassedOver) {
    set("save-every", "2");
    ASSERT_OK(train());
    const Names expected = losses();
    const std::string path = checkpoint(6) + "/optimizer.safetensors";
    fs::resize_file(path, fs::file_size(path) - 1);
    ASSERT_OK(resume());
    EXPECT_NE(notes.find("step-6/optimizer.safetensors"), std::string::npos) << notes;
    EXPECT_EQ(reports.front().step, 5);
    EXPECT_EQ(losses(), expected);
    EXPECT_EQ(checkpoints(), (Names{"step-4", "step-6", "step-6.damaged"}));
}

// ---- the data of a resumed run -------------------------------------------------------------

TEST_F(Trainer, MovedDataResumes) {
    in("reference");
    ASSERT_OK(train());
    const Names expected = losses();
    in("run");
    ASSERT_OK(train(false, 3));
    fs::rename(dir / "data", dir / "moved");
    EXPECT_ERROR(resume(), QN_CODE_IO, dir / "data");
    set("data", dir / "moved");
    ASSERT_OK(resume());
    EXPECT_EQ(losses(), expected);
    qn_train_options saved;
    qn_options_default(&saved);
    ASSERT_OK(qn_options_load(&saved, (run + "/run.json").c_str()));
    EXPECT_EQ(saved.data, dir / "moved");
}

TEST_F(Trainer, OtherDataIsRefused) {
    ASSERT_OK(train(false, 3));
    const Names before = losses();
    const std::string folder = dir / "data", whole = TempDir::read(folder + "/train_000000.bin");
    std::string other = whole;
    other[1500] ^= 1; // the size stays
    dir.write("data/train_000000.bin", other);
    EXPECT_ERROR(resume(), QN_CODE_USAGE, "--data " + folder, "then in " + folder,
                 "1 shards with 2000 tokens in 5024 bytes", checkpoint(3));
    EXPECT_EQ(losses(), before);
    fs::copy(folder, dir / "elsewhere");
    set("data", dir / "elsewhere");
    EXPECT_ERROR(resume(), QN_CODE_USAGE, "--data " + (dir / "elsewhere"), "then in " + folder);
    set("data", folder);
    dir.write("data/train_000000.bin", whole);
    EXPECT_OK(resume());
}

TEST_F(Trainer, NotesThatOtherThreadsGoOn) {
    ASSERT_OK(train(false, 2));
    ASSERT_OK(resume(3));
    EXPECT_EQ(notes, "");
    set("threads", "2");
    ASSERT_OK(resume(4));
    for (const char *part : {"from step 3 on", "2 threads", "1 thread,", "may differ"})
        EXPECT_NE(notes.find(part), std::string::npos) << notes;
    EXPECT_EQ(std::count(notes.begin(), notes.end(), '\n'), 1);
    EXPECT_NE(TempDir::read(run + "/run.json").find("from step 3 on"), std::string::npos);
    ASSERT_OK(resume());
    EXPECT_EQ(notes, "");
    EXPECT_NE(TempDir::read(run + "/run.json").find("from step 3 on"), std::string::npos);
}

// A checkpoint of before there were fingerprints.
TEST_F(Trainer, ACheckpointThatDoesNotTellItsDataGoesOn) {
    ASSERT_OK(train(false, 3));
    EXPECT_EQ(notes, "");
    const qn_train_state state = {3, 192, 12, 0.1, {}};
    qn_backend *backend;
    ASSERT_OK(qn_cpu_open(1, &backend));
    qn_config config;
    ASSERT_OK(qn_config_load((run + "/config.json").c_str(), &config));
    const qn_plan_options plan = {QN_PLAN_TRAIN, 1, 16, 1, {}, {}, QN_F32, QN_F32, false, false};
    qn_model *model;
    ASSERT_OK(qn_model_create(backend, &config, &plan, &model));
    ASSERT_OK(qn_checkpoint_load(checkpoint(3).c_str(), model));
    fs::remove_all(checkpoint(3));
    ASSERT_OK(qn_checkpoint_save(run.c_str(), model, &state, nullptr, 1, 0));
    qn_model_destroy(model);
    backend->ops->close(backend);
    ASSERT_OK(resume());
    EXPECT_NE(notes.find("does not tell its data"), std::string::npos) << notes;
    EXPECT_EQ(losses().size(), (size_t)kSteps);
}

static std::string text(double value) {
    char digits[32];
    snprintf(digits, sizeof digits, "%.17g", value);
    return digits;
}

// A value in range that the option does not have yet.
static std::string another_value(const qn_train_options &options, const qn_option &o) {
    const void *field = (const char *)&options + o.offset;
    const int64_t whole = *(const int64_t *)field;
    const double real = *(const double *)field;
    switch (o.type) {
    case QN_OPTION_INT:
        return std::to_string(whole + 1);
    case QN_OPTION_REAL:
        return text(real > o.min ? (real + o.min) / 2 : (real + o.max) / 2);
    case QN_OPTION_CHOICE:
        return o.choices[o.choices[whole + 1] ? whole + 1 : 0];
    default:
        return "another";
    }
}

TEST_F(Trainer, ResumeKeepsWhatShapesTheNumbers) {
    ASSERT_OK(train(false, 4));
    const qn_train_options before = options;
    int count;
    const qn_option *table = qn_option_table(&count);
    for (int i = 0; i < count; i++) {
        if (table[i].resumable) continue;
        const std::string name = table[i].name, value = another_value(before, table[i]);
        options = before;
        set(name, value);
        EXPECT_ERROR(resume(), QN_CODE_USAGE, "--" + name, "run.json", "leave the flag out");
    }
    options = before;
    for (const char *name : {"eval-every", "eval-tokens", "save-every", "keep-every", "keep-last"})
        set(name, "1");
    EXPECT_OK(resume());
}

// ---- the folder ---------------------------------------------------------------------------

TEST_F(Trainer, LeavesAnotherRunAlone) {
    ASSERT_OK(train());
    const std::string before = TempDir::read(run + "/log.jsonl");
    EXPECT_ERROR(train(), QN_CODE_USAGE, run, "exists already", "--resume");
    EXPECT_EQ(TempDir::read(run + "/log.jsonl"), before);
}

TEST_F(Trainer, FolderHoldsConfigAndOptions) {
    ASSERT_OK(train());
    qn_config config;
    ASSERT_OK(qn_config_load((run + "/config.json").c_str(), &config));
    EXPECT_EQ(config.vocab_size, kVocab);
    qn_train_options saved;
    qn_options_default(&saved);
    ASSERT_OK(qn_options_load(&saved, (run + "/run.json").c_str()));
    EXPECT_EQ(memcmp(&saved, &options, sizeof saved), 0);
}

TEST_F(Trainer, KeepsTheCheckpointsThatItShould) {
    set("save-every", "1");
    set("keep-last", "2");
    set("keep-every", "3");
    ASSERT_OK(train());
    EXPECT_EQ(checkpoints(), (Names{"step-3", "step-5", "step-6"}));
}

TEST_F(Trainer, FailsBeforeItMakesAFolder) {
    const std::string shard_path = dir.write("data/train_000000.bin", "short");
    EXPECT_ERROR(train(), QN_CODE_INVALID, shard_path);
    EXPECT_FALSE(fs::exists(run));
    set("data", dir / "none");
    EXPECT_ERROR(train(), QN_CODE_IO, "none");
    EXPECT_FALSE(fs::exists(run));
}

// ---- what is computed -----------------------------------------------------------------------

static std::vector<double> values(const std::vector<qn_step_report> &reports) {
    std::vector<double> losses;
    for (const qn_step_report &r : reports) losses.push_back(r.loss);
    return losses;
}

// fp32 sums in another order: at first a few roundings of a loss near 4, which training
// then spreads.
static void expect_near(const std::vector<double> &a, const std::vector<double> &b) {
    ASSERT_EQ(a.size(), b.size());
    EXPECT_NEAR(a[0], b[0], 4 * std::ldexp(a[0], -23));
    for (size_t i = 1; i < a.size(); i++) EXPECT_NEAR(a[i], b[i], 1e-4 * a[i]) << i;
}

TEST_F(Trainer, NaiveAndFusedAttentionAgree) {
    set("attention", "fused");
    ASSERT_OK(train());
    const std::vector<double> fused = values(reports);
    in("naive");
    set("attention", "naive");
    ASSERT_OK(train());
    expect_near(fused, values(reports));
}

TEST_F(Trainer, RecomputationChangesNothing) {
    ASSERT_OK(train());
    const Names expected = losses();
    for (const char *policy : {"norms", "block"}) {
        in(policy);
        set("recompute", policy);
        ASSERT_OK(train());
        EXPECT_EQ(losses(), expected) << policy;
    }
}

// A step sees the same sequences, whatever its micro-steps.
TEST_F(Trainer, MicroStepsAddUp) {
    set("batch-size", "4");
    set("grad-accum", "1");
    ASSERT_OK(train());
    const std::vector<double> whole = values(reports);
    for (const char *parts : {"2", "4"}) {
        in(std::string("parts ") + parts);
        set("grad-accum", parts);
        set("batch-size", std::to_string(4 / atoi(parts)));
        ASSERT_OK(train());
        expect_near(whole, values(reports));
        EXPECT_EQ(reports.back().tokens, kSteps * 4 * 16);
    }
}

TEST_F(Trainer, Learns) {
    set("steps", "60");
    ASSERT_OK(train());
    EXPECT_NEAR(reports.front().loss, std::log(64), 0.5);
    EXPECT_LT(reports.back().loss, 3.3);
    EXPECT_LT(reports.back().val_loss, 3.5);
}

TEST_F(Trainer, ReportsEveryStep) {
    ASSERT_OK(train());
    ASSERT_EQ(reports.size(), (size_t)kSteps);
    double seconds = 0;
    for (int i = 0; i < kSteps; i++) {
        const qn_step_report &r = reports[i];
        EXPECT_EQ(r.step, i + 1);
        EXPECT_EQ(r.steps, kSteps);
        EXPECT_EQ(r.tokens, 64 * (i + 1));
        EXPECT_TRUE(std::isfinite(r.loss) && r.grad_norm > 0 && r.lr > 0);
        EXPECT_GT(r.tokens_per_s, 0);
        EXPECT_GT(r.flops_per_s, r.tokens_per_s);
        EXPECT_GT(r.seconds, seconds);
        seconds = r.seconds;
        EXPECT_EQ(r.evaluated, r.step % 3 == 0 || r.step == kSteps) << r.step;
        // Two bytes a token, by data.json.
        if (r.evaluated) {
            EXPECT_NEAR(r.bits_per_byte, r.val_loss / std::log(2) / 2, 1e-12);
        }
    }
    EXPECT_EQ(result.last.step, kSteps);
    EXPECT_EQ(result.saved_step, kSteps);
    EXPECT_EQ(log().size(), (size_t)kSteps + 2);
}

TEST_F(Trainer, HooksMayBeAbsent) {
    const qn_train_hooks none = {};
    EXPECT_OK(qn_train(&options, true, &none, &result));
    EXPECT_EQ(result.saved_step, kSteps);
}

// ---- divergence -----------------------------------------------------------------------------

TEST_F(Trainer, ALossThatIsNotFiniteEndsTheRun) {
    set("lr", "1000");
    set("warmup", "0");
    set("clip", "0");
    set("steps", "100");
    set("save-every", "1");
    set("eval-every", "0");
    qn_status status = train();
    const std::string message = qn_message(status);
    ASSERT_EQ(qn_status_code(status), QN_CODE_NUMERIC) << message;
    qn_status_free(status);
    const std::string bad = std::to_string(reports.size() + 1);
    EXPECT_EQ(message.find("step " + bad + ": "), 0u) << message;
    EXPECT_NE(message.find("--lr"), std::string::npos);
    EXPECT_EQ(losses().size(), reports.size());
    EXPECT_FALSE(fs::exists(checkpoint(reports.size() + 1)));
    EXPECT_TRUE(reports.empty() || fs::exists(checkpoint(reports.size())));
}

// ---- fine-tuning ------------------------------------------------------------------------------

TEST_F(Trainer, StartsFromTheWeightsOfAFolder) {
    ASSERT_OK(train());
    const double before = result.last.val_loss;
    set("model", checkpoint(kSteps));
    in("frozen");
    set("lr", "0");
    ASSERT_OK(train());
    EXPECT_EQ(result.last.val_loss, before);
}

TEST_F(Trainer, FineTuningBeginsAgainFromItsWeights) {
    ASSERT_OK(train());
    set("model", checkpoint(kSteps));
    in("reference");
    ASSERT_OK(train());
    const Names expected = losses();
    in("cut");
    ASSERT_OK(train(false, 2));
    fs::remove_all(checkpoint(2));
    ASSERT_OK(resume());
    EXPECT_EQ(losses(), expected);
}

TEST_F(Trainer, WeightsThatAreMissingMakeNoFolder) {
    set("model", dir.path());
    EXPECT_ERROR(train(), QN_CODE_IO, "model.safetensors", "No such file");
    EXPECT_FALSE(fs::exists(run));
}
