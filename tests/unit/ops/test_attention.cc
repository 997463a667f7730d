// test_attention.cc: attention against the float64 reference: shapes, masks, layouts, and equal
// bits where they are promised.
#include <algorithm>

#include "harness/attention_case.h"

using namespace harness;

namespace {

// ---- the reference itself -----------------------------------------------------------

// d/dx of Σ o∘dout by central differences, in double, for every element of q, k and v.
TEST(AttentionReference, GradientsAreFiniteDifferences) {
    AttentionShape shape = make_shape(1, 5, 7, 4, 2, 8);
    shape.causal = true;
    shape.window = 4;
    shape.doc_start = documents(1, {3, 4});
    AttentionCase c;
    c.shape = shape;
    AttentionInputs<double> in = convert<double>(random_inputs(c));
    auto loss = [&](const AttentionInputs<double> &x) {
        auto o = reference::Attention<double>(shape, x).run().o;
        double sum = 0;
        for (size_t i = 0; i < o.size(); i++) sum += o[i] * in.dout[i];
        return sum;
    };
    auto r = reference::Attention<double>(shape, in).run();
    auto check = [&](std::vector<double> AttentionInputs<double>::*x,
                     const std::vector<double> &gradient) {
        const double step = 1e-5;
        for (size_t i = 0; i < gradient.size(); i++) {
            AttentionInputs<double> up = in, down = in;
            (up.*x)[i] += step;
            (down.*x)[i] -= step;
            EXPECT_NEAR((loss(up) - loss(down)) / (2 * step), gradient[i], 1e-8);
        }
    };
    check(&AttentionInputs<double>::q, r.dq);
    check(&AttentionInputs<double>::k, r.dk);
    check(&AttentionInputs<double>::v, r.dv);
}

// ---- conformance ----------------------------------------------------------------------

class Attention : public testing::TestWithParam<qn_attn_impl> {
  protected:
    AttentionCase make(AttentionShape shape, AttentionLayout layout = AttentionLayout::kPadded) {
        AttentionCase c;
        c.shape = std::move(shape);
        c.impl = GetParam();
        c.layout = layout;
        c.seed = seed++;
        return c;
    }
    uint32_t seed = 1;
};

INSTANTIATE_TEST_SUITE_P(Impl, Attention, testing::Values(QN_ATTN_NAIVE, QN_ATTN_FUSED),
                         [](const auto &info) {
                             return info.param == QN_ATTN_NAIVE ? "naive" : "fused";
                         });

TEST_P(Attention, EveryHeadDim) {
    for (int64_t head_dim = 8; head_dim <= 256; head_dim += head_dim < 136 ? 8 : 40) {
        SCOPED_TRACE(head_dim);
        AttentionShape shape = make_shape(1, 41, 41, 2, 1, head_dim);
        shape.causal = true;
        const AttentionCase c = make(shape);
        on_each_dtype([&](Device &d) {
            if (c.impl == QN_ATTN_NAIVE || head_dim <= d.fused_head_dim) check_attention(d, c);
        });
    }
}

// What nobody chose an implementation for has one, in both passes.
TEST(AttentionAuto, TakesEveryHeadDim) {
    for (int64_t head_dim : {64, 192, 256}) {
        SCOPED_TRACE(head_dim);
        AttentionCase c;
        c.impl = QN_ATTN_AUTO;
        c.shape = make_shape(1, 41, 41, 2, 1, head_dim);
        c.shape.causal = true;
        on_each_dtype([&](Device &d) { check_attention(d, c); });
    }
}

// One query and key up to several tiles and a rest, full and causal.
TEST_P(Attention, RaggedLengths) {
    for (int64_t length : {1, 2, 7, 23, 25, 63, 65, 96, 97, 193, 260}) {
        for (bool causal : {false, true}) {
            SCOPED_TRACE(testing::Message() << length << (causal ? " causal" : " full"));
            AttentionShape shape = make_shape(1, length, length, 1, 1, 16);
            shape.causal = causal;
            check_attention(make(shape));
        }
    }
}

TEST_P(Attention, FewerQueriesThanKeys) {
    for (int64_t n_queries : {1, 3, 64, 100, 130}) {
        for (bool causal : {false, true}) {
            for (int64_t window : {0, 17}) {
                SCOPED_TRACE(testing::Message() << n_queries << " " << causal << " " << window);
                AttentionShape shape = make_shape(2, n_queries, 131, 1, 1, 8);
                shape.causal = causal;
                shape.window = window;
                check_attention(make(shape));
            }
        }
    }
}

// Causal or not, windowed or not, packed documents or not; every layout.
TEST_P(Attention, EveryCombinationOfMasks) {
    for (AttentionLayout layout :
         {AttentionLayout::kDense, AttentionLayout::kQkvSlices, AttentionLayout::kPadded}) {
        for (int mask = 0; mask < 8; mask++) {
            SCOPED_TRACE(testing::Message() << "layout " << (int)layout << " mask " << mask);
            AttentionShape shape = make_shape(2, 135, 135, 2, 1, 8);
            shape.causal = mask & 1;
            shape.window = mask & 2 ? 37 : 0;
            if (mask & 4) shape.doc_start = documents(2, {1, 62, 0, 40, 1, 1, 0, 30});
            check_attention(make(shape, layout));
        }
    }
}

// Around the tile of keys (64), of queries (96) and the panels (12, 24, 48).
TEST_P(Attention, WindowEdges) {
    for (int64_t window : {1, 2, 12, 24, 47, 48, 49, 63, 64, 65, 95, 96, 97, 130, 131, 1000}) {
        for (bool causal : {false, true}) {
            SCOPED_TRACE(testing::Message() << window << (causal ? " causal" : " full"));
            AttentionShape shape = make_shape(1, 131, 131, 1, 1, 8);
            shape.causal = causal;
            shape.window = window;
            check_attention(make(shape));
        }
    }
    AttentionShape shape = make_shape(1, 131, 131, 1, 1, 8);
    shape.causal = true;
    shape.window = INT64_MAX;
    check_attention(make(shape));
}

TEST_P(Attention, DocumentsOfOnePosition) {
    AttentionShape shape = make_shape(1, 70, 70, 2, 2, 8);
    shape.doc_start = documents(1, std::vector<int64_t>(70, 1));
    const AttentionCase c = make(shape);
    on_each_dtype([&](Device &d) {
        for (float x : check_attention(d, c).dq) EXPECT_NEAR(x, 0, 1e-6);
    });
}

TEST_P(Attention, GroupedQueryHeads) {
    const int64_t heads[][2] = {{6, 1}, {6, 2}, {6, 3}, {5, 5}, {7, 1}, {12, 4}};
    for (auto &[n_heads, n_kv_heads] : heads) {
        SCOPED_TRACE(testing::Message() << n_heads << "/" << n_kv_heads);
        AttentionShape shape = make_shape(2, 66, 66, n_heads, n_kv_heads, 16);
        shape.causal = true;
        check_attention(make(shape, AttentionLayout::kQkvSlices));
    }
}

TEST_P(Attention, LongRows) {
    AttentionShape shape = make_shape(1, 4, 5000, 1, 1, 32);
    check_attention(make(shape));
}

// A running maximum that grows from tile to tile, and scores far apart.
TEST_P(Attention, GrowingMaximum) {
    AttentionShape shape = make_shape(1, 300, 300, 1, 1, 32);
    shape.causal = true;
    AttentionCase c = make(shape);
    for (float spread : {4.0f, 16.0f}) {
        c.spread = spread;
        check_attention(c);
    }
}

TEST_P(Attention, Bf16Products) {
    AttentionShape shape = make_shape(2, 90, 90, 4, 2, 32);
    shape.causal = true;
    AttentionCase c = make(shape);
    c.compute = QN_BF16;
    check_attention(c);
}

// Rounding to bf16 is to nearest: the mean error stays near zero.
TEST_P(Attention, Bf16ErrorsHaveNoBias) {
    AttentionShape shape = make_shape(1, 256, 256, 2, 2, 32);
    AttentionCase c = make(shape);
    c.compute = QN_BF16;
    on_each_dtype([&](Device &d) {
        AttentionInputs<float> in = stored(d, random_inputs(c));
        for (float &x : in.v) x = 1 + std::abs(x);
        in = stored(d, in);
        auto result = AttentionCall(d, c, in).run();
        auto exact = reference::Attention<double>(c.shape, convert<double>(in)).run();
        double mean = 0, largest = 0;
        for (size_t i = 0; i < exact.o.size(); i++) {
            mean += (result.o[i] - exact.o[i]) / (double)exact.o.size();
            largest = std::max(largest, std::abs(result.o[i] - exact.o[i]));
        }
        EXPECT_LE(std::abs(mean), 0.05 * largest + 1e-7);
    });
}

// ---- rows that see nothing, empty axes ------------------------------------------------

TEST_P(Attention, EmptyAxesDoNothing) {
    check_attention(make(make_shape(1, 0, 0, 2, 1, 8)));
    check_attention(make(make_shape(0, 9, 9, 2, 1, 8)));
    check_attention(make(make_shape(1, 9, 9, 0, 1, 8)));
    const AttentionCase c = make(make_shape(2, 0, 5, 2, 1, 8));
    on_each_dtype([&](Device &d) {
        auto result = check_attention(d, c);
        for (float x : result.dk) EXPECT_EQ(x, 0);
        for (float x : result.dv) EXPECT_EQ(x, 0);
    });
}

// lse = −inf marks a row that saw nothing: it gives no gradient.
TEST_P(Attention, RowsWithoutKeysGiveNoGradient) {
    AttentionCase c = make(make_shape(1, 40, 40, 1, 1, 8));
    c.shape.causal = true;
    on_each_dtype([&](Device &d) {
        auto in = stored(d, random_inputs(c));
        auto without = in;
        for (int64_t i = 0; i < 40; i += 3)
            for (int64_t e = 0; e < 8; e++) without.dout[i * 8 + e] = 0;
        AttentionCall marked(d, c, in), cleared(d, c, without);
        auto expected = cleared.run();
        marked.forward();
        std::vector<float> lse = marked.lse.read();
        marked.o.write(marked.o.read());
        for (size_t i = 0; i < lse.size(); i += 3) lse[i] = -INFINITY;
        marked.lse.write(lse);
        marked.backward();
        auto result = marked.result();
        for (int64_t i = 0; i < 40; i += 3)
            for (int64_t e = 0; e < 8; e++) EXPECT_EQ(result.dq[i * 8 + e], 0);
        const double rounding = d.storage == QN_BF16 ? 0x1p-8 : 0; // either may be rounded off
        for (size_t i = 0; i < expected.dk.size(); i++) {
            EXPECT_NEAR(result.dk[i], expected.dk[i], 1e-6 + rounding * std::abs(expected.dk[i]));
            EXPECT_NEAR(result.dv[i], expected.dv[i], 1e-6 + rounding * std::abs(expected.dv[i]));
        }
    });
}

// NaN in, NaN out: for the rows that see it and no others.
TEST_P(Attention, NanReachesOnlyTheRowsThatSeeIt) {
    AttentionCase c = make(make_shape(1, 150, 150, 1, 1, 8));
    c.shape.causal = true;
    c.shape.window = 20;
    on_each_dtype([&](Device &d) {
        auto in = stored(d, random_inputs(c));
        in.k[100 * 8] = NAN;
        AttentionCall call(d, c, in);
        call.forward();
        auto result = call.result();
        for (int64_t i = 0; i < 150; i++)
            EXPECT_EQ(std::isnan(result.o[i * 8]), 100 <= i && i < 120) << "row " << i;
    });
}

// ---- equal bits --------------------------------------------------------------------------

TEST_P(Attention, RepeatsGiveTheSameBits) {
    AttentionCase c = make(make_shape(2, 135, 135, 4, 2, 16));
    c.shape.causal = true;
    on_each_dtype([&](Device &d) {
        auto in = stored(d, random_inputs(c));
        AttentionCall once(d, c, in), again(d, c, in);
        once.args.deterministic = again.args.deterministic = true;
        auto first = once.run();
        const int repeats = GetParam() == QN_ATTN_FUSED ? d.repeats : std::min(d.repeats, 20);
        for (int repeat = 0; repeat < repeats; repeat++) {
            auto result = again.run();
            ASSERT_TRUE(same_bits(first.o, result.o) && same_bits(first.lse, result.lse));
            ASSERT_TRUE(same_bits(first.dq, result.dq) && same_bits(first.dk, result.dk) &&
                        same_bits(first.dv, result.dv));
        }
    });
}

TEST(FusedAttention, WorkspaceGrowsWithTheLengthNotItsSquare) {
    on_each_dtype([&](Device &d) {
        auto bytes = [&](int64_t length, bool forward) {
            qn_attention_args args = {};
            args.q = qn_tensor_4d(nullptr, d.storage, 1, length, 4, 64);
            args.k = args.v = args.o = args.dout = args.dq = args.dk = args.dv = args.q;
            args.lse = qn_tensor_3d(nullptr, QN_F32, 1, 4, length);
            args.scale = 1;
            args.compute = d.compute();
            return forward ? d.ops().attention_forward_workspace(d.backend, &args)
                           : d.ops().attention_backward_workspace(d.backend, &args);
        };
        for (bool forward : {true, false})
            EXPECT_LE(bytes(32768, forward), 32 * bytes(1024, forward));
    });
}

} // namespace
