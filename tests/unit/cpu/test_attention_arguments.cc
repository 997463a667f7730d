// test_attention_arguments.cc: what attention refuses, by name and before it writes, and
// strides past 2^31 elements, which it takes.
#include <sys/mman.h>

#include <functional>

#include "harness/attention_case.h"

using namespace harness;

namespace {

class AttentionArguments : public testing::Test {
  protected:
    AttentionArguments() : backend(2) {
        c.shape = make_shape(2, 6, 9, 4, 2, 8);
        c.shape.doc_start = documents(2, {4, 5});
        in = random_inputs(c);
    }

    using Call = qn_status (*)(qn_stream *, const qn_attention_args *);

    void expect_named(Call run, const qn_attention_args &args, const char *name) {
        expect_refused(run(backend.stream, &args), QN_CODE_INVALID, {name});
    }

    // Both passes refuse what `spoil` does to a good call, name the argument and write nothing.
    void refuse(const char *name, const std::function<void(qn_attention_args &)> &spoil,
                bool backward_only = false) {
        for (qn_attn_impl impl : {QN_ATTN_NAIVE, QN_ATTN_FUSED}) {
            AttentionCall call(c, in);
            std::vector<char> memory(1 << 20);
            call.args.workspace = (void *)(((uintptr_t)memory.data() + 63) & ~(uintptr_t)63);
            call.args.impl = impl;
            auto before = call.result();
            qn_attention_args args = call.args;
            spoil(args);
            const qn_ops *ops = backend.backend->ops;
            if (!backward_only) expect_named(ops->attention_forward, args, name);
            expect_named(ops->attention_backward, args, name);
            auto after = call.result();
            EXPECT_TRUE(same_bits(before.o, after.o) && same_bits(before.lse, after.lse));
            EXPECT_TRUE(same_bits(before.dq, after.dq) && same_bits(before.dk, after.dk) &&
                        same_bits(before.dv, after.dv));
        }
    }

    Backend backend;
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
    refuse("q has dtype", [](auto &a) { a.q.dtype = (qn_dtype)99; });
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
    refuse("q has dtype bf16", [](auto &a) { a.q.dtype = QN_BF16; });
    refuse("v has dtype fp16", [](auto &a) { a.v.dtype = QN_F16; });
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
    auto refuse_start = [&](int position, int32_t start, const char *name) {
        std::vector<int32_t> starts = c.shape.doc_start;
        starts[position] = start;
        refuse(name, [&](auto &a) { a.doc_start.data = starts.data(); });
    };
    refuse_start(0, 1, "doc_start[0][0] is 1");
    refuse_start(0, -1, "doc_start[0][0] is -1");
    refuse_start(6, 3, "doc_start[0][6] is 3");
    refuse_start(9 + 2, 5, "doc_start[1][2] is 5");
}

TEST_F(AttentionArguments, Statistics) {
    auto refuse_stats = [&](qn_attn_stats stats) {
        AttentionCall call(c, in);
        call.args.stats = &stats;
        expect_named(backend.backend->ops->attention_forward, call.args, "stats");
    };
    float sums[QN_ATTN_N_SUMS * 4];
    int64_t counts[QN_ATTN_N_COUNTS * 4];
    refuse_stats({nullptr, counts, 1});
    refuse_stats({sums, nullptr, 1});
    refuse_stats({sums, counts, -1});
}

// More scores than can be counted: the size saturates and the call says so.
TEST_F(AttentionArguments, ImpossibleWorkspace) {
    AttentionCall call(c, in);
    qn_attention_args args = call.args;
    int64_t huge = INT32_MAX - 1;
    for (qn_tensor *x : {&args.q, &args.k, &args.v, &args.o}) {
        x->shape[1] = huge;
        x->stride[1] = 0;
    }
    args.lse.shape[2] = huge;
    args.doc_start.data = nullptr;
    args.impl = QN_ATTN_NAIVE;
    args.workspace = &args;
    const qn_ops *ops = backend.backend->ops;
    EXPECT_EQ(ops->attention_forward_workspace(backend.backend, &args), SIZE_MAX);
    expect_named(ops->attention_forward, args, "workspace");
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

// One mapping, never touched but where rows lie.
class SparseMemory {
  public:
    explicit SparseMemory(size_t bytes) : bytes(bytes) {
        memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    ~SparseMemory() {
        if (ok()) munmap(memory, bytes);
    }
    bool ok() const { return memory != MAP_FAILED; }
    float *at(int64_t element) { return (float *)memory + element; }

  private:
    size_t bytes;
    void *memory;
};

// Positions, heads and sequences 2^31 elements and more apart.
TEST(AttentionStrides, PastTwoToThe31) {
    const int64_t far = ((int64_t)1 << 31) + 64;
    const int64_t strides[][3] = {{3 * far, far, 64}, {4096, 8, far}, {far, 8, 2048}};
    SparseMemory memory((size_t)9 * 7 * far * sizeof(float));
    if (!memory.ok()) GTEST_SKIP() << "the system maps no 500 GB of sparse memory";
    for (qn_attn_impl impl : {QN_ATTN_NAIVE, QN_ATTN_FUSED}) {
        for (auto &stride : strides) {
            AttentionCase c;
            c.impl = impl;
            c.shape = make_shape(2, 3, 3, 2, 2, 8);
            auto in = random_inputs(c);
            AttentionCall dense(c, in), sparse(c, in);
            Backend backend(1);
            auto expected = dense.run(backend);
            qn_tensor *tensors[] = {&sparse.args.q,    &sparse.args.k, &sparse.args.v,
                                    &sparse.args.dout, &sparse.args.o, &sparse.args.dq,
                                    &sparse.args.dk,   &sparse.args.dv};
            for (int i = 0; i < 8; i++) {
                auto content = Poisoned::read(*tensors[i]);
                tensors[i]->data = memory.at(7 * far * i);
                for (int axis = 0; axis < 3; axis++) tensors[i]->stride[axis] = stride[axis];
                if (i < 4) Poisoned::fill(*tensors[i], content);
            }
            sparse.args.lse.data = memory.at(7 * far * 8);
            sparse.args.lse.stride[0] = 2 * far;
            sparse.args.lse.stride[1] = far;
            backend.forward(sparse.args);
            backend.backward(sparse.args);
            auto result = sparse.result();
            EXPECT_TRUE(same_bits(result.o, expected.o) && same_bits(result.lse, expected.lse));
            EXPECT_TRUE(same_bits(result.dq, expected.dq) && same_bits(result.dk, expected.dk) &&
                        same_bits(result.dv, expected.dv));
        }
    }
}

} // namespace
