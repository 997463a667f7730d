#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <set>

#include "data/permute.h"
#include "harness/status.h"
#include "harness/temp_dir.h"
#include "quern/loader.h"
#include "shard_file.h"

namespace {

using Loader = std::unique_ptr<qn_loader, decltype(&qn_loader_close)>;

struct Sequence {
    std::vector<int32_t> tokens, targets, doc_start;
    bool operator==(const Sequence &o) const {
        return tokens == o.tokens && targets == o.targets && doc_start == o.doc_start;
    }
};

/* Shards of the tokens 1, 2, …, each its own number, so that a token tells its place. */
class LoaderTest : public testing::Test {
  protected:
    void write_counting(int n_tokens, std::vector<int> shard_sizes = {}) {
        shard_sizes.push_back(n_tokens -
                              std::accumulate(shard_sizes.begin(), shard_sizes.end(), 0));
        int next = 1;
        for (size_t i = 0; i < shard_sizes.size(); i++) {
            std::vector<int> tokens((size_t)shard_sizes[i]);
            std::iota(tokens.begin(), tokens.end(), next);
            next += shard_sizes[i];
            dir.write("t_" + std::to_string(i) + ".bin", gpt2_shard(tokens));
        }
    }
    Loader open(int64_t seq_len, bool shuffle, uint64_t seed = 1, int64_t boundary = -1,
                int64_t overlap = 0) {
        const qn_loader_options o = {seq_len, seed, shuffle, boundary, 60000, overlap, {}};
        qn_loader *l = nullptr;
        EXPECT_OK(qn_loader_open((dir / "t_*.bin").c_str(), &o, &l));
        return {l, qn_loader_close};
    }
    static Sequence fill(const Loader &l, int64_t seq_len, int64_t index) {
        const size_t n = (size_t)seq_len;
        Sequence s = {std::vector<int32_t>(n, -9), std::vector<int32_t>(n, -9),
                      std::vector<int32_t>(n, -9)};
        EXPECT_OK(
            qn_loader_fill(l.get(), index, s.tokens.data(), s.targets.data(), s.doc_start.data()));
        return s;
    }
    qn_status open_status(const qn_loader_options &o) {
        qn_loader *l = nullptr;
        qn_status status = qn_loader_open((dir / "t_*.bin").c_str(), &o, &l);
        qn_loader_close(l);
        return status;
    }
    TempDir dir;
};

TEST(Permute, IsABijectionThatKeysChange) {
    for (int64_t n : {1, 2, 3, 4, 5, 7, 8, 16, 17, 63, 64, 65, 257, 1000, 4096, 10007}) {
        std::vector<int> seen((size_t)n);
        for (int64_t i = 0; i < n; i++) {
            const int64_t to = qn_permute(42, n, i);
            ASSERT_GE(to, 0);
            ASSERT_LT(to, n);
            seen[(size_t)to]++;
        }
        EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), n) << n;
    }
    int same = 0, fixed = 0;
    for (int64_t i = 0; i < 1000; i++) {
        same += qn_permute(1, 1000, i) == qn_permute(2, 1000, i);
        fixed += qn_permute(1, 1000, i) == i;
    }
    EXPECT_LT(same, 10);
    EXPECT_LT(fixed, 10);
    const int64_t huge = (int64_t)1 << 62;
    std::set<int64_t> images;
    for (int64_t i = 0; i < 100; i++) images.insert(qn_permute(3, huge, huge - 1 - i));
    EXPECT_EQ(images.size(), 100u);
}

TEST_F(LoaderTest, OverlapGivesEveryTargetContextOnce) {
    for (int n_tokens : {9, 10, 12, 13, 14, 30, 61}) {
        for (int64_t overlap : {0, 1, 4, 7}) {
            write_counting(n_tokens);
            const Loader l = open(8, false, 1, -1, overlap);
            std::vector<int> seen((size_t)n_tokens + 1);
            for (int64_t k = 0; k < qn_loader_sequences(l.get()); k++) {
                const Sequence s = fill(l, 8, k);
                for (int64_t i = 0; i < 8; i++) {
                    if (s.targets[(size_t)i] < 0) continue;
                    EXPECT_EQ(s.targets[(size_t)i], s.tokens[(size_t)i] + 1);
                    EXPECT_TRUE(k == 0 || i >= overlap) << k << " " << i;
                    seen[(size_t)s.targets[(size_t)i]]++;
                }
            }
            for (int t = 2; t <= n_tokens; t++) {
                EXPECT_EQ(seen[(size_t)t], 1) << t << " of " << n_tokens << ", " << overlap;
            }
        }
    }
    EXPECT_ERROR(open_status({8, 1, 0, -1, 100, 8, {}}), QN_CODE_USAGE, "overlap 8", "0 to 7");
    EXPECT_ERROR(open_status({8, 1, 0, -1, 100, -1, {}}), QN_CODE_USAGE, "overlap -1");
    EXPECT_ERROR(open_status({8, 1, 1, -1, 100, 2, {}}), QN_CODE_USAGE, "shuffled");
}

TEST_F(LoaderTest, UnshuffledMakesEachTokenATargetOnce) {
    for (int n : {9, 10, 16, 17, 18, 100}) {
        for (int T : {1, 4, 8}) {
            write_counting(n, {3, 0, 4});
            Loader l = open(T, false);
            ASSERT_EQ(qn_loader_tokens(l.get()), n);
            ASSERT_EQ(qn_loader_sequences(l.get()), (n - 1 + T - 1) / T);
            int next = 2;
            for (int64_t i = 0; i < qn_loader_sequences(l.get()); i++) {
                const Sequence s = fill(l, T, i);
                for (int k = 0; k < T; k++) {
                    const bool padding = next > n;
                    EXPECT_EQ(s.tokens[(size_t)k], padding ? 0 : next - 1);
                    EXPECT_EQ(s.targets[(size_t)k], padding ? -1 : next);
                    next += !padding;
                }
            }
            EXPECT_EQ(next, n + 1);
            EXPECT_EQ(fill(l, T, qn_loader_sequences(l.get())), fill(l, T, 0));
        }
    }
}

/* Windows of an epoch are a row without gaps or overlap, at an offset below T. */
TEST_F(LoaderTest, ShuffledVisitsEachWindowOnceAnEpoch) {
    for (int n : {9, 16, 17, 24, 25, 26, 500}) {
        const int T = 8;
        write_counting(n, {2, 6});
        Loader l = open(T, true);
        const int64_t S = qn_loader_sequences(l.get());
        ASSERT_GE(S, 1);
        ASSERT_GE((S + 2) * T + 1, n) << "at most two windows are left out";
        for (int64_t epoch = 0; epoch < 20; epoch++) {
            std::vector<int> starts;
            for (int64_t i = 0; i < S; i++) {
                const Sequence s = fill(l, T, epoch * S + i);
                starts.push_back(s.tokens[0]);
                for (int k = 0; k < T; k++) {
                    EXPECT_EQ(s.tokens[(size_t)k], starts.back() + k);
                    EXPECT_EQ(s.targets[(size_t)k], starts.back() + k + 1);
                }
                EXPECT_LE(s.targets.back(), n);
            }
            std::sort(starts.begin(), starts.end());
            EXPECT_LE(starts[0], T);
            for (size_t i = 1; i < starts.size(); i++) EXPECT_EQ(starts[i], starts[i - 1] + T);
        }
    }
}

TEST_F(LoaderTest, OrderDependsOnSeedAndEpochAndNothingElse) {
    write_counting(2000);
    Loader a = open(8, true, 1), again = open(8, true, 1), b = open(8, true, 2);
    const int64_t S = qn_loader_sequences(a.get());
    int same_seed = 0, same_epoch = 0;
    std::set<int> offsets;
    for (int64_t i = S - 1; i >= 0; i--) {
        const Sequence s = fill(a, 8, i);
        EXPECT_EQ(fill(again, 8, i), s);
        same_seed += fill(b, 8, i).tokens == s.tokens;
        same_epoch += fill(a, 8, S + i).tokens == s.tokens;
    }
    for (int64_t epoch = 0; epoch < 100; epoch++)
        offsets.insert((fill(a, 8, epoch * S).tokens[0] - 1) % 8);
    EXPECT_LT(same_seed, 20);
    EXPECT_LT(same_epoch, 20);
    EXPECT_EQ(offsets.size(), 8u);
    fill(a, 8, INT64_MAX);
}

TEST_F(LoaderTest, MarksWhereDocumentsBegin) {
    dir.write("t_0.bin", gpt2_shard({7, 5, 7, 7, 5, 5, 5, 7, 5}));
    Loader l = open(4, false, 1, 7);
    EXPECT_EQ(fill(l, 4, 0).doc_start, (std::vector<int32_t>{0, 0, 2, 3}));
    EXPECT_EQ(fill(l, 4, 1).doc_start, (std::vector<int32_t>{0, 0, 0, 3}));
    Loader none = open(4, false, 1, -1);
    EXPECT_EQ(fill(none, 4, 0).doc_start, (std::vector<int32_t>{0, 0, 0, 0}));
    Loader padded = open(6, false, 1, 0);
    EXPECT_EQ(fill(padded, 6, 1).doc_start, std::vector<int32_t>(6, 0));
    std::vector<int32_t> tokens(4), targets(4);
    EXPECT_OK(qn_loader_fill(l.get(), 0, tokens.data(), targets.data(), nullptr));
}

TEST_F(LoaderTest, OrdersShardsByName) {
    dir.write("t_b.bin", gpt2_shard({3, 4}));
    dir.write("t_B.bin", gpt2_shard({1, 2}));
    dir.write("t_c.bin", gpt2_shard({5, 6}));
    EXPECT_EQ(fill(open(5, false), 5, 0).targets, (std::vector<int32_t>{2, 3, 4, 5, 6}));
}

TEST_F(LoaderTest, ReadsLlama3Shards) {
    dir.write("t_0.bin", llama3_shard({50000, 2, 3}));
    dir.write("t_1.bin", llama3_shard({4}));
    EXPECT_EQ(fill(open(3, false), 3, 0).targets, (std::vector<int32_t>{2, 3, 4}));
}

TEST_F(LoaderTest, RefusesWhatItCannotServe) {
    EXPECT_ERROR(open_status({4, 1, 0, -1, 100, 0, {}}), QN_CODE_IO, "t_*.bin");
    write_counting(8);
    EXPECT_ERROR(open_status({8, 1, 0, -1, 100, 0, {}}), QN_CODE_INVALID, "8 tokens", "at least 9");
    EXPECT_OK(open_status({7, 1, 0, -1, 100, 0, {}}));
    EXPECT_OK(open_status({7, 1, 1, -1, 100, 0, {}}));
    EXPECT_ERROR(open_status({0, 1, 0, -1, 100, 0, {}}), QN_CODE_USAGE, "sequence length 0");
    EXPECT_ERROR(open_status({INT64_MAX, 1, 0, -1, 100, 0, {}}), QN_CODE_USAGE, "sequence length");
    EXPECT_ERROR(open_status({4, 1, 0, -1, 0, 0, {}}), QN_CODE_USAGE, "vocabulary size 0");
    EXPECT_ERROR(open_status({4, 1, 0, 100, 100, 0, {}}), QN_CODE_USAGE, "boundary token 100");
    dir.write("t_9.bin", llama3_shard({1}));
    EXPECT_ERROR(open_status({4, 1, 0, -1, 100, 0, {}}), QN_CODE_INVALID, "t_9.bin", "4 bytes");
    dir.write("t_9.bin", "short");
    EXPECT_ERROR(open_status({4, 1, 0, -1, 100, 0, {}}), QN_CODE_INVALID, "t_9.bin", "5 bytes");
}

TEST_F(LoaderTest, RefusesTokensOutsideTheVocabulary) {
    dir.write("t_0.bin", gpt2_shard({1, 2, 3}));
    dir.write("t_1.bin", gpt2_shard({4, 60000, 6}));
    Loader l = open(3, false);
    std::vector<int32_t> tokens(3), targets(3);
    EXPECT_OK(qn_loader_fill(l.get(), 0, tokens.data(), targets.data(), nullptr));
    EXPECT_ERROR(qn_loader_fill(l.get(), 1, tokens.data(), targets.data(), nullptr),
                 QN_CODE_INVALID, "t_1.bin", "position 1 (from 0) is 60000");
    EXPECT_ERROR(qn_loader_fill(l.get(), -1, tokens.data(), targets.data(), nullptr), QN_CODE_USAGE,
                 "-1");
}

} // namespace
