// test_cuda_streams.cc: work of the CUDA backend that waits in its stream until somebody asks,
// and conversions.
#include "harness/attention_case.h"
#include "simt/stream.h"

using namespace harness;

namespace {

// Everything a stream is given runs when it is waited for.
class CudaStreams : public testing::Test {
  protected:
    CudaStreams() { simt::defer_streams(true); }
    ~CudaStreams() override { simt::defer_streams(false); }
};

TEST_F(CudaStreams, NothingIsThereBeforeTheStreamIsWaitedFor) {
    on_each_backend([&](Device &d) {
        const std::vector<float> sent = {1, 2, 3};
        std::vector<float> got = {0, 0, 0};
        void *memory = nullptr;
        expect_ok(d.ops().alloc(d.backend, 12, &memory));
        expect_ok(d.ops().copy(d.stream, memory, sent.data(), 12, QN_COPY_TO_DEVICE));
        expect_ok(d.ops().copy(d.stream, got.data(), memory, 12, QN_COPY_TO_HOST));
        EXPECT_EQ(got, (std::vector<float>{0, 0, 0}));
        expect_ok(d.ops().stream_sync(d.stream));
        EXPECT_EQ(got, sent);
        d.ops().free(d.backend, memory);
    });
}

TEST_F(CudaStreams, AStreamWaitsForAnEventOfAnother) {
    on_each_backend([&](Device &d) {
        const std::vector<float> sent = {4, 5, 6};
        std::vector<float> got = {0, 0, 0};
        void *memory = nullptr;
        qn_stream *other = nullptr;
        qn_event *event = nullptr;
        expect_ok(d.ops().alloc(d.backend, 12, &memory));
        expect_ok(d.ops().stream_create(d.backend, &other));
        expect_ok(d.ops().event_create(d.backend, &event));
        expect_ok(d.ops().copy(d.stream, memory, sent.data(), 12, QN_COPY_TO_DEVICE));
        expect_ok(d.ops().event_record(event, d.stream));
        expect_ok(d.ops().stream_wait(other, event));
        expect_ok(d.ops().copy(other, got.data(), memory, 12, QN_COPY_TO_HOST));
        expect_ok(d.ops().stream_sync(other));
        EXPECT_EQ(got, sent);
        d.ops().event_destroy(event);
        d.ops().stream_destroy(other);
        d.ops().free(d.backend, memory);
    });
}

// Kernels, products and copies of unaligned views keep their order, and the host's argument
// structures are not looked at again.
TEST_F(CudaStreams, AttentionNeedsNoWaitInside) {
    for (qn_attn_impl impl : {QN_ATTN_NAIVE, QN_ATTN_FUSED}) {
        AttentionCase c;
        c.impl = impl;
        c.layout = AttentionLayout::kPadded;
        c.shape = make_shape(2, 9, 13, 4, 2, 16);
        c.shape.causal = true;
        check_attention(c);
    }
}

TEST_F(CudaStreams, CastsBetweenAnyStrides) {
    on_each_backend([&](Device &d) {
        const std::vector<float> values = {1, -2.5f, 3e30f, 0, 1.00390625f, -7};
        Floats wide(d, {2, 3}, values), back(d, {2, 3});
        Stored narrow(d, {2, 3});
        expect_ok(d.ops().cast(d.stream, narrow, wide));
        expect_ok(d.ops().cast(d.stream, back, narrow));
        expect_ok(d.ops().stream_sync(d.stream));
        EXPECT_EQ(back.read(), rounded(QN_BF16, values));
        wide.expect_untouched();
    });
}

} // namespace
