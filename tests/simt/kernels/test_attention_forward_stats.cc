// Statistics that the fused forward gathers, and that o and lse are the same bits without.
#include "attention_cases.h"
#include "forward_call.h"

namespace {

using namespace attention;

void check_stats(Case c) {
    AttentionInputs<float> in = random_inputs(c);
    AttentionResult<float> without = run(c, in);
    c.stats = true;
    AttentionResult<float> with = run(c, in);
    EXPECT_TRUE(harness::same_bits(without.o, with.o));
    EXPECT_TRUE(harness::same_bits(without.lse, with.lse));
    expect_stats(with, expected(c, in), c.shape.n_heads, c.shape.n_keys);
}

void check_masks(int64_t head_dim) {
    for (bool causal : {false, true})
        for (int64_t window : {0, 1, 90}) {
            SCOPED_TRACE(testing::Message() << "D " << head_dim << ", window " << window << causal);
            Case c = make_case(1, 140, 140, 2, 1, head_dim);
            c.shape.causal = causal;
            c.shape.window = window;
            c.spread = 2;
            // With 2, row 128 reaches into the tile before its own by one key.
            c.local_window = head_dim == 64 ? 2 : 100;
            check_stats(c);
        }
}

TEST(ForwardStats, Masks) { check_masks(64); }

TEST(ForwardStats, MasksExhaustive) { check_masks(128); }

TEST(ForwardStats, Documents) {
    Case c = make_case(1, 150, 210, 1, 1, 64);
    c.shape.doc_start = documents(1, {70, 0, 1, 129, 10});
    check_stats(c);
    c.shape.causal = true;
    c.local_window = 0;
    check_stats(c);
    c.shape.window = 33;
    c.local_window = 210;
    check_stats(c);
}

TEST(ForwardStats, WideHeadsAndNegativeScale) {
    Case c = make_case(1, 130, 130, 1, 1, 192);
    c.shape.causal = true;
    c.shape.scale = -0.1;
    check_stats(c);
}

TEST(ForwardStats, AddToWhatIsThere) {
    Case c = make_case(1, 40, 40, 1, 1, 64);
    c.stats = true;
    AttentionInputs<float> in = random_inputs(c);
    Call call(c, in);
    EXPECT_EQ(qn_attn_fused_sm80_forward(&call.params, queue()), 0);
    AttentionResult<float> once = call.result();
    EXPECT_EQ(qn_attn_fused_sm80_forward(&call.params, queue()), 0);
    AttentionResult<float> twice = call.result();
    for (int s = 0; s < QN_ATTN_N_SUMS; s++)
        EXPECT_EQ(twice.sums[s], s == QN_ATTN_MAX_LOGIT ? once.sums[s] : 2 * once.sums[s]);
    EXPECT_EQ(twice.counts[QN_ATTN_ROWS], 80);
}

// Parts of two sequences and more tiles than a warp has lanes: small integers, so sums are exact.
TEST(ForwardStats, PartsOfAllTiles) {
    constexpr int batch = 2, n_heads = 2, n_tiles = 70;
    DeviceArray<qn_attn_tile_stats> parts((size_t)(batch * n_heads * n_tiles));
    DeviceArray<float> sums(QN_ATTN_N_SUMS * n_heads, 0.0f);
    DeviceArray<int64_t> counts(QN_ATTN_N_COUNTS * n_heads, 0);
    std::vector<float> want_sums(sums.size(), 0);
    std::vector<int64_t> want_counts(counts.size(), 0);
    for (size_t i = 0; i < parts.size(); i++) {
        const size_t head = i / n_tiles % n_heads;
        for (size_t s = 0; s < QN_ATTN_N_SUMS; s++) {
            const float x = parts.data()[i].sums[s] = (float)(1 + i * 7 % 64 + s);
            float &want = want_sums[s * n_heads + head];
            want = s == QN_ATTN_MAX_LOGIT ? std::max(want, x) : want + x;
        }
        for (size_t c = 0; c < QN_ATTN_N_COUNTS; c++) {
            parts.data()[i].counts[c] = (int32_t)(i + c);
            want_counts[c * n_heads + head] += (int64_t)(i + c);
        }
    }
    qn_attn_params params = {};
    params.batch = batch;
    params.n_heads = n_heads;
    params.stats_parts = parts.data();
    params.stats_sums = sums.data();
    params.stats_counts = counts.data();
    EXPECT_EQ(qn_attn_add_tile_stats(&params, n_tiles, queue()), 0);
    EXPECT_EQ(sums.host(), want_sums);
    EXPECT_EQ(counts.host(), want_counts);
}

} // namespace
