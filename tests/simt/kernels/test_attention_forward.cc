// The fused forward kernel against attention written out in double: shapes, masks, strides,
// statistics, schedules.
#include <sys/mman.h>

#include "attention_device.h"
#include "simt/sweep.h"

namespace {

using namespace attention;

AttentionResult<float> run(const Case &c, const AttentionInputs<float> &in) {
    Call call(c, in);
    EXPECT_EQ(qn_attn_fused_sm80_forward(&call.params, nullptr), 0);
    call.expect_gaps_intact();
    return call.result();
}

void expect_right(const AttentionResult<float> &result, const Expected &want) {
    harness::expect_as_good_as_plain(QN_F32, "o", result.o, want.plain.o, want.exact.o,
                                     want.exact.o_terms);
    harness::expect_as_good_as_plain(QN_F32, "lse", result.lse, want.plain.lse, want.exact.lse,
                                     want.exact.lse_terms);
}

void check(const Case &c) {
    AttentionInputs<float> in = random_inputs(c);
    expect_right(run(c, in), expected(c, in));
}

Case make_case(int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n_heads,
               int64_t n_kv_heads, int64_t head_dim) {
    Case c;
    c.shape = make_shape(batch, n_queries, n_keys, n_heads, n_kv_heads, head_dim);
    return c;
}

TEST(Forward, Lengths) {
    for (int64_t head_dim : {64, 128})
        for (int64_t t : {1, 17, 63, 64, 65, 129, 200})
            for (bool causal : {false, true}) {
                SCOPED_TRACE(testing::Message() << "D " << head_dim << ", T " << t << causal);
                Case c = make_case(1, t, t, 1, 1, head_dim);
                c.shape.causal = causal;
                c.seed = (uint32_t)(t + head_dim);
                check(c);
            }
}

TEST(Forward, HeadDimensions) {
    for (int64_t head_dim : {8, 32, 80, 96, 192, 256}) {
        SCOPED_TRACE(testing::Message() << "D " << head_dim);
        Case c = make_case(1, 70, 70, 2, 1, head_dim);
        c.shape.causal = true;
        check(c);
    }
}

TEST(Forward, BatchesAndGroups) {
    Case c = make_case(2, 67, 67, 6, 2, 64);
    c.shape.causal = true;
    check(c);
}

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

TEST(Forward, Strides) {
    Case c = make_case(2, 70, 70, 2, 1, 128);
    c.slices = true;
    check(c);
    c.pad = 8;
    check(c);
    c.slices = false;
    check(c);
    c.shape.head_dim = 80;
    check(c);
}

// Tiles have 128 keys for D = 64, 64 for D = 128.
TEST(Forward, Windows) {
    for (int64_t window : {1, 2, 64, 127, 128, 129, 1000})
        for (bool causal : {false, true}) {
            SCOPED_TRACE(testing::Message() << "window " << window << ", causal " << causal);
            Case c = make_case(1, 200, 200, 1, 1, 64);
            c.shape.causal = causal;
            c.shape.window = window;
            check(c);
        }
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

TEST(Forward, Scales) {
    for (double scale : {-0.125, 0.0, 1.0, 0.125}) {
        SCOPED_TRACE(testing::Message() << "scale " << scale);
        Case c = make_case(1, 140, 140, 1, 1, 64);
        c.shape.causal = true;
        c.shape.scale = scale;
        check(c);
    }
}

TEST(Forward, LargeLogits) {
    Case c = make_case(1, 140, 140, 1, 1, 64);
    c.spread = 8;
    check(c);
}

// Keys fit the L2 cache one head at a time here, so that the heads go by sections.
TEST(Forward, SectionsOfHeads) {
    Case c = make_case(1, 1, 70000, 4, 2, 64);
    c.shape.causal = true;
    c.shape.window = 70;
    check(c);
}

// ---- statistics -----------------------------------------------------------------------

// fp32 sums of rows, each good to a few roundings.
void expect_stats(const AttentionResult<float> &result, const Expected &want, int64_t n_heads,
                  int64_t n_keys) {
    for (int s = 0; s < QN_ATTN_N_SUMS; s++)
        for (int64_t h = 0; h < n_heads; h++) {
            double exact = want.exact.sums[s * n_heads + h];
            bool distance = s == QN_ATTN_DISTANCE || s == QN_ATTN_BASE_DISTANCE;
            double rows = (double)want.exact.counts[QN_ATTN_ROWS * n_heads + h];
            double tolerance = 4e-6 * (distance ? rows * (double)n_keys : rows);
            EXPECT_NEAR(result.sums[s * n_heads + h], exact, tolerance)
                << "statistic " << s << ", head " << h;
        }
    EXPECT_EQ(result.counts, want.exact.counts);
}

void check_stats(Case c) {
    AttentionInputs<float> in = random_inputs(c);
    AttentionResult<float> without = run(c, in);
    c.stats = true;
    AttentionResult<float> with = run(c, in);
    EXPECT_TRUE(harness::same_bits(without.o, with.o));
    EXPECT_TRUE(harness::same_bits(without.lse, with.lse));
    expect_stats(with, expected(c, in), c.shape.n_heads, c.shape.n_keys);
}

TEST(ForwardStats, Masks) {
    for (int64_t head_dim : {64, 128})
        for (bool causal : {false, true})
            for (int64_t window : {0, 1, 90}) {
                SCOPED_TRACE(testing::Message()
                             << "D " << head_dim << ", window " << window << causal);
                Case c = make_case(1, 140, 140, 2, 1, head_dim);
                c.shape.causal = causal;
                c.shape.window = window;
                c.spread = 2;
                c.local_window = head_dim == 64 ? 8 : 100;
                check_stats(c);
            }
}

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
    EXPECT_EQ(qn_attn_fused_sm80_forward(&call.params, nullptr), 0);
    AttentionResult<float> once = call.result();
    EXPECT_EQ(qn_attn_fused_sm80_forward(&call.params, nullptr), 0);
    AttentionResult<float> twice = call.result();
    for (int s = 0; s < QN_ATTN_N_SUMS; s++)
        EXPECT_EQ(twice.sums[s], s == QN_ATTN_MAX_LOGIT ? once.sums[s] : 2 * once.sums[s]);
    EXPECT_EQ(twice.counts[QN_ATTN_ROWS], 80);
}

// ---- schedules and addresses -------------------------------------------------------------

TEST(Forward, SameBitsInEverySchedule) {
    for (int64_t head_dim : {64, 128}) {
        Case c = make_case(1, 140, 270, 1, 1, head_dim);
        c.shape.causal = true;
        c.shape.scale = -0.1;
        c.stats = true;
        AttentionInputs<float> in = random_inputs(c);
        AttentionResult<float> first = run(c, in);
        expect_right(first, expected(c, in));
        simt::for_each_schedule(6, [&] {
            AttentionResult<float> again = run(c, in);
            EXPECT_TRUE(harness::same_bits(again.o, first.o));
            EXPECT_TRUE(harness::same_bits(again.lse, first.lse));
            EXPECT_EQ(again.sums, first.sums);
        });
    }
}

// Sequences, then rows, then heads 2^31 elements apart, in memory that is mapped but mostly
// never touched.
TEST(Forward, OffsetsPast32Bits) {
    constexpr int64_t far = ((int64_t)1 << 31) + 64;
    constexpr size_t bytes = (size_t)(far + 4096) * 2;
    Case c = make_case(2, 1, 1, 2, 2, 64);
    for (int axis = 0; axis < 3; axis++) {
        SCOPED_TRACE(testing::Message() << "axis " << axis);
        c.shape.batch = axis == 0 ? 2 : 1;
        c.shape.n_queries = c.shape.n_keys = axis == 1 ? 2 : 1;
        c.shape.n_heads = c.shape.n_kv_heads = axis == 2 ? 2 : 1;
        AttentionInputs<float> in = random_inputs(c);
        Call call(c, in);
        uint16_t *memory[4];
        qn_attn_view *views[] = {&call.params.q, &call.params.k, &call.params.v, &call.params.o};
        for (int i = 0; i < 4; i++) {
            memory[i] = (uint16_t *)mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            ASSERT_NE((void *)memory[i], MAP_FAILED);
            for (int part = 0; part < 2; part++)
                memcpy(memory[i] + part * far, views[i]->data + part * 64, 64 * 2);
            *views[i] = {memory[i], far, far, far};
        }
        EXPECT_EQ(qn_attn_fused_sm80_forward(&call.params, nullptr), 0);
        Expected want = expected(c, in);
        std::vector<float> o;
        for (int part = 0; part < 2; part++)
            for (int d = 0; d < 64; d++) o.push_back(from_bits(memory[3][part * far + d]));
        harness::expect_as_good_as_plain(QN_F32, "o", o, want.plain.o, want.exact.o,
                                         want.exact.o_terms);
        for (uint16_t *m : memory) munmap(m, bytes);
    }
}

TEST(CopyRows, AnyStrides) {
    Case c = make_case(2, 5, 5, 3, 3, 40);
    std::vector<float> x = random_inputs(c).q;
    Tensor from(2, 5, 3, 40, 3), to(2, 5, 3, 40, 1);
    from.fill(x);
    EXPECT_EQ(qn_attn_copy_rows(to.view(), from.view(), 2, 5, 3, 40, nullptr), 0);
    EXPECT_EQ(to.read(), x);
    to.expect_gaps_intact("copy");
}

} // namespace
