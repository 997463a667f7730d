#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <random>

#include "data/shard.h"
#include "harness/status.h"
#include "harness/temp_dir.h"
#include "shard_file.h"

namespace {

std::vector<int> read_all(const qn_shard &shard) {
    std::vector<int> tokens;
    for (int64_t i = 0; i < shard.count; i++) tokens.push_back((int)qn_shard_token(&shard, i));
    return tokens;
}

TEST(Shard, ReadsBothVersions) {
    TempDir dir;
    qn_shard shard;
    ASSERT_OK(qn_shard_open(dir.write("a.bin", gpt2_shard({1, 50256, 65535, 0})).c_str(), &shard));
    EXPECT_EQ(read_all(shard), (std::vector<int>{1, 50256, 65535, 0}));
    qn_shard_close(&shard);
    ASSERT_OK(qn_shard_open(dir.write("b.bin", llama3_shard({128000, 7})).c_str(), &shard));
    EXPECT_EQ(read_all(shard), (std::vector<int>{128000, 7}));
    qn_shard_close(&shard);
    ASSERT_OK(qn_shard_open(dir.write("c.bin", gpt2_shard({})).c_str(), &shard));
    EXPECT_EQ(shard.count, 0);
    qn_shard_close(&shard);
}

TEST(Shard, RefusesMalformedFiles) {
    TempDir dir;
    qn_shard shard;
    auto expect_bad = [&](const std::string &bytes, const std::string &part) {
        EXPECT_ERROR(qn_shard_open(dir.write("bad.bin", bytes).c_str(), &shard), QN_CODE_INVALID,
                     "bad.bin", part);
    };
    const std::string good = gpt2_shard({1, 2, 3});
    expect_bad("", "0 bytes");
    expect_bad(good.substr(0, 1023), "1023 bytes");
    expect_bad(good.substr(0, 1024), "truncated");
    expect_bad(good.substr(0, good.size() - 1), "truncated");
    expect_bad(good + "x", "after its end");
    expect_bad(shard_header(17, 1, 0), "magic 17, expected 20240520");
    expect_bad(shard_header(20240520, 2, 0), "version 2, expected 1");
    expect_bad(shard_header(20240801, 1, 0), "version 1, expected 7");
    expect_bad(shard_header(20240520, 1, -1), "-1 tokens");
    expect_bad(shard_header(20240520, 1, INT32_MAX), "truncated");
    EXPECT_ERROR(qn_shard_open((dir / "none.bin").c_str(), &shard), QN_CODE_IO, "none.bin");
    EXPECT_ERROR(qn_shard_open(dir.path().c_str(), &shard), QN_CODE_INVALID, "regular file");
}

TEST(Shard, DamagedHeadersNeverCrash) {
    TempDir dir;
    std::mt19937 random(3);
    const std::string good = gpt2_shard({1, 2, 3, 4, 5});
    for (int i = 0; i < 500; i++) {
        std::string bad = good;
        bad[random() % 12] ^= (char)(1 << random() % 8);
        if (i % 3 == 0) bad.resize(random() % bad.size());
        qn_shard shard;
        EXPECT_ERROR(qn_shard_open(dir.write("bad.bin", bad).c_str(), &shard), QN_CODE_INVALID,
                     "bad.bin");
    }
}

/* Three gigabytes of which only the last tokens are on disk. */
TEST(Shard, ReadsBeyondTwoGigabytes) {
    TempDir dir;
    const int32_t count = 1600000000;
    const std::string path = dir.write("big.bin", shard_header(20240520, 1, count));
    int fd = open(path.c_str(), O_WRONLY);
    const uint16_t last[2] = {1234, 4321};
    const off_t end = 1024 + 2 * (off_t)count;
    if (ftruncate(fd, end) != 0 || pwrite(fd, last, sizeof last, end - 4) != 4) {
        close(fd);
        GTEST_SKIP() << "the temporary folder cannot hold a sparse file of 3.2 GB";
    }
    close(fd);
    qn_shard shard;
    ASSERT_OK(qn_shard_open(path.c_str(), &shard));
    EXPECT_EQ(shard.count, count);
    EXPECT_EQ(qn_shard_token(&shard, 0), 0u);
    EXPECT_EQ(qn_shard_token(&shard, count - 2), 1234u);
    EXPECT_EQ(qn_shard_token(&shard, count - 1), 4321u);
    qn_shard_close(&shard);
}

void write_shards(const TempDir &dir, int64_t vocab_size, int64_t shard_tokens,
                  const std::vector<int32_t> &tokens) {
    qn_shard_writer w;
    qn_shard_writer_init(&w, dir.path().c_str(), "train", vocab_size, shard_tokens);
    ASSERT_OK(qn_shard_write(&w, tokens.data(), 2));
    ASSERT_OK(qn_shard_write(&w, tokens.data() + 2, tokens.size() - 2));
    ASSERT_OK(qn_shard_writer_finish(&w));
    EXPECT_EQ(w.total, (int64_t)tokens.size());
    qn_shard_writer_abandon(&w);
}

TEST(ShardWriter, WritesTheLayoutOfEachWidth) {
    TempDir narrow, wide;
    write_shards(narrow, 65536, 100, {1, 65535, 3});
    EXPECT_EQ(TempDir::read(narrow / "train_000000.bin"), gpt2_shard({1, 65535, 3}));
    write_shards(wide, 65537, 100, {1, 65536, 3});
    EXPECT_EQ(TempDir::read(wide / "train_000000.bin"), llama3_shard({1, 65536, 3}));
}

TEST(ShardWriter, BeginsANewFileWhenOneIsFull) {
    TempDir dir;
    write_shards(dir, 100, 3, {1, 2, 3, 4, 5, 6});
    EXPECT_EQ(TempDir::read(dir / "train_000000.bin"), gpt2_shard({1, 2, 3}));
    EXPECT_EQ(TempDir::read(dir / "train_000001.bin"), gpt2_shard({4, 5, 6}));
    EXPECT_FALSE(std::filesystem::exists(dir / "train_000002.bin"));
}

TEST(ShardWriter, ReportsAMissingFolder) {
    qn_shard_writer w;
    const int32_t token = 1;
    qn_shard_writer_init(&w, "/nonexistent", "train", 100, 3);
    EXPECT_ERROR(qn_shard_write(&w, &token, 1), QN_CODE_IO, "/nonexistent/train_000000.bin");
    qn_shard_writer_abandon(&w);
}

} // namespace
