// test_examples.cc: data of examples of one length: the folder, and the sequences that the loader
// makes of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <set>

#include "harness/status.h"
#include "harness/temp_dir.h"
#include "quern/dataset.h"
#include "quern/loader.h"
#include "shard_file.h"

namespace {

using Loader = std::unique_ptr<qn_loader, decltype(&qn_loader_close)>;
using Tokens = std::vector<int32_t>;

struct Sequence {
    Tokens tokens, targets;
};

Sequence fill(const Loader &l, int64_t seq_len, int64_t index) {
    Sequence s = {Tokens((size_t)seq_len, -9), Tokens((size_t)seq_len, -9)};
    EXPECT_OK(qn_loader_fill(l.get(), index, s.tokens.data(), s.targets.data(), nullptr));
    return s;
}

// ---- the loader ----------------------------------------------------------------------------

// Shards of the tokens 0, 1, 2, …: example e of length L begins with e·L.
class ExamplesLoader : public testing::Test {
  protected:
    void write_counting(int count) {
        std::vector<int> tokens((size_t)count);
        std::iota(tokens.begin(), tokens.end(), 0);
        const size_t cut = tokens.size() / 3; // inside an example
        dir.write("t_0.bin", gpt2_shard({tokens.begin(), tokens.begin() + (long)cut}));
        dir.write("t_1.bin", gpt2_shard({tokens.begin() + (long)cut, tokens.end()}));
    }
    qn_status open(const qn_loader_options &o, Loader *out) {
        qn_loader *l = nullptr;
        qn_status status = qn_loader_open((dir / "t_*.bin").c_str(), &o, &l);
        *out = Loader(l, qn_loader_close);
        return status;
    }
    static qn_loader_options options(int64_t length, bool shuffle = false) {
        qn_loader_options o = {};
        o.seq_len = length - 1;
        o.seed = 1;
        o.shuffle = shuffle;
        o.boundary_id = -1;
        o.vocab_size = 60000;
        o.examples.length = length;
        return o;
    }
    Loader open(const qn_loader_options &o) {
        Loader l(nullptr, qn_loader_close);
        EXPECT_OK(open(o, &l));
        return l;
    }
    qn_status refusal(const qn_loader_options &o) {
        Loader l(nullptr, qn_loader_close);
        return open(o, &l);
    }
    TempDir dir;
};

TEST_F(ExamplesLoader, ASequenceIsAnExample) {
    write_counting(7 * 5);
    const Loader l = open(options(5));
    ASSERT_EQ(qn_loader_sequences(l.get()), 7);
    EXPECT_EQ(qn_loader_targets(l.get()), 4);
    for (int e = 0; e < 14; e++) { // the second pass is the first again
        const Sequence s = fill(l, 4, e);
        const int first = e % 7 * 5;
        EXPECT_EQ(s.tokens, (Tokens{first, first + 1, first + 2, first + 3}));
        EXPECT_EQ(s.targets, (Tokens{first + 1, first + 2, first + 3, first + 4}));
    }
}

TEST_F(ExamplesLoader, AShuffledEpochHasEachExampleWholeAndOnce) {
    write_counting(50 * 5);
    const Loader l = open(options(5, true));
    std::vector<std::vector<int>> orders;
    for (int epoch = 0; epoch < 3; epoch++) {
        std::vector<int> order;
        for (int k = 0; k < 50; k++) {
            const Sequence s = fill(l, 4, epoch * 50 + k);
            EXPECT_EQ(s.tokens[0] % 5, 0);
            EXPECT_EQ(s.targets[3], s.tokens[0] + 4);
            order.push_back(s.tokens[0] / 5);
        }
        EXPECT_EQ(std::set<int>(order.begin(), order.end()).size(), 50u);
        orders.push_back(order);
    }
    EXPECT_NE(orders[0], orders[1]);
    EXPECT_NE(orders[1], orders[2]);
}

TEST_F(ExamplesLoader, OnlyNamedTokensAreTargets) {
    write_counting(3 * 6);
    int64_t positions[] = {2, 3, 5};
    qn_loader_options o = options(6);
    o.examples.targets = positions;
    o.examples.n_targets = 3;
    const Loader l = open(o);
    positions[0] = 1; // read on opening only
    EXPECT_EQ(qn_loader_targets(l.get()), 3);
    EXPECT_EQ(fill(l, 5, 1).targets, (Tokens{-1, 8, 9, -1, 11}));
    o.examples.n_targets = 1;
    EXPECT_EQ(fill(open(o), 5, 1).targets, (Tokens{7, -1, -1, -1, -1}));
}

TEST_F(ExamplesLoader, CountsTheSequencesThatHaveSoManyTargets) {
    write_counting(7 * 5);
    int64_t positions[] = {1, 4};
    qn_loader_options o = options(5);
    const Loader whole = open(o);
    o.examples.targets = positions;
    o.examples.n_targets = 2;
    const Loader named = open(o);
    const int64_t wanted[] = {1, 2, 3, 4, 5, 8, 9, 14, 15, 28, 29, INT64_MAX};
    for (int64_t targets : wanted) {
        const int64_t four = targets > 28 ? 7 : (targets + 3) / 4;
        const int64_t two = targets > 14 ? 7 : (targets + 1) / 2;
        EXPECT_EQ(qn_loader_sequences_for(whole.get(), targets), four) << targets;
        EXPECT_EQ(qn_loader_sequences_for(named.get(), targets), two) << targets;
    }
}

// Of a text: the first sequence has T targets, later ones those that do not overlap.
TEST_F(ExamplesLoader, SoDoSequencesOfAText) {
    write_counting(101);
    qn_loader_options o = options(11);
    o.examples.length = 0;
    o.overlap = 4;
    const Loader l = open(o);
    EXPECT_EQ(qn_loader_targets(l.get()), 6);
    ASSERT_EQ(qn_loader_sequences(l.get()), 16);
    const int64_t wanted[][2] = {{1, 1}, {10, 1}, {11, 2}, {16, 2}, {17, 3}, {100, 16}, {9999, 16}};
    for (const auto &w : wanted) EXPECT_EQ(qn_loader_sequences_for(l.get(), w[0]), w[1]) << w[0];
}

TEST_F(ExamplesLoader, RefusesOtherLengthsAndParts) {
    write_counting(35);
    qn_loader_options o = options(5);
    o.seq_len = 5;
    EXPECT_ERROR(refusal(o), QN_CODE_USAGE, "examples of 5 tokens", "expected 4", "--seq-len");
    o = options(5);
    o.overlap = 2;
    EXPECT_ERROR(refusal(o), QN_CODE_USAGE, "overlap 2", "0 for examples");
    EXPECT_ERROR(refusal(options(4)), QN_CODE_INVALID, "35 tokens", "examples of 4 tokens");
    EXPECT_ERROR(refusal(options(36)), QN_CODE_INVALID, "35 tokens", "examples of 36");
    int64_t position = 5;
    o = options(5);
    o.examples.targets = &position;
    o.examples.n_targets = 1;
    EXPECT_ERROR(refusal(o), QN_CODE_INVALID, "at position 5", "1 to 4");
}

TEST_F(ExamplesLoader, TheShapeIsPartOfTheFingerprint) {
    write_counting(60);
    const auto of = [&](const qn_loader_options &o) {
        qn_fingerprint f;
        qn_loader_fingerprint(open(o).get(), &f);
        return f.hash;
    };
    int64_t positions[] = {1, 4};
    qn_loader_options text = options(5), some = options(5), fewer = options(5);
    text.examples.length = 0;
    some.examples.targets = fewer.examples.targets = positions;
    some.examples.n_targets = 2;
    fewer.examples.n_targets = 1;
    const std::set<uint64_t> all = {of(text), of(options(5)), of(options(6)), of(some), of(fewer)};
    EXPECT_EQ(all.size(), 5u);
    EXPECT_EQ(of(some), of(some));
}

// ---- the folder ----------------------------------------------------------------------------

class ExamplesFolder : public testing::Test {
  protected:
    void SetUp() override { std::filesystem::create_directory(dir / "data"); }
    // What opening says of two examples in one split, three in the other, and this data.json.
    qn_status open(const std::string &examples, int train = 10, int val = 15) {
        dir.write("data/train_000000.bin", gpt2_shard(std::vector<int>((size_t)train, 1)));
        dir.write("data/val_000000.bin", gpt2_shard(std::vector<int>((size_t)val, 2)));
        const auto split = [](int n) {
            return R"({"tokens": )" + std::to_string(n) + R"(, "bytes": 0, "documents": 1})";
        };
        dir.write("data/data.json", R"({"format": 2, "vocab_size": 64, "boundary_id": -1,
                  "train": )" + split(train) +
                                        R"(, "val": )" + split(val) + examples + "}");
        qn_dataset_close(&dataset);
        return qn_dataset_open((dir / "data").c_str(), &dataset);
    }
    void TearDown() override { qn_dataset_close(&dataset); }

    TempDir dir;
    qn_dataset dataset = {};
};

TEST_F(ExamplesFolder, SaysWhatTheExamplesAre) {
    ASSERT_OK(open(""));
    EXPECT_EQ(dataset.examples.length, 0);
    ASSERT_OK(open(R"(, "examples": {"length": 5})"));
    EXPECT_EQ(dataset.examples.length, 5);
    EXPECT_EQ(dataset.examples.targets, nullptr);
    EXPECT_EQ(qn_examples_targets(&dataset.examples), 4);
    ASSERT_OK(open(R"(, "examples": {"length": 5, "targets": [1, 4]})"));
    EXPECT_EQ(qn_examples_targets(&dataset.examples), 2);
    EXPECT_EQ(dataset.examples.targets[0], 1);
    EXPECT_EQ(dataset.examples.targets[1], 4);
}

TEST_F(ExamplesFolder, RefusesShapesThatAreNone) {
    const char *const shapes[][2] = {{"5", "an object"},
                                     {R"({"targets": [1]})", "length"},
                                     {R"({"length": 1})", "2 to"},
                                     {R"({"length": 4294967296})", "2 to"},
                                     {R"({"length": "5"})", "length"},
                                     {R"({"length": 5, "width": 2})", "width"},
                                     {R"({"length": 5, "targets": 3})", "a list"},
                                     {R"({"length": 5, "targets": []})", "at least one"},
                                     {R"({"length": 5, "targets": [0]})", "position 0"},
                                     {R"({"length": 5, "targets": [5]})", "position 5"},
                                     {R"({"length": 5, "targets": [2, 2]})", "ascending"},
                                     {R"({"length": 5, "targets": [3, 1]})", "ascending"},
                                     {R"({"length": 5, "targets": [1.5]})", "whole number"},
                                     {R"({"length": 5, "targets": ["1"]})", "whole number"}};
    for (const auto &s : shapes)
        EXPECT_ERROR(open(R"(, "examples": )" + std::string(s[0])), QN_CODE_INVALID, "data.json",
                     s[1])
            << s[0];
}

TEST_F(ExamplesFolder, RefusesShardsWithPartsOfExamples) {
    const std::string five = R"(, "examples": {"length": 5})";
    EXPECT_ERROR(open(five, 11), QN_CODE_INVALID, "11 tokens", "\"train\"", "examples of 5");
    EXPECT_ERROR(open(five, 10, 14), QN_CODE_INVALID, "14 tokens", "\"val\"");
    EXPECT_ERROR(open(five, 10, 0), QN_CODE_INVALID, "0 tokens", "\"val\"");
}

// ---- writing ---------------------------------------------------------------------------------

class ExamplesWrite : public testing::Test {
  protected:
    qn_status write() {
        return qn_examples_write((dir / "out").c_str(), &shape, vocab_size,
                                 {train.data(), (int64_t)train.size() / 4},
                                 {val.data(), (int64_t)val.size() / 4});
    }
    TempDir dir;
    int64_t positions[2] = {2, 3};
    qn_examples shape = {4, positions, 2};
    int64_t vocab_size = 9;
    Tokens train = {0, 1, 2, 3, 8, 7, 6, 5}, val = {4, 4, 4, 4};
};

TEST_F(ExamplesWrite, OpensAsItWasWritten) {
    ASSERT_OK(write());
    qn_dataset d;
    ASSERT_OK(qn_dataset_open((dir / "out").c_str(), &d));
    EXPECT_EQ(d.vocab_size, 9);
    EXPECT_EQ(d.boundary_id, -1);
    EXPECT_EQ(d.train_tokens, 8);
    EXPECT_EQ(d.val_tokens, 4);
    EXPECT_EQ(d.examples.length, 4);
    const qn_loader_options o = {3, 1, 0, -1, 9, 0, d.examples};
    qn_loader *l;
    ASSERT_OK(qn_loader_open(d.train_pattern, &o, &l));
    const Sequence s = fill(Loader(l, qn_loader_close), 3, 1);
    EXPECT_EQ(s.tokens, (Tokens{8, 7, 6}));
    EXPECT_EQ(s.targets, (Tokens{-1, 6, 5}));
    qn_dataset_close(&d);
}

TEST_F(ExamplesWrite, LeavesNothingBehindWhereItRefuses) {
    train[5] = 9;
    EXPECT_ERROR(write(), QN_CODE_USAGE, "token 5 of \"train\" is 9", "0 to 8");
    train[5] = -1;
    EXPECT_ERROR(write(), QN_CODE_USAGE, "is -1");
    train[5] = 7;
    val.clear();
    EXPECT_ERROR(write(), QN_CODE_USAGE, "0 examples in \"val\"");
    val = {4, 4, 4, 4};
    positions[1] = 4;
    EXPECT_ERROR(write(), QN_CODE_INVALID, "position 4");
    positions[1] = 3;
    vocab_size = 0;
    EXPECT_ERROR(write(), QN_CODE_USAGE, "vocabulary size 0");
    EXPECT_FALSE(std::filesystem::exists(dir / "out"));
    EXPECT_FALSE(std::filesystem::exists(dir / "out.tmp"));
}

TEST_F(ExamplesWrite, ReplacesNothing) {
    ASSERT_OK(write());
    EXPECT_ERROR(write(), QN_CODE_USAGE, "out");
    qn_dataset d;
    ASSERT_OK(qn_dataset_open((dir / "out").c_str(), &d));
    qn_dataset_close(&d);
}

} // namespace
