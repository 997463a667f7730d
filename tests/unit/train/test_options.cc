#include "quern/options.h"

#include <cmath>
#include <cstring>
#include <random>
#include <set>

#include "harness/status.h"
#include "harness/temp_dir.h"
#include "quern/version.h"

static std::vector<const qn_option *> all_options() {
    int count;
    const qn_option *table = qn_option_table(&count);
    std::vector<const qn_option *> options;
    for (int i = 0; i < count; i++) options.push_back(&table[i]);
    return options;
}

static qn_status set(qn_train_options *options, const std::string &name, const std::string &text) {
    return qn_option_set(options, qn_option_find(name.c_str()), text.c_str(), "here");
}

static std::string get(const qn_train_options &options, const qn_option *option) {
    char text[QN_OPTION_TEXT];
    qn_option_get(&options, option, text, sizeof text);
    return text;
}

static bool same(const qn_train_options &a, const qn_train_options &b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

// Every number of the table at a value of its own, within its range.
static qn_train_options varied_options() {
    qn_train_options options;
    qn_options_default(&options);
    std::mt19937_64 random(5);
    for (const qn_option *o : all_options()) {
        void *field = (char *)&options + o->offset;
        const double share = std::uniform_real_distribution<double>(0, 1)(random);
        const double value = o->min + share * (std::fmin(o->max, 1e15) - o->min);
        int n_choices = 0;
        while (o->choices && o->choices[n_choices]) n_choices++;
        if (o->type == QN_OPTION_INT) *(int64_t *)field = (int64_t)value;
        if (o->type == QN_OPTION_REAL) *(double *)field = value;
        if (o->type == QN_OPTION_CHOICE) *(int64_t *)field = n_choices - 1;
    }
    strcpy(options.data, "data/\"quoted\\\" ü");
    strcpy(options.run, std::string(QN_OPTION_TEXT - 1, 'r').c_str());
    return options;
}

static qn_device_info device() {
    qn_device_info info = {};
    strcpy(info.name, "a device");
    return info;
}

TEST(Options, DefaultsAreInRange) {
    qn_train_options options = {}, defaults;
    qn_options_default(&defaults);
    for (const qn_option *o : all_options()) {
        EXPECT_OK(qn_option_set(&options, o, o->default_text, o->name)) << o->name;
    }
    EXPECT_TRUE(same(options, defaults));
    EXPECT_STREQ(defaults.model, "default");
    EXPECT_EQ(defaults.keep_last, 2);
}

TEST(Options, NamesAreUniqueAndFound) {
    std::set<std::string> names;
    for (const qn_option *o : all_options()) {
        EXPECT_TRUE(names.insert(o->name).second) << o->name;
        EXPECT_EQ(qn_option_find(o->name), o);
    }
    EXPECT_EQ(qn_option_find("stepps"), nullptr);
    EXPECT_EQ(qn_option_find(""), nullptr);
}

TEST(Options, FieldsDoNotOverlap) {
    std::set<size_t> offsets;
    for (const qn_option *o : all_options()) EXPECT_TRUE(offsets.insert(o->offset).second);
}

// What may change on a resume never shapes the numbers of the steps that are common; but for the
// rounding of weights, which is noted: a device that stores fp32 has none.
TEST(Options, ResumableOnes) {
    std::set<std::string> resumable;
    for (const qn_option *o : all_options()) {
        if (o->resumable) resumable.insert(o->name);
    }
    EXPECT_EQ(resumable,
              (std::set<std::string>{"data", "run", "steps", "eval-every", "eval-tokens",
                                     "save-every", "keep-last", "keep-every", "backend",
                                     "lens-every", "lens-probes", "threads", "weight-rounding"}));
}

TEST(Options, TextRoundTrip) {
    const qn_train_options options = varied_options();
    qn_train_options back = {};
    for (const qn_option *o : all_options()) {
        EXPECT_OK(qn_option_set(&back, o, get(options, o).c_str(), "text")) << o->name;
    }
    EXPECT_TRUE(same(options, back));
}

TEST(Options, EveryChoiceRoundTrip) {
    for (const qn_option *o : all_options()) {
        for (int i = 0; o->choices && o->choices[i]; i++) {
            qn_train_options options = {};
            ASSERT_OK(qn_option_set(&options, o, o->choices[i], "text"));
            EXPECT_EQ(*(int64_t *)((char *)&options + o->offset), i);
            EXPECT_EQ(get(options, o), o->choices[i]);
        }
    }
}

TEST(Options, RangesIncludeTheirEnds) {
    for (const qn_option *o : all_options()) {
        if (o->type != QN_OPTION_INT && o->type != QN_OPTION_REAL) continue;
        qn_train_options options;
        qn_options_default(&options);
        const qn_train_options before = options;
        char text[64];
        for (double end : {o->min, o->max}) {
            snprintf(text, sizeof text, "%.17g", end);
            EXPECT_OK(qn_option_set(&options, o, text, "end")) << o->name << " " << text;
        }
        options = before;
        for (double beyond : {o->min - 1, std::nextafter(o->min, -1e308), o->max * 1.01 + 1}) {
            snprintf(text, sizeof text, "%.17g", beyond);
            EXPECT_ERROR(qn_option_set(&options, o, text, "there"), QN_CODE_USAGE,
                         "there: ", o->name, text, "expected");
        }
        EXPECT_TRUE(same(options, before)) << o->name;
    }
}

TEST(Options, RefusesWhatIsNoNumber) {
    qn_train_options options;
    qn_options_default(&options);
    for (const char *text : {"", "x", "1x", "1 ", "nan", "inf", "1e999", "0x", "--1"}) {
        EXPECT_ERROR(set(&options, "lr", text), QN_CODE_USAGE, "lr is \"", "a number from 0");
        EXPECT_ERROR(set(&options, "steps", text), QN_CODE_USAGE, "steps", "whole number from 1");
    }
    EXPECT_ERROR(set(&options, "steps", "2.5"), QN_CODE_USAGE, "2.5", "whole number");
    EXPECT_ERROR(set(&options, "schedule", "Cosine"), QN_CODE_USAGE, "\"Cosine\"",
                 "cosine, wsd, constant");
    EXPECT_ERROR(set(&options, "data", std::string(QN_OPTION_TEXT, 'x')), QN_CODE_USAGE,
                 "1024 bytes", "1023");
}

TEST(Options, PlanOfTraining) {
    const qn_train_options o = varied_options();
    const qn_plan_options plan = qn_options_plan(&o);
    EXPECT_EQ(plan.mode, QN_PLAN_TRAIN);
    EXPECT_EQ(plan.batch_size, o.batch_size);
    EXPECT_EQ(plan.seq_len, o.seq_len);
    EXPECT_EQ(plan.grad_accum, o.grad_accum);
    EXPECT_EQ(plan.recompute, o.recompute);
    EXPECT_EQ(plan.attention, o.attention);
    EXPECT_EQ(plan.documents, o.documents);
}

// ---- JSON -----------------------------------------------------------------------------

class OptionsFile : public testing::Test {
  protected:
    qn_status load(const std::string &text) {
        return qn_options_load(&options, dir.write("o.json", text).c_str());
    }
    void SetUp() override { qn_options_default(&options); }

    TempDir dir;
    qn_train_options options;
};

TEST_F(OptionsFile, RoundTripIsExact) {
    const qn_train_options saved = varied_options();
    const qn_environment where = {device(), QN_F32, {1, 2, 3, 0xabc}, 0};
    const std::string path = dir / "run.json";
    char *change;
    ASSERT_OK(qn_options_save(&saved, &where, path.c_str(), &change));
    EXPECT_EQ(change, nullptr);
    memset(&options, 0, sizeof options);
    ASSERT_OK(qn_options_load(&options, path.c_str()));
    EXPECT_TRUE(same(options, saved));
    EXPECT_NE(TempDir::read(path).find("\"a device\""), std::string::npos);
    EXPECT_NE(TempDir::read(path).find("0000000000000abc"), std::string::npos);
}

TEST_F(OptionsFile, RemembersChangesOfTheDevice) {
    const std::string path = dir / "run.json";
    qn_environment where = {device(), QN_F32, {}, 0};
    const auto save = [&](const char *name, int64_t step) {
        char *change = nullptr;
        strcpy(where.device.name, name);
        where.step = step;
        EXPECT_OK(qn_options_save(&options, &where, path.c_str(), &change));
        const std::string text = change ? change : "";
        free(change);
        return text;
    };
    const auto holds = [&](const std::string &part) {
        return TempDir::read(path).find(part) != std::string::npos;
    };
    EXPECT_EQ(save("one", 0), "");
    EXPECT_EQ(save("one", 3), "");
    EXPECT_FALSE(holds("changes"));
    const std::string first = save("two", 5), second = save("one", 7);
    const std::string quern = std::string("quern " QN_VERSION " (") + qn_commit() + ")";
    EXPECT_EQ(first, "from step 5 on " + quern + " runs on two in fp32, before " + quern +
                         " on one in fp32");
    EXPECT_EQ(save("one", 9), "");
    where.precision = QN_BF16;
    EXPECT_NE(save("one", 11).find("on one in bf16, before"), std::string::npos);
    EXPECT_EQ(save("one", 12), "");
    EXPECT_TRUE(holds(first));
    EXPECT_TRUE(holds(second));
    EXPECT_OK(qn_options_load(&options, path.c_str()));
    EXPECT_EQ(save("two", 0), "") << "a run that begins again was nowhere before";
    EXPECT_FALSE(holds("changes"));
}

TEST_F(OptionsFile, RemembersChangesOfTheCommitWhereOneWasTold) {
    const std::string path = dir / "run.json";
    const qn_environment where = {device(), QN_F32, {}, 5};
    const std::string device_alone = "{\"environment\": {\"version\": \"" QN_VERSION
                                     "\", \"device\": \"" +
                                     std::string(where.device.name) + "\"";
    const auto change_from = [&](const std::string &environment) {
        dir.write("run.json", environment + "}}");
        char *change = nullptr;
        EXPECT_OK(qn_options_save(&options, &where, path.c_str(), &change));
        const std::string text = change ? change : "";
        free(change);
        return text;
    };
    EXPECT_EQ(change_from(device_alone), "");
    EXPECT_NE(change_from(device_alone + ", \"commit\": \"0123456789ab\"")
                  .find("before quern " QN_VERSION " (0123456789ab)"),
              std::string::npos);
}

TEST_F(OptionsFile, RemembersChangesOfTheRounding) {
    const std::string path = dir / "run.json";
    qn_environment where = {device(), QN_BF16, {}, 0};
    const auto save = [&](qn_weight_rounding rounding, int64_t step) {
        char *change = nullptr;
        options.weight_rounding = rounding;
        where.step = step;
        EXPECT_OK(qn_options_save(&options, &where, path.c_str(), &change));
        const std::string text = change ? change : "";
        free(change);
        return text;
    };
    const std::string to_nearest = "from step 5 on --weight-rounding is nearest, before stochastic";
    EXPECT_EQ(save(QN_ROUND_STOCHASTIC, 0), "");
    EXPECT_EQ(save(QN_ROUND_STOCHASTIC, 3), "");
    EXPECT_EQ(save(QN_ROUND_NEAREST, 5), to_nearest);
    strcpy(where.device.name, "another device");
    const std::string both = save(QN_ROUND_STOCHASTIC, 7);
    EXPECT_EQ(both.find("from step 7 on quern"), 0u) << both;
    EXPECT_NE(both.find("; from step 7 on --weight-rounding is stochastic, before nearest"),
              std::string::npos)
        << both;
    EXPECT_EQ(save(QN_ROUND_STOCHASTIC, 9), "");
    EXPECT_NE(TempDir::read(path).find('"' + to_nearest + '"'), std::string::npos);
    EXPECT_EQ(save(QN_ROUND_NEAREST, 0), "") << "a run that begins again had no rounding before";
}

TEST_F(OptionsFile, SetsWhatItNamesOnly) {
    qn_train_options expected = options;
    expected.steps = 7;
    expected.schedule = QN_SCHEDULE_WSD;
    expected.documents = 0;
    expected.lr = 0.1;
    ASSERT_OK(load(R"({"steps": 7.0, "schedule": "wsd", "documents": false, "lr": "0.1"})"));
    EXPECT_TRUE(same(options, expected));
}

TEST_F(OptionsFile, RefusesUnknownKeysAndTypes) {
    EXPECT_ERROR(load(R"({"stepps": 7})"), QN_CODE_USAGE, "o.json", "\"stepps\"", "--help");
    EXPECT_ERROR(load(R"({"steps": null})"), QN_CODE_USAGE, "o.json", "steps", "neither");
    EXPECT_ERROR(load(R"({"steps": [1]})"), QN_CODE_USAGE, "o.json", "steps", "neither");
    EXPECT_ERROR(load(R"({"steps": true})"), QN_CODE_USAGE, "o.json", "steps", "whole number");
    EXPECT_ERROR(load(R"({"seed": 9007199254740993})"), QN_CODE_USAGE, "seed", "9e+15");
    EXPECT_ERROR(load(R"({"steps": 7,)"), QN_CODE_INVALID, "o.json: line 1");
    EXPECT_ERROR(load(R"({"steps": 7, "steps": 8})"), QN_CODE_INVALID, "o.json", "duplicate");
    EXPECT_ERROR(qn_options_load(&options, (dir / "none").c_str()), QN_CODE_IO, "none");
}

TEST_F(OptionsFile, RefusesTextThatJsonCannotHold) {
    const qn_environment where = {device(), QN_F32, {}, 0};
    char *change;
    strcpy(options.data, "data\xff");
    EXPECT_ERROR(qn_options_save(&options, &where, (dir / "run.json").c_str(), &change),
                 QN_CODE_USAGE, "run.json", "UTF-8");
    EXPECT_FALSE(std::filesystem::exists(dir / "run.json"));
}
