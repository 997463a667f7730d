#include <gtest/gtest.h>

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "harness/status.h"
#include "harness/temp_dir.h"
#include "quern/dataset.h"
#include "quern/loader.h"
#include "sample_text.h"
#include "shard_file.h"

namespace {

namespace fs = std::filesystem;

class Prepare : public testing::Test {
  protected:
    void SetUp() override {
        first = dir.write("a.txt", text_a);
        second = dir.write("b.txt", text_b);
        out = dir / "out";
        files = {first.c_str(), second.c_str()};
    }
    qn_prepare_options options() {
        qn_prepare_options o = {};
        o.files = files.data();
        o.n_files = (int)files.size();
        o.vocab_size = 320;
        o.val_fraction = 0.1;
        o.out_dir = out.c_str();
        o.n_threads = 1;
        return o;
    }
    void prepare(const qn_prepare_options &o) { ASSERT_OK(qn_dataset_prepare(&o)); }
    void prepare() { prepare(options()); }
    bool is_current(const qn_prepare_options &o) {
        bool current = false;
        EXPECT_OK(qn_dataset_is_current(&o, &current));
        return current;
    }
    void expect_nothing_left() {
        EXPECT_FALSE(fs::exists(out));
        EXPECT_FALSE(fs::exists(out + ".tmp"));
    }
    /* The text of a split, with "|" for the boundaries. */
    std::string text_of(const qn_dataset &d, const char *pattern, int64_t count) {
        const qn_loader_options o = {count - 1, 1, 0, d.boundary_id, d.vocab_size, 0, {}};
        qn_loader *l = nullptr;
        EXPECT_OK(qn_loader_open(pattern, &o, &l));
        std::vector<int32_t> tokens((size_t)count), targets((size_t)count);
        EXPECT_OK(qn_loader_fill(l, 0, tokens.data(), targets.data(), nullptr));
        qn_loader_close(l);
        tokens.back() = targets[(size_t)count - 2];
        std::string all;
        for (int32_t id : tokens) {
            if (id == d.boundary_id) all += '|';
            char *piece = nullptr;
            size_t length;
            EXPECT_OK(qn_tokenizer_decode(d.tokenizer, &id, 1, &piece, &length));
            all.append(piece, length);
            free(piece);
        }
        return all;
    }

    const std::string text_a = sample_text(6000), text_b = sample_text(9000, 2) + "the end \u2581";
    TempDir dir;
    std::string first, second, out;
    std::vector<const char *> files;
};

TEST_F(Prepare, WritesAFolderThatHoldsTheText) {
    prepare();
    qn_dataset d = {};
    ASSERT_OK(qn_dataset_open(out.c_str(), &d));
    EXPECT_EQ(d.vocab_size, 320);
    ASSERT_TRUE(d.tokenizer);
    EXPECT_EQ(d.boundary_id, qn_tokenizer_boundary_id(d.tokenizer));
    const std::string train = text_of(d, d.train_pattern, d.train_tokens);
    const std::string val = text_of(d, d.val_pattern, d.val_tokens);
    EXPECT_EQ(d.train_bytes, (int64_t)train.size() - 2);
    EXPECT_EQ(d.val_bytes, (int64_t)val.size() - 1);
    ASSERT_EQ(val[0], '|');
    EXPECT_EQ(train + val.substr(1), "|" + text_a + "|" + text_b);
    EXPECT_EQ(train.back(), '\n') << "the cut is at the end of a line";
    const double held_out = (double)d.val_bytes / (double)(text_a.size() + text_b.size());
    EXPECT_LT(held_out, 0.1);
    EXPECT_GT(held_out, 0.09);
    qn_dataset_close(&d);
    EXPECT_FALSE(fs::exists(out + ".tmp"));
}

TEST_F(Prepare, IsDeterministic) {
    prepare();
    qn_prepare_options o = options();
    const std::string again = dir / "again";
    o.out_dir = again.c_str();
    prepare(o);
    for (const auto &entry : fs::directory_iterator(out))
        EXPECT_EQ(TempDir::read(entry.path()),
                  TempDir::read(again + "/" + entry.path().filename().string()))
            << entry.path();
}

TEST_F(Prepare, KnowsWhetherAFolderIsCurrent) {
    qn_prepare_options o = options();
    EXPECT_FALSE(is_current(o));
    prepare();
    EXPECT_TRUE(is_current(o));
    o.vocab_size = 321;
    EXPECT_FALSE(is_current(o));
    o = options();
    o.val_fraction = 0.2;
    EXPECT_FALSE(is_current(o));
    o = options();
    o.n_files = 1;
    EXPECT_FALSE(is_current(o));
    dir.write("b.txt", text_b + ".");
    EXPECT_FALSE(is_current(options()));
    dir.write("b.txt", text_b);
    EXPECT_TRUE(is_current(options()));
    fs::remove(out + "/val_000000.bin");
    EXPECT_FALSE(is_current(options()));
}

TEST_F(Prepare, ReplacesOnlyADataFolderAndOnlyWhenAsked) {
    prepare();
    qn_prepare_options o = options();
    o.vocab_size = 330;
    EXPECT_ERROR(qn_dataset_prepare(&o), QN_CODE_USAGE, out, "--force");
    EXPECT_TRUE(is_current(options()));
    o.replace = 1;
    prepare(o);
    EXPECT_TRUE(is_current(o));
    EXPECT_FALSE(fs::exists(out + ".tmp"));
    std::ofstream(out + "/thesis.tex") << "years of work";
    EXPECT_ERROR(qn_dataset_prepare(&o), QN_CODE_USAGE, "thesis.tex");
    EXPECT_TRUE(fs::exists(out + "/thesis.tex"));
    fs::create_directory(dir / "empty");
    const std::string empty = dir / "empty/";
    o = options();
    o.out_dir = empty.c_str();
    prepare(o);
}

TEST_F(Prepare, ExplainsWhatIsWrongAndLeavesNothing) {
    auto expect_error = [&](const qn_prepare_options &o, qn_code code, const std::string &part) {
        EXPECT_ERROR(qn_dataset_prepare(&o), code, part);
        expect_nothing_left();
    };
    qn_prepare_options o = options();
    o.vocab_size = 60000;
    expect_error(o, QN_CODE_USAGE, "at most");
    o.vocab_size = 100;
    expect_error(o, QN_CODE_USAGE, "at least");
    o = options();
    o.val_fraction = 0;
    expect_error(o, QN_CODE_USAGE, "fraction 0");
    o = options();
    o.n_files = 0;
    expect_error(o, QN_CODE_USAGE, "no text");
    o.corpus = "tolstoy";
    o.corpus_dir = "nowhere";
    expect_error(o, QN_CODE_USAGE, "tolstoy");
    o.corpus = "austen";
    expect_error(o, QN_CODE_IO, "scripts/corpus.sh austen nowhere");
    for (const auto &[bytes, part] : std::vector<std::pair<std::string, std::string>>{
             {"", "no text in it"}, {"abc\xff", "offset 3"}, {"x", "too few"}}) {
        const std::string path = dir.write("bad.txt", bytes);
        files = {path.c_str()};
        expect_error(options(), QN_CODE_INVALID, part);
    }
    files = {"/nonexistent/text"};
    expect_error(options(), QN_CODE_IO, "/nonexistent/text");
}

TEST_F(Prepare, StopsWhenAskedAndLeavesNothing) {
    for (int calls = 0; calls < 8; calls++) {
        int left = calls;
        qn_prepare_options o = options();
        o.progress_context = &left;
        o.progress = [](void *context, const char *, double) -> int {
            return (*(int *)context)-- == 0;
        };
        qn_status status = qn_dataset_prepare(&o);
        if (!status) {
            EXPECT_GT(calls, 3);
            return;
        }
        qn_status_free(status);
        expect_nothing_left();
    }
    ADD_FAILURE() << "never finished";
}

TEST_F(Prepare, SurvivesBeingKilled) {
    qn_prepare_options o = options();
    pid_t child = fork();
    if (child == 0) {
        o.progress = [](void *, const char *stage, double) {
            return strcmp(stage, "encoding") == 0 ? raise(SIGKILL) : 0;
        };
        qn_status_free(qn_dataset_prepare(&o));
        _exit(0);
    }
    int result;
    ASSERT_EQ(waitpid(child, &result, 0), child);
    ASSERT_TRUE(WIFSIGNALED(result));
    EXPECT_FALSE(fs::exists(out));
    prepare();
    EXPECT_FALSE(fs::exists(out + ".tmp"));
    EXPECT_TRUE(is_current(o));
}

TEST_F(Prepare, HoldsOutAcrossDocuments) {
    std::vector<std::string> paths;
    for (int i = 0; i < 10; i++)
        paths.push_back(dir.write("p" + std::to_string(i), sample_text(1000, (unsigned)i)));
    files.clear();
    for (const std::string &path : paths) files.push_back(path.c_str());
    qn_prepare_options o = options();
    o.val_fraction = 0.45;
    prepare(o);
    qn_dataset d = {};
    ASSERT_OK(qn_dataset_open(out.c_str(), &d));
    const std::string val = text_of(d, d.val_pattern, d.val_tokens);
    EXPECT_EQ(std::count(val.begin(), val.end(), '|'), 5);
    qn_dataset_close(&d);
}

/* --- opening --- */

TEST_F(Prepare, OpenRefusesBrokenFolders) {
    qn_dataset d = {};
    EXPECT_ERROR(qn_dataset_open((dir / "none").c_str(), &d), QN_CODE_IO, "none", "no such folder");
    EXPECT_ERROR(qn_dataset_open(dir.path().c_str(), &d), QN_CODE_INVALID, "train_*.bin");
    prepare();
    const std::string json = TempDir::read(out + "/data.json");
    auto rewrite = [&](const std::string &from, const std::string &to) {
        std::string changed = json;
        changed.replace(changed.find(from), from.size(), to);
        std::ofstream(out + "/data.json") << changed;
    };
    auto expect_bad = [&](const std::string &part) {
        EXPECT_ERROR(qn_dataset_open(out.c_str(), &d), QN_CODE_INVALID, "data.json", part);
    };
    rewrite("\"vocab_size\": 320,", "\"vocab_size\": 320");
    expect_bad("line 5");
    rewrite("\"vocab_size\": 320", "\"vocab_size\": 319");
    expect_bad("319");
    rewrite("\"vocab_size\": 320", "\"vocab_size\": -1");
    expect_bad("-1");
    rewrite("\"boundary_id\": 1", "\"boundary_id\": 320");
    expect_bad("320");
    rewrite("\"tokens\": ", "\"tokens\": 9");
    expect_bad("is a shard missing");
    rewrite("\"train\"", "\"trains\"");
    expect_bad("train");
    std::ofstream(out + "/data.json") << json;
    std::ofstream(out + "/tokenizer.model") << "junk";
    EXPECT_ERROR(qn_dataset_open(out.c_str(), &d), QN_CODE_INVALID, "tokenizer.model");
    fs::remove(out + "/tokenizer.model");
    ASSERT_OK(qn_dataset_open(out.c_str(), &d));
    EXPECT_FALSE(d.tokenizer);
    qn_dataset_close(&d);
    fs::remove(out + "/val_000000.bin");
    EXPECT_ERROR(qn_dataset_open(out.c_str(), &d), QN_CODE_INVALID, "val_*.bin");
}

TEST_F(Prepare, DamagedDataJsonNeverCrashes) {
    prepare();
    const std::string json = TempDir::read(out + "/data.json");
    fs::remove(out + "/tokenizer.model");
    std::mt19937 random(13);
    for (int i = 0; i < 500; i++) {
        std::string bad = json;
        bad[random() % bad.size()] ^= (char)(1 << random() % 8);
        if (i % 5 == 0) bad.resize(random() % bad.size());
        std::ofstream(out + "/data.json") << bad;
        qn_dataset d = {};
        qn_status status = qn_dataset_open(out.c_str(), &d);
        if (!status) qn_dataset_close(&d);
        qn_status_free(status);
    }
}

TEST(DatasetOpen, TakesTheFoldersOfLlmC) {
    TempDir dir;
    qn_dataset d = {};
    const std::string folder = dir / "fine[web]";
    fs::create_directory(folder);
    dir.write("fine[web]/fineweb_train_000001.bin", gpt2_shard({50256, 1, 2}));
    dir.write("fine[web]/fineweb_train_000002.bin", gpt2_shard({3}));
    dir.write("fine[web]/fineweb_val_000000.bin", gpt2_shard({50256, 4}));
    ASSERT_OK(qn_dataset_open(folder.c_str(), &d));
    EXPECT_EQ(d.boundary_id, 50256);
    EXPECT_EQ(d.vocab_size, 0);
    EXPECT_EQ(d.train_tokens, 4);
    EXPECT_EQ(d.val_tokens, 2);
    qn_dataset_close(&d);
    dir.write("train_0.bin", llama3_shard({128000}));
    dir.write("val_0.bin", llama3_shard({128000}));
    ASSERT_OK(qn_dataset_open(dir.path().c_str(), &d));
    EXPECT_EQ(d.boundary_id, 128000);
    qn_dataset_close(&d);
    dir.write("val_0.bin", gpt2_shard({1}));
    EXPECT_ERROR(qn_dataset_open(dir.path().c_str(), &d), QN_CODE_INVALID, "different tokenizers");
}

} // namespace
