// expect.h: a seeded bug must be reported, its clean twin must not. Each is a launch that
// throws Error, or returns whether its results were right.
#ifndef QUERN_TESTS_SIMT_NEGATIVE_EXPECT_H
#define QUERN_TESTS_SIMT_NEGATIVE_EXPECT_H

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "cuda/prim/prim.h"
#include "simt/sweep.h"

namespace negative {

constexpr int kSchedules = 24; // of which each mode of asynchronous work has a quarter

// Device memory of T, which a test writes and reads as an array.
template <typename T> class Device {
  public:
    explicit Device(int n) : data_((T *)simt::device_allocate((size_t)n * sizeof(T))) {}
    Device(int n, T value) : Device(n) {
        for (int i = 0; i < n; i++) data_[i] = value;
    }
    ~Device() { simt::device_free(data_); }
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;

    T *get() { return data_; }
    T &operator[](int i) { return data_[i]; }

  private:
    T *data_;
};

struct Outcome {
    int reported = 0, wrong = 0; // of kSchedules
    std::string report;          // of the first that was reported
};

template <typename Test> Outcome try_schedules(Test test) {
    simt::ScopedConfig saved;
    Outcome outcome;
    for (int i = 0; i < kSchedules; i++) {
        simt::config() = simt::schedule(i);
        try {
            outcome.wrong += !test();
        } catch (const simt::Error &error) {
            if (outcome.reported++ == 0) outcome.report = error.what();
        }
    }
    const char *build = simt::kRaceBuild ? "race" : simt::kAsanBuild ? "asan" : "optimised";
    printf("  %s build: %d of %d schedules report it, %d give wrong results\n", build,
           outcome.reported, kSchedules, outcome.wrong);
    return outcome;
}

// Every schedule reports it, in those words.
template <typename Test> void expect_reported(const std::string &words, Test test) {
    Outcome outcome = try_schedules(test);
    EXPECT_EQ(outcome.reported, kSchedules);
    EXPECT_NE(outcome.report.find(words), std::string::npos) << outcome.report;
}

// A race: the race build reports it under every schedule. Others may get wrong results.
template <typename Test> void expect_race(const std::string &words, Test test) {
    Outcome outcome = try_schedules(test);
    if (!simt::kRaceBuild) return;
    EXPECT_EQ(outcome.reported, kSchedules);
    EXPECT_NE(outcome.report.find("race: " + words), std::string::npos) << outcome.report;
}

// A race that other builds notice too, by wrong results under some schedule.
template <typename Test> void expect_race_and_harm(const std::string &words, Test test) {
    Outcome outcome = try_schedules(test);
    if (!simt::kRaceBuild) {
        EXPECT_GT(outcome.wrong, 0);
        return;
    }
    EXPECT_EQ(outcome.reported, kSchedules);
    EXPECT_NE(outcome.report.find("race: " + words), std::string::npos) << outcome.report;
}

template <typename Test> void expect_silent(Test test) {
    Outcome outcome = try_schedules(test);
    EXPECT_EQ(outcome.reported, 0) << outcome.report;
    EXPECT_EQ(outcome.wrong, 0);
}

} // namespace negative

#endif
