// The fused forward kernel under every mask.
#include "forward_call.h"

namespace {

using namespace attention;

TEST(Forward, FewerQueriesThanKeys) {
    for (bool causal : {false, true})
        for (int64_t n_queries : {1, 66, 130}) {
            SCOPED_TRACE(testing::Message() << n_queries << " queries, causal " << causal);
            Case c = make_case(1, n_queries, 203, 1, 1, 64);
            c.shape.causal = causal;
            check(c);
            c.shape.window = 60;
            check(c);
        }
}

void check_windows(const std::vector<int64_t> &windows) {
    for (int64_t window : windows)
        for (bool causal : {false, true}) {
            SCOPED_TRACE(testing::Message() << "window " << window << ", causal " << causal);
            Case c = make_case(1, 200, 200, 1, 1, 64);
            c.shape.causal = causal;
            c.shape.window = window;
            check(c);
        }
}

// Tiles have 128 keys for D = 64, 64 for D = 128.
TEST(Forward, Windows) { check_windows({1, 127, 128, 1000}); }

TEST(Forward, WindowsExhaustive) {
    check_windows({2, 64, 129});
    for (int64_t window : {63, 64, 65}) {
        SCOPED_TRACE(testing::Message() << "D 128, window " << window);
        Case c = make_case(1, 140, 140, 1, 1, 128);
        c.shape.causal = true;
        c.shape.window = window;
        check(c);
    }
}

TEST(Forward, Documents) {
    for (bool causal : {false, true})
        for (int64_t window : {0, 20}) {
            SCOPED_TRACE(testing::Message() << "causal " << causal << ", window " << window);
            Case c = make_case(2, 261, 261, 1, 1, 64);
            c.shape.doc_start = documents(2, {3, 0, 0, 61, 64, 0, 1, 129, 2, 1});
            c.shape.causal = causal;
            c.shape.window = window;
            check(c);
        }
}

TEST(Forward, DocumentsWithFewerQueries) {
    Case c = make_case(1, 100, 230, 1, 1, 64);
    c.shape.doc_start = documents(1, {100, 60, 0, 50, 20});
    check(c);
    c.shape.causal = true;
    check(c);
}

// An entry past its own position hides every key from it; where that takes whole tiles nothing is
// left to attend to.
TEST(Forward, RowsThatSeeNothing) {
    for (bool causal : {false, true})
        for (int64_t hidden : {1, 40, 150}) {
            SCOPED_TRACE(testing::Message() << hidden << " hidden rows, causal " << causal);
            Case c = make_case(1, 150, 150, 1, 1, 64);
            c.shape.causal = causal;
            std::vector<int32_t> starts = documents(1, {150 - hidden, hidden});
            for (int64_t i = 150 - hidden; i < 150; i++) starts[i] = (int32_t)i + 1;
            AttentionInputs<float> in = random_inputs(c);
            c.shape.doc_start = starts;
            c.stats = true;
            AttentionResult<float> result = run(c, in);
            for (int64_t i = 150 - hidden; i < 150; i++) {
                EXPECT_EQ(result.lse[i], -INFINITY) << "row " << i;
                for (int64_t d = 0; d < 64; d++) ASSERT_EQ(result.o[i * 64 + d], 0) << "row " << i;
            }
            EXPECT_EQ(result.counts[QN_ATTN_ROWS], 150 - hidden);
            for (int64_t i = 0; i < 150 - hidden; i++) ASSERT_TRUE(std::isfinite(result.lse[i]));
        }
}

void expect_nothing_seen(const AttentionResult<float> &result) {
    for (float lse : result.lse) EXPECT_EQ(lse, -INFINITY);
    for (float o : result.o) ASSERT_EQ(o, 0);
    for (int64_t count : result.counts) EXPECT_EQ(count, 0);
}

// Rows of a document that begins after them: neither tiles nor rows see it.
TEST(Forward, DocumentsThatBeginLater) {
    for (bool causal : {false, true}) {
        Case c = make_case(1, 300, 300, 1, 1, 64);
        c.shape.causal = causal;
        AttentionInputs<float> in = random_inputs(c);
        c.shape.doc_start.assign(300, 200);
        AttentionResult<float> result = run(c, in);
        for (int64_t i = 0; i < 300; i++) {
            if (i < 200)
                EXPECT_EQ(result.lse[i], -INFINITY) << "row " << i;
            else
                EXPECT_TRUE(std::isfinite(result.lse[i])) << "row " << i;
            for (int64_t d = 0; i < 200 && d < 64; d++) ASSERT_EQ(result.o[i * 64 + d], 0);
        }
    }
}

// The hidden rows' first visible key would lie tiles behind their last one.
TEST(Forward, TilesThatSeeNothing) {
    for (bool causal : {false, true}) {
        Case c = make_case(1, 300, 300, 1, 1, 64);
        c.shape.causal = causal;
        AttentionInputs<float> in = random_inputs(c);
        c.shape.doc_start.assign(300, 300);
        c.stats = true;
        expect_nothing_seen(run(c, in));
    }
}

TEST(Forward, NoKeys) {
    for (int32_t window : {0, 3})
        for (bool causal : {false, true}) {
            SCOPED_TRACE(testing::Message() << "window " << window << ", causal " << causal);
            Case c = make_case(2, 300, 300, 1, 1, 64);
            AttentionInputs<float> in = random_inputs(c);
            c.shape.causal = causal;
            c.stats = true;
            Call call(c, in);
            call.params.n_keys = 0;
            call.params.window = window;
            EXPECT_EQ(qn_attn_fused_sm80_forward(&call.params, nullptr), 0);
            expect_nothing_seen(call.result());
        }
}

} // namespace
