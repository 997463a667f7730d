#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "harness/status.h"
#include "harness/temp_dir.h"
#include "quern/loader.h"
#include "shard_file.h"

namespace {

class Fingerprint : public testing::Test {
  protected:
    qn_fingerprint of(const TempDir &folder) {
        const qn_loader_options options = {2, 1, 1, -1, 65536, 0, {}};
        qn_loader *loader = nullptr;
        qn_fingerprint out = {};
        EXPECT_OK(qn_loader_open((folder / "*.bin").c_str(), &options, &loader));
        if (loader) qn_loader_fingerprint(loader, &out);
        qn_loader_close(loader);
        return out;
    }
    bool equal(const qn_fingerprint &a, const qn_fingerprint &b) {
        return qn_fingerprint_equal(&a, &b);
    }
    TempDir dir;
};

std::vector<int> counting(int first, int count) {
    std::vector<int> tokens((size_t)count);
    std::iota(tokens.begin(), tokens.end(), first);
    return tokens;
}

} // namespace

TEST_F(Fingerprint, CountsAndForgetsNames) {
    dir.write("a.bin", gpt2_shard(counting(0, 100)));
    dir.write("b.bin", gpt2_shard(counting(100, 50)));
    const qn_fingerprint whole = of(dir);
    EXPECT_EQ(whole.shards, 2);
    EXPECT_EQ(whole.tokens, 150);
    EXPECT_EQ(whole.bytes, 2 * 1024 + 2 * 150);
    TempDir other;
    other.write("train_1.bin", gpt2_shard(counting(0, 100)));
    other.write("train_2.bin", gpt2_shard(counting(100, 50)));
    EXPECT_TRUE(equal(of(other), whole));
}

TEST_F(Fingerprint, AnotherTextIsAnother) {
    dir.write("a.bin", gpt2_shard(counting(0, 100)));
    dir.write("b.bin", gpt2_shard(counting(100, 100)));
    const qn_fingerprint whole = of(dir);
    for (int at : {0, 50, 99}) { // one bit of one token
        std::vector<int> tokens = counting(100, 100);
        tokens[(size_t)at] ^= 1;
        dir.write("b.bin", gpt2_shard(tokens));
        EXPECT_FALSE(equal(of(dir), whole)) << at;
    }
    dir.write("a.bin", gpt2_shard(counting(100, 100))); // in another order
    dir.write("b.bin", gpt2_shard(counting(0, 100)));
    EXPECT_FALSE(equal(of(dir), whole));
    dir.write("a.bin", gpt2_shard(counting(0, 101))); // cut elsewhere
    dir.write("b.bin", gpt2_shard(counting(101, 99)));
    EXPECT_FALSE(equal(of(dir), whole));
    dir.write("b.bin", llama3_shard(counting(100, 100))); // other widths
    dir.write("a.bin", llama3_shard(counting(0, 100)));
    EXPECT_FALSE(equal(of(dir), whole));
}

// 64 blocks of 64 KiB of a shard of 4.6 MB: its ends are seen, and so is its size.
TEST_F(Fingerprint, ReadsPartsOfALargeShard) {
    const int count = 2300000;
    std::string bytes = gpt2_shard(std::vector<int>((size_t)count, 7));
    dir.write("a.bin", bytes);
    const qn_fingerprint whole = of(dir);
    const size_t step = (bytes.size() - 65536) / 63;
    for (size_t at : {(size_t)1024, (size_t)65535, step, 62 * step + 65535, bytes.size() - 65536,
                      bytes.size() - 1}) {
        std::string other = bytes;
        other[at] ^= 1;
        dir.write("a.bin", other);
        EXPECT_FALSE(equal(of(dir), whole)) << at;
    }
    // What is documented as not seen: it lies between two blocks.
    std::string other = bytes;
    other[65536] ^= 1;
    dir.write("a.bin", other);
    EXPECT_TRUE(equal(of(dir), whole));
    dir.write("a.bin", gpt2_shard(std::vector<int>((size_t)count - 1, 7)));
    EXPECT_FALSE(equal(of(dir), whole));
}
