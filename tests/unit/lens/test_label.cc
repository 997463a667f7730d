// test_label.cc: names of heads by their figures.
#include <gtest/gtest.h>

#include <cmath>

#include "harness/status.h"
#include "quern/label.h"

namespace {

class Label : public testing::Test {
  protected:
    void TearDown() override { qn_lens_figures_free(&figures); }
    void add(const char *metric, double value, int64_t at = -1, int64_t layer = 1,
             int64_t head = 2) {
        ASSERT_OK(qn_lens_add(&figures, {layer, head, metric, value, 0.03, 10, at, NAN}));
    }
    qn_head_label label(int64_t *at = nullptr) { return qn_label_head(&figures, 1, 2, at); }
    qn_lens_figures figures = {};
};

constexpr double kAbove = QN_LABEL_THRESHOLD, kBelow = QN_LABEL_THRESHOLD - 1e-9;

TEST_F(Label, NoneWithoutFiguresOrBelowTheThreshold) {
    int64_t at = 7;
    EXPECT_EQ(label(&at), QN_LABEL_NONE);
    EXPECT_EQ(at, -1);
    add("previous_token", kBelow);
    add("induction", kBelow);
    add("offset", kBelow, 15);
    EXPECT_EQ(label(&at), QN_LABEL_NONE);
    EXPECT_EQ(at, -1);
}

TEST_F(Label, PreviousToken) {
    add("previous_token", kAbove);
    add("offset", kAbove, 1); // the strongest distance of such a head is 1
    int64_t at;
    EXPECT_EQ(label(&at), QN_LABEL_PREVIOUS_TOKEN);
    EXPECT_EQ(at, -1);
}

TEST_F(Label, Offset) {
    add("previous_token", kBelow);
    add("offset", kAbove, 15);
    add("induction", 0.001);
    int64_t at;
    EXPECT_EQ(label(&at), QN_LABEL_OFFSET);
    EXPECT_EQ(at, 15);
}

TEST_F(Label, Induction) {
    add("previous_token", 0.01);
    add("offset", 0.1, 15);
    add("induction", kAbove);
    EXPECT_EQ(label(), QN_LABEL_INDUCTION);
}

TEST_F(Label, OfTheHeadAlone) {
    add("induction", 0.9, -1, 1, 1);
    add("previous_token", 0.9, -1, 0, 2);
    EXPECT_EQ(label(), QN_LABEL_NONE);
    EXPECT_EQ(qn_label_head(&figures, 1, 1, nullptr), QN_LABEL_INDUCTION);
    EXPECT_EQ(qn_label_head(&figures, 0, 2, nullptr), QN_LABEL_PREVIOUS_TOKEN);
}

TEST_F(Label, WhatIsNoNumberIsNoReason) {
    add("induction", NAN);
    add("offset", INFINITY, 3);
    EXPECT_EQ(label(), QN_LABEL_NONE);
}

TEST_F(Label, Names) {
    EXPECT_STREQ(qn_label_name(QN_LABEL_NONE), "none");
    EXPECT_STREQ(qn_label_name(QN_LABEL_PREVIOUS_TOKEN), "previous-token");
    EXPECT_STREQ(qn_label_name(QN_LABEL_INDUCTION), "induction");
    EXPECT_STREQ(qn_label_name(QN_LABEL_OFFSET), "offset");
}

} // namespace
