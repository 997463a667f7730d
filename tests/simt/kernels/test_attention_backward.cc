// The fused backward kernels: shapes, strides, scales.
#include "attention_cases.h"
#include "backward_call.h"

namespace {

using namespace attention;

TEST(Backward, Lengths) { for_each_case(cases_of_lengths({1, 65, 129}), check); }

TEST(Backward, LengthsExhaustive) {
    for_each_case(cases_of_lengths({17, 63, 64, 127, 128, 200}), check);
}

TEST(Backward, HeadDimensions) { for_each_case(cases_of_head_dims({8, 32, 80, 96}), check); }

TEST(Backward, Groups) { for_each_case(cases_of_groups(), check); }

TEST(Backward, Strides) { for_each_case(cases_of_strides(), check); }

TEST(Backward, Scales) { for_each_case(cases_of_scales(), check); }

TEST(Backward, LargeLogits) { check(case_of_large_logits()); }

// Rounding P and dS leans to neither side: over many elements the mean error is within what the
// errors' own spread explains, at four standard deviations.
TEST(Backward, NoBias) {
    Case c = make_case(1, 200, 200, 3, 3, 64);
    AttentionInputs<float> in = random_inputs(c);
    for (auto *x : {&in.v, &in.dout})
        for (float &e : *x) e = std::abs(e);
    Expected want = expected(c, in);
    Gradients result = run(c, in, want, kAnyOrder);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < result.dv.size(); i++) {
        double error = result.dv[i] - want.exact.dv[i];
        sum += error;
        squares += error * error;
    }
    EXPECT_LT(std::abs(sum), 4 * std::sqrt(squares));
}

TEST(Delta, RowSums) {
    for (int64_t head_dim : {8, 64, 120, 256}) {
        SCOPED_TRACE(testing::Message() << "D " << head_dim);
        Case c = make_case(2, 70, 70, 3, 1, head_dim);
        c.pad = 8;
        AttentionInputs<float> in = random_inputs(c);
        Tensor o(2, 70, 3, head_dim, 8), dout(2, 70, 3, head_dim, 8);
        o.fill(in.q);
        dout.fill(in.dout);
        DeviceArray<float> delta(2 * 3 * 70);
        Call call(c, in);
        call.params.o = o.view();
        call.params.dout = dout.view();
        call.params.delta = delta.data();
        EXPECT_EQ(qn_attn_delta(&call.params, 0, 0, queue()), 0);
        for (int64_t b = 0; b < 2; b++)
            for (int64_t h = 0; h < 3; h++)
                for (int64_t t = 0; t < 70; t++) {
                    double sum = 0, terms = 0;
                    for (int64_t d = 0; d < head_dim; d++) {
                        size_t at = (size_t)(((b * 70 + t) * 3 + h) * head_dim + d);
                        sum += (double)in.q[at] * in.dout[at];
                        terms += std::abs((double)in.q[at] * in.dout[at]);
                    }
                    ASSERT_NEAR(delta.data()[(b * 3 + h) * 70 + t], sum, terms * 8 * 0x1p-24);
                }
    }
}

} // namespace
