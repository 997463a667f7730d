#include "train/run_log.h"

#include <fcntl.h>

#include <cstring>

#include "harness/status.h"
#include "harness/temp_dir.h"

static std::string line(int step, const std::string &more = "") {
    return "{\"step\":" + std::to_string(step) + ",\"loss\":1.5" + more + "}\n";
}

class RunLog : public testing::Test {
  protected:
    // What is left of `before` when the log is opened at a step.
    std::string kept(const std::string &before, int64_t last_step) {
        const std::string path = dir.write("log.jsonl", before);
        qn_run_log log;
        EXPECT_OK(qn_run_log_open(path.c_str(), last_step, &log));
        qn_run_log_close(&log);
        return TempDir::read(path);
    }
    TempDir dir;
};

TEST_F(RunLog, AppendsLines) {
    qn_run_log log;
    const std::string path = dir / "log.jsonl";
    ASSERT_OK(qn_run_log_open(path.c_str(), 0, &log));
    EXPECT_EQ(TempDir::read(path), "");
    ASSERT_OK(qn_run_log_append(&log, "{\"step\":1}"));
    ASSERT_OK(qn_run_log_append(&log, "{\"step\":2}"));
    ASSERT_OK(qn_run_log_sync(&log));
    qn_run_log_close(&log);
    qn_run_log_close(&log); // harmless
    EXPECT_EQ(TempDir::read(path), "{\"step\":1}\n{\"step\":2}\n");
}

TEST_F(RunLog, GoesOnBehindWhatItKept) {
    qn_run_log log;
    const std::string path = dir.write("log.jsonl", line(1) + line(2) + line(3));
    ASSERT_OK(qn_run_log_open(path.c_str(), 2, &log));
    ASSERT_OK(qn_run_log_append(&log, "{\"step\":3,\"new\":1}"));
    qn_run_log_close(&log);
    EXPECT_EQ(TempDir::read(path), line(1) + line(2) + "{\"step\":3,\"new\":1}\n");
}

TEST_F(RunLog, TruncatesByStep) {
    const std::string text = line(1) + line(2) + line(2, ",\"val_loss\":2") + line(3) + line(10);
    EXPECT_EQ(kept(text, 100), text);
    EXPECT_EQ(kept(text, 10), text);
    EXPECT_EQ(kept(text, 9), line(1) + line(2) + line(2, ",\"val_loss\":2") + line(3));
    EXPECT_EQ(kept(text, 2), line(1) + line(2) + line(2, ",\"val_loss\":2"));
    EXPECT_EQ(kept(text, 1), line(1));
    EXPECT_EQ(kept(text, 0), "");
}

TEST_F(RunLog, DropsALastLineThatWasCutOff) {
    const std::string whole = line(1) + line(2), last = line(3);
    for (size_t n = 0; n < last.size(); n++) {
        EXPECT_EQ(kept(whole + last.substr(0, n), 9), whole) << n;
    }
}

TEST_F(RunLog, StopsAtGarbage) {
    const std::string zeros(4096, '\0');
    for (const std::string &garbage :
         {std::string("garbage\n"), std::string("\n"), std::string("7\n"), std::string("[2]\n"),
          std::string("{}\n"), std::string("{\"step\":\"2\"}\n"), std::string("{\"step\":2.0}\n"),
          std::string("{\"step\":2}}\n"), std::string("{\"step\":nan}\n"), std::string("\xff\n"),
          zeros, zeros + "\n"}) {
        EXPECT_EQ(kept(line(1) + garbage + line(2), 9), line(1)) << garbage;
    }
    EXPECT_EQ(kept("", 9), "");
    EXPECT_EQ(kept(zeros, 9), "");
}

TEST_F(RunLog, ErrorsNameTheFile) {
    qn_run_log log;
    EXPECT_ERROR(qn_run_log_open((dir / "no/log.jsonl").c_str(), 0, &log), QN_CODE_IO,
                 "no/log.jsonl", "No such file");
    qn_run_log_close(&log);
    EXPECT_ERROR(qn_run_log_open(dir.path().c_str(), 0, &log), QN_CODE_IO, dir.path());
    qn_run_log_close(&log);
}

TEST_F(RunLog, ADiskThatIsFullIsAnError) {
    qn_run_log log = {open("/dev/full", O_WRONLY), strdup("a log")};
    EXPECT_ERROR(qn_run_log_append(&log, "{}"), QN_CODE_IO, "a log", "No space left");
    qn_run_log_close(&log);
}
