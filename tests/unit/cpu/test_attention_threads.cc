// test_attention_threads.cc: what only the CPU's attention promises: equal bits for any number
// of threads, and strides past 2^31 elements of memory that the host maps.
#include <sys/mman.h>

#include "harness/attention_case.h"

using namespace harness;

namespace {

BackendUnderTest cpu() { return {"cpu", qn_cpu_open, {}, true}; }

// Enough threads that the fused backward pass takes its two sweeps.
TEST(CpuAttention, MoreThreadsThanHeads) {
    Device d(cpu(), 7);
    AttentionCase c;
    c.shape = make_shape(1, 203, 230, 2, 1, 24);
    c.shape.causal = true;
    c.layout = AttentionLayout::kPadded;
    for (qn_attn_impl impl : {QN_ATTN_NAIVE, QN_ATTN_FUSED})
        for (int64_t window : {0, 70}) {
            c.impl = impl;
            c.shape.window = window;
            check_attention(d, c);
        }
}

// More than was promised: both plans of the backward pass sum in one order.
TEST(CpuAttention, AnyThreadCountGivesTheSameBits) {
    AttentionCase c;
    c.shape = make_shape(1, 230, 250, 6, 2, 40);
    c.shape.causal = true;
    c.layout = AttentionLayout::kPadded;
    c.stats = true;
    auto in = random_inputs(c);
    Device one(cpu(), 1);
    auto first = AttentionCall(one, c, in).run();
    for (int n_threads : {2, 3, 8}) {
        Device d(cpu(), n_threads);
        auto again = AttentionCall(d, c, in).run();
        EXPECT_TRUE(same_bits(first.o, again.o));
        EXPECT_TRUE(same_bits(first.dq, again.dq));
        EXPECT_TRUE(same_bits(first.dk, again.dk));
        EXPECT_TRUE(same_bits(first.dv, again.dv));
        EXPECT_EQ(first.sums, again.sums);
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

// f(element of `far`, element of `near`) for two views of one shape in host memory.
template <typename F> void each_pair(const qn_tensor &far, const qn_tensor &near, F f) {
    for (int64_t a = 0; a < far.shape[0]; a++)
        for (int64_t b = 0; b < far.shape[1]; b++)
            for (int64_t c = 0; c < far.shape[2]; c++)
                for (int64_t e = 0; e < far.shape[3]; e++) {
                    auto element = [&](const qn_tensor &t) {
                        return (float *)t.data + a * t.stride[0] + b * t.stride[1] +
                               c * t.stride[2] + e * t.stride[3];
                    };
                    f(element(far), element(near));
                }
}

// Positions, heads and sequences 2^31 elements and more apart.
TEST(CpuAttention, StridesPastTwoToThe31) {
    const int64_t far = ((int64_t)1 << 31) + 64;
    const int64_t strides[][3] = {{3 * far, far, 64}, {4096, 8, far}, {far, 8, 2048}};
    SparseMemory memory((size_t)9 * 7 * far * sizeof(float));
    if (!memory.ok()) GTEST_SKIP() << "the system maps no 500 GB of sparse memory";
    Device d(cpu(), 1);
    for (qn_attn_impl impl : {QN_ATTN_NAIVE, QN_ATTN_FUSED}) {
        for (auto &stride : strides) {
            AttentionCase c;
            c.impl = impl;
            c.shape = make_shape(2, 3, 3, 2, 2, 8);
            AttentionCall dense(d, c, random_inputs(c));
            dense.run();
            const qn_attention_args &near = dense.args;
            qn_attention_args args = near;
            qn_tensor *tensors[] = {&args.q, &args.k,  &args.v,  &args.dout,
                                    &args.o, &args.dq, &args.dk, &args.dv};
            const qn_tensor *expected[] = {&near.q, &near.k,  &near.v,  &near.dout,
                                           &near.o, &near.dq, &near.dk, &near.dv};
            for (int i = 0; i < 8; i++) {
                tensors[i]->data = memory.at(7 * far * i);
                for (int axis = 0; axis < 3; axis++) tensors[i]->stride[axis] = stride[axis];
                if (i < 4)
                    each_pair(*tensors[i], *expected[i],
                              [](float *to, float *from) { *to = *from; });
            }
            args.lse.data = memory.at(7 * far * 8);
            args.lse.stride[0] = 2 * far;
            args.lse.stride[1] = far;
            run_forward(d, args);
            run_backward(d, args);
            for (int i = 4; i < 8; i++)
                each_pair(*tensors[i], *expected[i],
                          [](float *got, float *want) { EXPECT_EQ(*got, *want); });
            each_pair(args.lse, near.lse, [](float *got, float *want) { EXPECT_EQ(*got, *want); });
        }
    }
}

} // namespace
