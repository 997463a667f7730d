// test_attention_arguments.cc: what attention refuses, by name and before it writes.
#include <functional>

#include "harness/attention_case.h"

using namespace harness;

namespace {

class AttentionArguments : public testing::Test {
  protected:
    AttentionArguments() {
        c.shape = make_shape(2, 6, 9, 4, 2, 8);
        c.shape.doc_start = documents(2, {4, 5});
        in = random_inputs(c);
    }

    using Call = qn_status (*)(qn_stream *, const qn_attention_args *);
    using Spoil = std::function<void(AttentionCall &)>;

    static void expect_named(Device &d, Call run, const qn_attention_args &args,
                             const std::vector<std::string> &words) {
        expect_refused(run(d.stream, &args), QN_CODE_INVALID, words);
    }

    void refuse_on(Device &d, qn_attn_impl impl, const std::vector<std::string> &words,
                   const Spoil &spoil, bool backward_only) {
        AttentionCall call(d, c, stored(d, in));
        Workspace workspace(d, 1 << 20);
        call.args.workspace = workspace.data();
        call.args.impl = impl;
        const qn_attention_args good = call.args;
        spoil(call);
        auto before = call.result();
        if (!backward_only) expect_named(d, d.ops().attention_forward, call.args, words);
        expect_named(d, d.ops().attention_backward, call.args, words);
        call.args = good;
        auto after = call.result();
        EXPECT_TRUE(same_bits(before.o, after.o) && same_bits(before.lse, after.lse));
        EXPECT_TRUE(same_bits(before.dq, after.dq) && same_bits(before.dk, after.dk) &&
                    same_bits(before.dv, after.dv));
    }

    // Both passes refuse what `spoil` does to a good call, say the words and write nothing.
    void refuse(const std::vector<std::string> &words, const Spoil &spoil,
                bool backward_only = false) {
        on_each_dtype([&](Device &d) {
            for (qn_attn_impl impl : {QN_ATTN_NAIVE, QN_ATTN_FUSED})
                refuse_on(d, impl, words, spoil, backward_only);
        });
    }
    void refuse(const char *name, const std::function<void(qn_attention_args &)> &spoil,
                bool backward_only = false) {
        refuse(
            {name}, [&](AttentionCall &call) { spoil(call.args); }, backward_only);
    }

    AttentionCase c;
    AttentionInputs<float> in;
};

TEST_F(AttentionArguments, Shapes) {
    refuse("head dimension 12", [](auto &a) { a.q.shape[3] = 12; });
    refuse("head dimension 264", [](auto &a) { a.q.shape[3] = 264; });
    refuse("head dimension 0", [](auto &a) { a.q.shape[3] = 0; });
    refuse("q has 5 heads", [](auto &a) { a.q.shape[2] = 5; });
    refuse("q has 4 heads", [](auto &a) { a.k.shape[2] = a.v.shape[2] = 0; });
    refuse("q has 10 positions", [](auto &a) { a.q.shape[1] = 10; });
    refuse("q has length -1", [](auto &a) { a.q.shape[1] = -1; });
    refuse("q has length 2147483648", [](auto &a) { a.q.shape[1] = (int64_t)1 << 31; });
    refuse("q has more elements", [](auto &a) { a.q.shape[0] = a.q.shape[1] = INT32_MAX - 1; });
    refuse("q", [](auto &a) { a.q.dtype = (qn_dtype)99; });
    refuse("q has rank 3", [](auto &a) { a.q.rank = 3; });
    refuse("k has length 3 on axis 0", [](auto &a) { a.k.shape[0] = 3; });
    refuse("k has length 16 on axis 3", [](auto &a) { a.k.shape[3] = 16; });
    refuse("v has length 8 on axis 1", [](auto &a) { a.v.shape[1] = 8; });
    refuse("o has length 7 on axis 1", [](auto &a) { a.o.shape[1] = 7; });
    refuse("lse has length 3 on axis 1", [](auto &a) { a.lse.shape[1] = 3; });
    refuse("lse has rank 4", [](auto &a) { a.lse.rank = 4; });
    refuse("doc_start has length 6 on axis 1", [](auto &a) { a.doc_start.shape[1] = 6; });
    refuse(
        "dout has length 1 on axis 0", [](auto &a) { a.dout.shape[0] = 1; }, true);
    refuse(
        "dq has length 9 on axis 1", [](auto &a) { a.dq.shape[1] = 9; }, true);
    refuse(
        "dk has length 4 on axis 2", [](auto &a) { a.dk.shape[2] = 4; }, true);
    refuse(
        "dv has length 6 on axis 1", [](auto &a) { a.dv.shape[1] = 6; }, true);
}

TEST_F(AttentionArguments, TypesAndStrides) {
    refuse({"q", "fp16"}, [](AttentionCall &call) { call.args.q.dtype = QN_F16; });
    refuse({"v", "fp64"}, [](AttentionCall &call) { call.args.v.dtype = QN_F64; });
    refuse({"o", "fp32", "bf16"}, [](AttentionCall &call) {
        call.args.o.dtype = call.args.o.dtype == QN_F32 ? QN_BF16 : QN_F32;
    });
    refuse("lse has dtype bf16", [](auto &a) { a.lse.dtype = QN_BF16; });
    refuse("lse has dtype fp64", [](auto &a) { a.lse.dtype = QN_F64; });
    refuse("doc_start has dtype int64", [](auto &a) { a.doc_start.dtype = QN_I64; });
    refuse("k has stride 2", [](auto &a) { a.k.stride[3] = 2; });
    refuse(
        "dk has stride 0", [](auto &a) { a.dk.stride[3] = 0; }, true);
}

TEST_F(AttentionArguments, MissingMemory) {
    refuse("q has no data", [](auto &a) { a.q.data = nullptr; });
    refuse("v has no data", [](auto &a) { a.v.data = nullptr; });
    refuse("o has no data", [](auto &a) { a.o.data = nullptr; });
    refuse("lse has no data", [](auto &a) { a.lse.data = nullptr; });
    refuse(
        "dv has no data", [](auto &a) { a.dv.data = nullptr; }, true);
    c.layout = AttentionLayout::kPadded; // so that every backend needs a workspace
    refuse("workspace is missing", [](auto &a) { a.workspace = nullptr; });
    refuse("workspace is not aligned", [](auto &a) { a.workspace = (char *)a.workspace + 32; });
}

TEST_F(AttentionArguments, Options) {
    refuse("scale", [](auto &a) { a.scale = NAN; });
    refuse("window", [](auto &a) { a.window = -1; });
    refuse("impl", [](auto &a) { a.impl = (qn_attn_impl)7; });
    refuse("compute", [](auto &a) { a.compute = QN_F16; });
}

TEST_F(AttentionArguments, Documents) {
    auto refuse_start = [&](size_t position, int32_t start, const char *name) {
        on_each_dtype([&](Device &d) {
            if (!d.sees_indices) return;
            std::vector<int32_t> starts = c.shape.doc_start;
            starts[position] = start;
            for (qn_attn_impl impl : {QN_ATTN_NAIVE, QN_ATTN_FUSED})
                refuse_on(
                    d, impl, {name}, [&](AttentionCall &a) { a.doc_start->write(starts); }, false);
        });
    };
    refuse_start(0, 1, "doc_start[0][0] is 1");
    refuse_start(0, -1, "doc_start[0][0] is -1");
    refuse_start(6, 3, "doc_start[0][6] is 3");
    refuse_start(9 + 2, 5, "doc_start[1][2] is 5");
}

TEST_F(AttentionArguments, Statistics) {
    on_each_dtype([&](Device &d) {
        AttentionCase with = c;
        with.stats = true;
        AttentionCall call(d, with, stored(d, in));
        const qn_attn_stats good = *call.args.stats;
        auto refuse_stats = [&](auto change) {
            qn_attn_stats stats = good;
            change(stats);
            qn_attention_args args = call.args;
            args.stats = &stats;
            expect_named(d, d.ops().attention_forward, args, {"stats"});
        };
        refuse_stats([](qn_attn_stats &s) { s.sums = nullptr; });
        refuse_stats([](qn_attn_stats &s) { s.counts = nullptr; });
        refuse_stats([](qn_attn_stats &s) { s.local_window = -1; });
    });
}

// More scores than can be counted: the size saturates and the call says so.
TEST_F(AttentionArguments, ImpossibleWorkspace) {
    on_each_dtype([&](Device &d) {
        AttentionCall call(d, c, stored(d, in));
        qn_attention_args args = call.args;
        int64_t huge = INT32_MAX - 1;
        for (qn_tensor *x : {&args.q, &args.k, &args.v, &args.o}) {
            x->shape[1] = huge;
            x->stride[1] = 0;
        }
        args.lse.shape[2] = huge;
        args.doc_start.data = nullptr;
        args.impl = QN_ATTN_NAIVE;
        args.workspace = call.args.q.data;
        EXPECT_EQ(d.ops().attention_forward_workspace(d.backend, &args), SIZE_MAX);
        expect_named(d, d.ops().attention_forward, args, {"workspace"});
    });
}

TEST_F(AttentionArguments, NegativeAndZeroScale) {
    for (qn_attn_impl impl : {QN_ATTN_NAIVE, QN_ATTN_FUSED}) {
        for (double scale : {-0.5, 0.0}) {
            AttentionCase signs = c;
            signs.impl = impl;
            signs.shape = make_shape(1, 130, 150, 2, 1, 16);
            signs.shape.causal = true;
            signs.shape.scale = scale;
            check_attention(signs);
        }
    }
}

} // namespace
