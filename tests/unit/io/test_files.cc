#include "quern/files.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "harness/status.h"
#include "harness/temp_dir.h"

namespace fs = std::filesystem;

/* Reads with qn_file_read; checks the zero behind the end. */
static std::string read_back(const std::string &path) {
    char *data;
    size_t length;
    EXPECT_OK(qn_file_read(path.c_str(), &data, &length));
    if (!data) return "(error)";
    EXPECT_EQ(data[length], 0);
    std::string text(data, length);
    free(data);
    return text;
}

static std::string bytes(size_t n) {
    std::string s(n, 0);
    for (size_t i = 0; i < n; i++) s[i] = (char)(i * 2654435761u >> 13);
    return s;
}

static qn_status write(const std::string &path, const std::string &data) {
    return qn_file_write(path.c_str(), data.data(), data.size());
}

/* While it lives, no file grows beyond `size`: writes fall short, then fail. */
class FileSizeLimit {
  public:
    explicit FileSizeLimit(rlim_t size) {
        handler_ = signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &old_);
        rlimit limit = {size, old_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() {
        setrlimit(RLIMIT_FSIZE, &old_);
        signal(SIGXFSZ, handler_);
    }

  private:
    rlimit old_;
    sighandler_t handler_;
};

TEST(Files, ReadsBackWhatWasWritten) {
    TempDir dir;
    for (size_t n : {0, 1, 4095, 4096, 4097, 3000000}) {
        ASSERT_OK(write(dir / "a", bytes(n)));
        EXPECT_EQ(read_back(dir / "a"), bytes(n)) << n;
    }
    EXPECT_FALSE(fs::exists(dir / "a.tmp"));
}

TEST(Files, ReadsFilesWithoutASize) {
    EXPECT_NE(read_back("/proc/self/status").find("Name:"), std::string::npos);
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    ASSERT_EQ(::write(ends[1], bytes(20000).data(), 20000), 20000);
    close(ends[1]);
    EXPECT_EQ(read_back("/proc/self/fd/" + std::to_string(ends[0])), bytes(20000));
    close(ends[0]);
}

TEST(Files, ReadErrorsNameThePath) {
    TempDir dir;
    char *data;
    size_t length = 7;
    EXPECT_ERROR(qn_file_read((dir / "none").c_str(), &data, &length), QN_CODE_IO, dir / "none",
                 "No such file");
    EXPECT_EQ(data, nullptr);
    EXPECT_EQ(length, 0u);
    EXPECT_ERROR(qn_file_read(dir.path().c_str(), &data, &length), QN_CODE_IO, "Is a directory");
}

TEST(Files, AFailedWriteKeepsTheOldFile) {
    TempDir dir;
    ASSERT_OK(write(dir / "a", "old"));
    {
        FileSizeLimit limit(1000);
        EXPECT_ERROR(write(dir / "a", bytes(5000)), QN_CODE_IO, dir / "a", "write",
                     "File too large");
    }
    EXPECT_EQ(read_back(dir / "a"), "old");
    EXPECT_FALSE(fs::exists(dir / "a.tmp"));
}

TEST(Files, AWriteThatCannotReplaceLeavesNothing) {
    TempDir dir;
    ASSERT_OK(qn_dir_create((dir / "a/full").c_str()));
    EXPECT_ERROR(write(dir / "a", "x"), QN_CODE_IO, dir / "a", "replace");
    EXPECT_FALSE(fs::exists(dir / "a.tmp"));
    EXPECT_ERROR(write(dir / "none/a", "x"), QN_CODE_IO, "none/a.tmp", "No such file");
}

TEST(Files, WritesOverALeftTemporary) {
    TempDir dir;
    dir.write("a.tmp", std::string(100, 'x'));
    ASSERT_OK(write(dir / "a", "new"));
    EXPECT_EQ(read_back(dir / "a"), "new");
}

TEST(Files, WritesIntoTheCurrentFolder) {
    TempDir dir;
    const fs::path before = fs::current_path();
    fs::current_path(dir.path());
    EXPECT_OK(write("plain", "x"));
    EXPECT_EQ(read_back("plain"), "x");
    fs::current_path(before);
}

TEST(Files, Checksum) {
    TempDir dir;
    uint64_t sum = 0;
    for (size_t n : {0, 1, 1 << 20, (1 << 20) + 1, 2500000}) {
        dir.write("a", bytes(n));
        ASSERT_OK(qn_file_checksum((dir / "a").c_str(), &sum));
        EXPECT_EQ(sum, XXH3_64bits(bytes(n).data(), n)) << n;
    }
    dir.write("a", "");
    ASSERT_OK(qn_file_checksum((dir / "a").c_str(), &sum));
    EXPECT_EQ(sum, 0x2d06800538d394c2ull) << "XXH3 of nothing, as published";
    EXPECT_ERROR(qn_file_checksum((dir / "none").c_str(), &sum), QN_CODE_IO, "none");
    EXPECT_ERROR(qn_file_checksum(dir.path().c_str(), &sum), QN_CODE_IO, "directory");
}

TEST(Files, Path) {
    char *path = qn_path("%s/step-%d", "run", 7);
    EXPECT_STREQ(path, "run/step-7");
    free(path);
}

TEST(Folders, CreatesParents) {
    TempDir dir;
    ASSERT_OK(qn_dir_create((dir / "a/b//c/").c_str()));
    EXPECT_TRUE(fs::is_directory(dir / "a/b/c"));
    EXPECT_OK(qn_dir_create((dir / "a/b/c").c_str()));
    EXPECT_TRUE(qn_path_exists((dir / "a").c_str()));
    EXPECT_FALSE(qn_path_exists((dir / "b").c_str()));
}

TEST(Folders, CreateErrorsNameTheFolder) {
    TempDir dir;
    dir.write("file", "x");
    EXPECT_ERROR(qn_dir_create((dir / "file").c_str()), QN_CODE_IO, dir / "file",
                 "Not a directory");
    EXPECT_ERROR(qn_dir_create((dir / "file/b").c_str()), QN_CODE_IO, dir / "file",
                 "Not a directory");
    EXPECT_ERROR(qn_dir_create(""), QN_CODE_IO, "No such file");
}

TEST(Folders, RemovesAllItHoldsAndNothingElse) {
    TempDir dir;
    ASSERT_OK(qn_dir_create((dir / "a/b/c").c_str()));
    ASSERT_OK(qn_dir_create((dir / "other").c_str()));
    dir.write("a/b/file", "x");
    dir.write("other/keep", "x");
    fs::create_directory_symlink(dir / "other", dir / "a/link");
    fs::create_symlink("nowhere", dir / "a/b/dangling");
    ASSERT_OK(qn_dir_remove((dir / "a").c_str()));
    EXPECT_FALSE(fs::exists(dir / "a"));
    EXPECT_TRUE(fs::exists(dir / "other/keep"));
    EXPECT_OK(qn_dir_remove((dir / "a").c_str())) << "a missing folder is fine";
}

TEST(Folders, RemoveRefusesFilesAndLinks) {
    TempDir dir;
    dir.write("file", "x");
    ASSERT_OK(qn_dir_create((dir / "a").c_str()));
    dir.write("a/keep", "x");
    fs::create_directory_symlink(dir / "a", dir / "link");
    EXPECT_ERROR(qn_dir_remove((dir / "file").c_str()), QN_CODE_IO, dir / "file");
    EXPECT_ERROR(qn_dir_remove((dir / "link").c_str()), QN_CODE_IO, dir / "link");
    EXPECT_TRUE(fs::exists(dir / "file") && fs::exists(dir / "a/keep"));
}

TEST(Folders, Publishes) {
    TempDir dir;
    ASSERT_OK(qn_dir_create((dir / "step-1.tmp/sub").c_str()));
    dir.write("step-1.tmp/sub/a", "x");
    fs::create_symlink("sub/a", dir / "step-1.tmp/link");
    ASSERT_OK(qn_dir_publish((dir / "step-1.tmp").c_str(), (dir / "step-1").c_str()));
    EXPECT_FALSE(fs::exists(dir / "step-1.tmp"));
    EXPECT_EQ(read_back(dir / "step-1/sub/a"), "x");
    EXPECT_EQ(read_back(dir / "step-1/link"), "x");
}

TEST(Folders, PublishNeverReplacesAFullFolder) {
    TempDir dir;
    ASSERT_OK(qn_dir_create((dir / "new").c_str()));
    ASSERT_OK(qn_dir_create((dir / "old").c_str()));
    dir.write("old/a", "x");
    EXPECT_ERROR(qn_dir_publish((dir / "new").c_str(), (dir / "old").c_str()), QN_CODE_IO,
                 dir / "new", dir / "old", "not empty");
    EXPECT_TRUE(fs::exists(dir / "old/a") && fs::exists(dir / "new"));
    EXPECT_ERROR(qn_dir_publish((dir / "none").c_str(), (dir / "b").c_str()), QN_CODE_IO, "none",
                 "No such file");
}

TEST(Folders, SyncErrorsNameTheFolder) {
    TempDir dir;
    EXPECT_OK(qn_dir_sync(dir.path().c_str()));
    EXPECT_ERROR(qn_dir_sync((dir / "none").c_str()), QN_CODE_IO, dir / "none", "No such file");
}
