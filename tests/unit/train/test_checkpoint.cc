#include "quern/checkpoint.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>

#include "harness/small_model.h"
#include "harness/temp_dir.h"

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

static const char *const files[] = {"config.json", "model.safetensors", "optimizer.safetensors",
                                    "state.json", "tokenizer.model"};

// Every buffer that a checkpoint holds.
static std::vector<std::vector<float>> contents(const SmallModel &m) {
    return {m.buffer(QN_BUF_PARAMS), m.buffer(QN_BUF_ADAM_M), m.buffer(QN_BUF_ADAM_V)};
}

static void fill_moments(SmallModel &m, uint32_t seed) {
    std::mt19937 random(seed);
    for (qn_buffer_id id : {QN_BUF_ADAM_M, QN_BUF_ADAM_V}) {
        float *to = (float *)qn_model_buffer(m.model, id);
        for (int i = 0; i < m.params()->count; i++) {
            const qn_param &p = m.params()->items[i];
            std::vector<float> values(p.count);
            for (float &x : values) x = (float)random() * 1e-12f;
            ASSERT_OK(m.backend->ops->copy(qn_model_stream(m.model), to + p.offset, values.data(),
                                           values.size() * sizeof(float), QN_COPY_TO_DEVICE));
        }
    }
}

class Checkpoint : public testing::Test {
  protected:
    Checkpoint() : model(small_config("LlamaForCausalLM"), small_options(1, 8)) {
        dir.write("tokenizer.model", "not read here");
        fill_moments(model, 3);
    }

    qn_status save(int64_t step, int64_t keep_last = 100, int64_t keep_every = 0) {
        const qn_train_state state = {step, 128 * step, 2 * step, 0.1 * (double)step, {}};
        return qn_checkpoint_save(dir.path().c_str(), model.model, &state, dir.path().c_str(),
                                  keep_last, keep_every);
    }
    // Path of the checkpoint that is found, relative to the folder of checkpoints.
    qn_status find(std::string *name, int64_t step = -1) {
        char *path = nullptr;
        notes.clear();
        qn_status status = qn_checkpoint_find(dir.path().c_str(), step, note, this, &path);
        *name = path ? fs::path(path).filename().string() : "";
        free(path);
        return status;
    }
    std::string found() {
        std::string name;
        EXPECT_OK(find(&name));
        return name;
    }
    std::string path(int64_t step, const std::string &file = "") {
        return dir / ("checkpoints/step-" + std::to_string(step) + "/" + file);
    }
    Names names() {
        Names all;
        for (const auto &entry : fs::directory_iterator(dir / "checkpoints"))
            all.push_back(entry.path().filename());
        std::sort(all.begin(), all.end());
        return all;
    }
    static void note(void *context, const char *message) {
        ((Checkpoint *)context)->notes.push_back(message);
    }

    TempDir dir;
    SmallModel model;
    Names notes;
};

TEST_F(Checkpoint, LoadsBitForBit) {
    ASSERT_OK(save(7));
    SmallModel other(small_config("LlamaForCausalLM"), small_options(1, 8), 99);
    fill_moments(other, 4);
    const auto expected = contents(model), before = contents(other);
    for (int i = 0; i < 3; i++) ASSERT_NE(before[i], expected[i]);
    ASSERT_OK(qn_checkpoint_load(path(7).c_str(), other.model));
    const auto loaded = contents(other);
    for (int i = 0; i < 3; i++) EXPECT_EQ(loaded[i], expected[i]) << i;
}

TEST_F(Checkpoint, StateRoundTripIsExact) {
    const qn_train_state state = {
        3, INT64_C(1) << 60, 12345678901, 1.0 / 3, {2, 5000000000, 2499999488, 0xfedcba9876543210}};
    ASSERT_OK(qn_checkpoint_save(dir.path().c_str(), model.model, &state, nullptr, 1, 0));
    qn_train_state back;
    ASSERT_OK(qn_checkpoint_state(path(3).c_str(), &back));
    EXPECT_EQ(back.step, state.step);
    EXPECT_EQ(back.tokens, state.tokens);
    EXPECT_EQ(back.sequences, state.sequences);
    EXPECT_EQ(back.seconds, state.seconds);
    EXPECT_TRUE(qn_fingerprint_equal(&back.data, &state.data));
    EXPECT_FALSE(fs::exists(path(3, "tokenizer.model")));
}

TEST_F(Checkpoint, HoldsWhatTransformersOpens) {
    ASSERT_OK(save(1));
    qn_config config;
    ASSERT_OK(qn_config_load(path(1, "config.json").c_str(), &config));
    EXPECT_EQ(config.hidden_size, 32);
    EXPECT_EQ(TempDir::read(path(1, "tokenizer.model")), "not read here");
}

TEST_F(Checkpoint, KeepsTheNewest) {
    for (int64_t step = 1; step <= 5; step++) ASSERT_OK(save(step, 2));
    EXPECT_EQ(names(), (Names{"step-4", "step-5"}));
    ASSERT_OK(save(6, 1));
    EXPECT_EQ(names(), (Names{"step-6"}));
}

TEST_F(Checkpoint, KeepsMultiplesForGood) {
    for (int64_t step = 1; step <= 5; step++) ASSERT_OK(save(step, 1, 2));
    EXPECT_EQ(names(), (Names{"step-2", "step-4", "step-5"}));
}

TEST_F(Checkpoint, FindsTheNewestByNumber) {
    for (int64_t step : {9, 100, 20}) ASSERT_OK(save(step));
    EXPECT_EQ(found(), "step-100");
    EXPECT_TRUE(notes.empty());
}

TEST_F(Checkpoint, FindsByStep) {
    for (int64_t step : {9, 100, 20}) ASSERT_OK(save(step));
    std::string name;
    ASSERT_OK(find(&name, 20));
    EXPECT_EQ(name, "step-20");
    EXPECT_ERROR(find(&name, 21), QN_CODE_USAGE, dir.path(), "no checkpoint of step 21");
    EXPECT_EQ(name, "");
}

TEST_F(Checkpoint, NoneAtAllIsNoError) {
    EXPECT_EQ(found(), "");
    fs::create_directory(dir / "checkpoints");
    EXPECT_EQ(found(), "");
    for (const char *other : {"step-", "step-x", "step-1x", "step--1", "tmp-step-3",
                              "step-99.damaged", "step-99999999999999999999"})
        fs::create_directory(dir / (std::string("checkpoints/") + other));
    EXPECT_EQ(found(), "");
}

// ---- damage -----------------------------------------------------------------------------

class Damage : public Checkpoint {
  protected:
    void SetUp() override {
        ASSERT_OK(save(1));
        ASSERT_OK(save(2));
    }
    void expect_passed_over(const std::string &file) {
        EXPECT_EQ(found(), "step-1") << file;
        ASSERT_EQ(notes.size(), 1u);
        EXPECT_NE(notes[0].find("step-2/" + file), std::string::npos) << notes[0];
    }
};

TEST_F(Damage, OneBitAnywhereIsSeen) {
    std::mt19937 random(11);
    for (const char *file : files) {
        const std::string whole = TempDir::read(path(2, file));
        for (int i = 0; i < 20; i++) {
            std::string bytes = whole;
            bytes[random() % bytes.size()] ^= (char)(1 << random() % 8);
            std::ofstream(path(2, file), std::ios::binary) << bytes;
            expect_passed_over(file);
        }
        std::ofstream(path(2, file), std::ios::binary) << whole;
        EXPECT_EQ(found(), "step-2");
    }
}

TEST_F(Damage, FilesThatAreMissingOrOfAnotherLength) {
    for (const char *file : files) {
        const std::string whole = TempDir::read(path(2, file));
        for (const std::string &bytes :
             {std::string(), whole.substr(0, whole.size() - 2), whole + "x"}) {
            std::ofstream(path(2, file), std::ios::binary) << bytes;
            expect_passed_over(file);
        }
        fs::remove(path(2, file));
        expect_passed_over(file);
        std::ofstream(path(2, file), std::ios::binary) << whole;
    }
}

TEST_F(Damage, AStateThatLeavesOutAFile) {
    for (const char *text : {"{}", R"({"step": 2, "files": {}})", R"({"files": [1]})"}) {
        std::ofstream(path(2, "state.json")) << text;
        expect_passed_over("state.json");
    }
}

TEST_F(Damage, OfTheOneAskedFor) {
    fs::remove(path(2, "model.safetensors"));
    std::string name;
    EXPECT_ERROR(find(&name, 2), QN_CODE_IO, "no checkpoint is whole", "step-2/model.safetensors");
    ASSERT_OK(find(&name, 1));
    EXPECT_EQ(name, "step-1");
}

TEST_F(Damage, OfAllIsAnError) {
    fs::remove(path(1, "model.safetensors"));
    fs::remove(path(2, "state.json"));
    std::string name;
    EXPECT_ERROR(find(&name), QN_CODE_IO, dir.path(), "no checkpoint is whole",
                 "step-1/model.safetensors");
    EXPECT_EQ(notes.size(), 2u);
}

TEST_F(Damage, NotesMayBeAbsent) {
    fs::remove(path(2, "state.json"));
    char *path = nullptr;
    ASSERT_OK(qn_checkpoint_find(dir.path().c_str(), -1, nullptr, nullptr, &path));
    EXPECT_NE(path, nullptr);
    free(path);
}

TEST_F(Damage, StateErrorsNameTheFile) {
    qn_train_state state;
    std::ofstream(path(2, "state.json")) << R"({"step": 2, "tokens": "many"})";
    EXPECT_ERROR(qn_checkpoint_state(path(2).c_str(), &state), QN_CODE_INVALID, "state.json",
                 "\"tokens\" is \"many\"");
    const std::string position = R"({"step": 2, "tokens": 4, "sequences": 6, "seconds": 8)";
    for (const auto &[data, part] : std::map<std::string, std::string>{
             {R"([])", "an object"},
             {R"({"shards": 1, "bytes": 2, "tokens": -3})", "\"tokens\" is -3"},
             {R"({"shards": 1, "bytes": 2, "tokens": 3})", "\"xxh3\" is missing"},
             {R"({"shards": 1, "bytes": 2, "tokens": 3, "xxh3": "12x"})", "16 hexadecimal"}}) {
        std::ofstream(path(2, "state.json")) << position << ", \"data\": " << data << "}";
        EXPECT_ERROR(qn_checkpoint_state(path(2).c_str(), &state), QN_CODE_INVALID, "state.json",
                     part);
    }
    std::ofstream(path(2, "state.json")) << position << "}";
    EXPECT_OK(qn_checkpoint_state(path(2).c_str(), &state));
    EXPECT_EQ(state.data.shards, 0);
}

TEST_F(Damage, OptimizerOfAnotherModel) {
    qn_config config = small_config("LlamaForCausalLM");
    config.ffn_size = 52;
    SmallModel other(config, small_options(1, 8));
    EXPECT_ERROR(qn_checkpoint_load(path(2).c_str(), other.model), QN_CODE_INVALID,
                 "model.safetensors", "gate_proj", "52");
    fs::remove(path(2, "model.safetensors"));
    ASSERT_OK(qn_model_save(other.model, path(2).c_str(), nullptr));
    EXPECT_ERROR(qn_checkpoint_load(path(2).c_str(), other.model), QN_CODE_INVALID,
                 "optimizer.safetensors", "exp_avg.model.layers.0");
}

// ---- cleaning ---------------------------------------------------------------------------

TEST_F(Damage, CleaningRemovesWhatWasCutOff) {
    fs::create_directories(dir / "checkpoints/tmp-step-3/deeper");
    dir.write("checkpoints/tmp-step-3/model.safetensors", "part");
    fs::create_directories(dir / "checkpoints/tmp-step-4");
    ASSERT_OK(qn_checkpoint_clean(dir.path().c_str(), 2));
    EXPECT_EQ(names(), (Names{"step-1", "step-2"}));
}

TEST_F(Damage, CleaningSetsAsideWhatLiesBeyond) {
    ASSERT_OK(qn_checkpoint_clean(dir.path().c_str(), 1));
    EXPECT_EQ(names(), (Names{"step-1", "step-2.damaged"}));
    ASSERT_OK(save(2));
    ASSERT_OK(qn_checkpoint_clean(dir.path().c_str(), 1)); // the second replaces the first
    EXPECT_EQ(names(), (Names{"step-1", "step-2.damaged"}));
}

TEST_F(Checkpoint, CleaningNothing) { EXPECT_OK(qn_checkpoint_clean(dir.path().c_str(), 0)); }

TEST_F(Checkpoint, ASaveOverWhatWasCutOff) {
    fs::create_directories(dir / "checkpoints/tmp-step-5");
    dir.write("checkpoints/tmp-step-5/strange", "part");
    ASSERT_OK(save(5));
    EXPECT_EQ(names(), (Names{"step-5"}));
    EXPECT_FALSE(fs::exists(path(5, "strange")));
    EXPECT_EQ(found(), "step-5");
}

// A save that fails leaves neither a part nor less than there was.
TEST_F(Damage, ASaveThatFails) {
    fs::remove(dir / "tokenizer.model");
    fs::create_directory(dir / "tokenizer.model"); // cannot be read as a file
    EXPECT_ERROR(save(3, 1), QN_CODE_IO, "tokenizer.model");
    EXPECT_EQ(names(), (Names{"step-1", "step-2"}));
    EXPECT_EQ(found(), "step-2");
}
