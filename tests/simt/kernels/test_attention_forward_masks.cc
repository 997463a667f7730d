// The fused forward kernel under every mask.
#include "attention_cases.h"
#include "forward_call.h"

namespace {

using namespace attention;

TEST(Forward, FewerQueriesThanKeys) { for_each_case(cases_of_fewer_queries(), check); }

TEST(Forward, Windows) { for_each_case(cases_of_windows({1, 64, 128, 129}), check); }

TEST(Forward, WindowsExhaustive) { for_each_case(cases_of_windows({2, 63, 65, 127, 1000}), check); }

TEST(Forward, Documents) { for_each_case(cases_of_documents(), check); }

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
            EXPECT_EQ(qn_attn_fused_sm80_forward(&call.params, queue()), 0);
            expect_nothing_seen(call.result());
        }
}

} // namespace
