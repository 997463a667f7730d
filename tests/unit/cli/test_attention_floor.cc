// test_attention_floor.cc: floors against counts made by hand.
#include "cli/attention_floor.h"

#include <gtest/gtest.h>

namespace {

// Two sequences of 4 positions, 3 query heads on one key head: 96 scores.
qn_attention_problem small_problem(bool causal, int64_t window) {
    qn_attention_problem p = {};
    p.storage = QN_BF16;
    p.shape.batch = 2;
    p.shape.seq_len = 4;
    p.shape.n_heads = 3;
    p.shape.n_kv_heads = 1;
    p.shape.head_dim = 8;
    p.shape.causal = causal;
    p.shape.window = window;
    p.flops = 1000;
    return p;
}

// q and its like 384 bytes, k and its like 128, lse 96.
enum { FORWARD_TENSORS = 2 * 384 + 2 * 128 + 96, BACKWARD_TENSORS = 4 * 384 + 4 * 128 + 96 };

TEST(AttentionFloor, NaiveMovesWhatItMaterialises) {
    struct {
        bool causal;
        int64_t window;
        double seen; // in each of 6 heads
    } masks[] = {{false, 0, 16},
                 {true, 0, 1 + 2 + 3 + 4},
                 {true, 2, 1 + 2 + 2 + 2},
                 {false, 2, 2 + 3 + 3 + 2}};
    const qn_ceilings unknown = {};
    for (const auto &mask : masks) {
        SCOPED_TRACE(testing::Message() << mask.causal << " " << mask.window);
        const qn_attention_problem p = small_problem(mask.causal, mask.window);
        const qn_floor forward = qn_attention_floor(&p, false, true, &unknown);
        EXPECT_EQ(forward.flops, 2 * (2 * 96 * 8));
        EXPECT_EQ(forward.bytes, FORWARD_TENSORS + 96 * 4 + 6 * mask.seen * 4 + 96 * 2 + 96 * 2);
        const qn_floor backward = qn_attention_floor(&p, true, true, &unknown);
        EXPECT_EQ(backward.flops, 5 * (2 * 96 * 8));
        EXPECT_EQ(backward.bytes,
                  BACKWARD_TENSORS + 2 * 96 * 4 + 2 * 6 * mask.seen * 4 + 2 * 96 * 2 + 3 * 96 * 2);
    }
}

TEST(AttentionFloor, NaiveInFp32) {
    qn_attention_problem p = small_problem(true, 0);
    p.storage = QN_F32;
    const qn_ceilings unknown = {};
    const qn_floor forward = qn_attention_floor(&p, false, true, &unknown);
    EXPECT_EQ(forward.bytes, 2 * 768 + 2 * 256 + 96 + (3 * 96 + 6 * 10) * 4);
}

TEST(AttentionFloor, FusedMovesTensorsAlone) {
    const qn_attention_problem p = small_problem(true, 0);
    const qn_ceilings unknown = {};
    const qn_floor forward = qn_attention_floor(&p, false, false, &unknown);
    EXPECT_EQ(forward.flops, 1000);
    EXPECT_EQ(forward.bytes, FORWARD_TENSORS);
    const qn_floor backward = qn_attention_floor(&p, true, false, &unknown);
    EXPECT_EQ(backward.flops, 2500);
    EXPECT_EQ(backward.bytes, BACKWARD_TENSORS);
}

TEST(AttentionFloor, SecondsByTheTighterCeiling) {
    const qn_attention_problem p = small_problem(true, 0);
    qn_ceilings c = {};
    c.flops_per_s = 10;
    EXPECT_EQ(qn_attention_floor(&p, false, false, &c).seconds, 0);
    c.bytes_per_s = 1e9;
    EXPECT_EQ(qn_attention_floor(&p, false, false, &c).seconds, 100);
    c = {};
    c.bytes_per_s = FORWARD_TENSORS;
    EXPECT_EQ(qn_attention_floor(&p, false, false, &c).seconds, 0);
    c.flops_per_s = 1e9;
    EXPECT_EQ(qn_attention_floor(&p, false, false, &c).seconds, 1);
}

} // namespace
