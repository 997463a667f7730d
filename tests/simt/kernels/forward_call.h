// forward_call.h: one call of the fused forward kernel, and what its results must be.
#ifndef QUERN_TESTS_SIMT_KERNELS_FORWARD_CALL_H
#define QUERN_TESTS_SIMT_KERNELS_FORWARD_CALL_H

#include "attention_device.h"

namespace attention {

inline AttentionResult<float> run(const Case &c, const AttentionInputs<float> &in) {
    Call call(c, in);
    EXPECT_EQ(qn_attn_fused_sm80_forward(&call.params, queue()), 0);
    call.expect_gaps_intact();
    return call.result();
}

inline void expect_right(const AttentionResult<float> &result, const Expected &want) {
    harness::expect_as_good_as_plain(QN_F32, "o", result.o, want.plain.o, want.exact.o,
                                     want.exact.o_terms);
    harness::expect_as_good_as_plain(QN_F32, "lse", result.lse, want.plain.lse, want.exact.lse,
                                     want.exact.lse_terms);
}

inline void check(const Case &c) {
    AttentionInputs<float> in = random_inputs(c);
    expect_right(run(c, in), expected(c, in));
}

// fp32 sums of rows, each good to a few roundings.
inline void expect_stats(const AttentionResult<float> &result, const Expected &want,
                         int64_t n_heads, int64_t n_keys) {
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

} // namespace attention

#endif
