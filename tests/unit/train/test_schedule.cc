#include "train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

static qn_train_options schedule(int64_t kind) {
    qn_train_options o;
    qn_options_default(&o);
    o.schedule = kind;
    o.steps = 1000;
    o.warmup = 100;
    o.lr = 0.5;
    o.min_lr = 0.1;
    o.decay = 0.2;
    return o;
}

// Products of the same few numbers: a few roundings apart.
#define EXPECT_RATE(options, step, expected)                                                       \
    EXPECT_NEAR(qn_learning_rate(&(options), step), expected, 4e-16 * (expected))

class EverySchedule : public testing::TestWithParam<qn_schedule> {};
INSTANTIATE_TEST_SUITE_P(Kinds, EverySchedule,
                         testing::Values(QN_SCHEDULE_COSINE, QN_SCHEDULE_WSD,
                                         QN_SCHEDULE_CONSTANT));

TEST_P(EverySchedule, WarmupRisesLinearly) {
    const qn_train_options o = schedule(GetParam());
    EXPECT_RATE(o, 1, 0.5 / 100);
    EXPECT_RATE(o, 37, 0.5 * 37 / 100);
    EXPECT_RATE(o, 100, 0.5);
    EXPECT_RATE(o, 101, 0.5);
}

TEST_P(EverySchedule, WithoutWarmupBeginsAtThePeak) {
    qn_train_options o = schedule(GetParam());
    o.warmup = 0;
    EXPECT_RATE(o, 1, 0.5);
}

TEST_P(EverySchedule, NeverRisesAfterWarmupNorLeavesItsRange) {
    const qn_train_options o = schedule(GetParam());
    for (int64_t step = 101; step <= 1000; step++) {
        EXPECT_LE(qn_learning_rate(&o, step + 1), qn_learning_rate(&o, step)) << step;
        EXPECT_GE(qn_learning_rate(&o, step), 0.05 * (1 - 1e-15)) << step;
    }
}

TEST_P(EverySchedule, WarmupLongerThanTheRun) {
    qn_train_options o = schedule(GetParam());
    o.steps = 10;
    EXPECT_RATE(o, 10, 0.5 * 10 / 100);
    EXPECT_TRUE(std::isfinite(qn_learning_rate(&o, 101)));
}

TEST(Schedule, Cosine) {
    const qn_train_options o = schedule(QN_SCHEDULE_COSINE);
    EXPECT_RATE(o, 101 + 450, 0.5 * (0.1 + 0.9 * 0.5));
    EXPECT_RATE(o, 101 + 225, 0.5 * (0.1 + 0.9 * (0.5 + 0.5 * std::sqrt(0.5))));
    EXPECT_RATE(o, 1001, 0.05); // just after the last step
    EXPECT_GT(qn_learning_rate(&o, 1000), 0.05);
}

TEST(Schedule, WarmupStableDecay) {
    qn_train_options o = schedule(QN_SCHEDULE_WSD);
    EXPECT_RATE(o, 801, 0.5);
    EXPECT_RATE(o, 901, 0.5 * (1 - 0.9 * 0.5));
    EXPECT_RATE(o, 1001, 0.05);
    o.decay = 0;
    EXPECT_RATE(o, 1000, 0.5);
    o.decay = 1;
    EXPECT_RATE(o, 501, 0.5 * (1 - 0.9 * 0.5));
}

TEST(Schedule, Constant) {
    const qn_train_options o = schedule(QN_SCHEDULE_CONSTANT);
    EXPECT_RATE(o, 500, 0.5);
    EXPECT_RATE(o, 1000, 0.5);
}
