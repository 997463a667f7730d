// backward_call.h: calls the fused backward kernels, and compares with attention written out in
// double.
#ifndef QUERN_TESTS_SIMT_BACKWARD_CALL_H
#define QUERN_TESTS_SIMT_BACKWARD_CALL_H

#include "attention_device.h"
#include "simt/config.h"

namespace attention {

enum Order { kAnyOrder, kOrdered };

// Devices with 100 KB of shared memory have shapes of their own.
constexpr uint32_t kSmallDevice = 99 * 1024;

// dq, dk and dv; and dq before it was rounded to bf16, which hides most changes of order.
struct Gradients : AttentionResult<float> {
    std::vector<float> dq_sum;
};

// dq, dk and dv of one call, and what it reads: o and lse as an exact forward pass leaves them.
class BackwardCall {
  public:
    BackwardCall(const Case &c, const AttentionInputs<float> &in,
                 const AttentionResult<double> &exact, Order order)
        : s(c.shape), call(c, in), dout(like_q(c.pad)), o(like_q(c.pad)), dq(like_dq(c)),
          dk(like_k(c.pad)), dv(like_k(c.pad)), delta((size_t)s.lse_size()),
          dq_sum(
              (size_t)(s.batch * s.n_heads * qn_attn_backward_dq_floats(s.head_dim, s.n_queries))),
          semaphores((size_t)(s.batch * s.n_kv_heads * qn_attn_backward_semaphores(s.n_keys) + 1)),
          slices(c.slices) {
        dout.fill(in.dout);
        o.fill(std::vector<float>(exact.o.begin(), exact.o.end()));
        qn_attn_params &p = call.params;
        for (int64_t i = 0; i < s.lse_size(); i++) p.lse[i * p.lse_row] = (float)exact.lse[i];
        p.dout = dout.view();
        p.o = o.view();
        p.dq = dq.view();
        p.dk = slices ? dq.view(s.n_heads) : dk.view();
        p.dv = slices ? dq.view(s.n_heads + s.n_kv_heads) : dv.view();
        p.delta = delta.data();
        p.dq_sum = dq_sum.data();
        p.semaphores = order == kOrdered ? semaphores.data() : nullptr;
    }

    Gradients run() {
        EXPECT_EQ(qn_attn_fused_sm80_backward(&call.params, queue()), 0);
        dq.expect_gaps_intact("dq");
        dk.expect_gaps_intact("dk");
        dv.expect_gaps_intact("dv");
        Gradients r;
        r.dq = dq.read(0, s.n_heads);
        r.dk = slices ? dq.read(s.n_heads, s.n_kv_heads) : dk.read();
        r.dv = slices ? dq.read(s.n_heads + s.n_kv_heads, s.n_kv_heads) : dv.read();
        r.dq_sum = dq_sum.host();
        return r;
    }

    qn_attn_params &params() { return call.params; }

  private:
    Tensor like_q(int64_t pad) const {
        return Tensor(s.batch, s.n_queries, s.n_heads, s.head_dim, pad);
    }
    Tensor like_k(int64_t pad) const {
        return Tensor(s.batch, s.n_keys, s.n_kv_heads, s.head_dim, pad);
    }
    Tensor like_dq(const Case &c) const {
        int64_t width = c.slices ? s.n_heads + 2 * s.n_kv_heads : s.n_heads;
        return Tensor(s.batch, s.n_queries, width, s.head_dim, c.pad);
    }

    const AttentionShape s;
    Call call;
    Tensor dout, o, dq, dk, dv;
    DeviceArray<float> delta, dq_sum;
    DeviceArray<int32_t> semaphores;
    bool slices;
};

inline Gradients run(const Case &c, const AttentionInputs<float> &in, const Expected &want,
                     Order order) {
    return BackwardCall(c, in, want.exact, order).run();
}

inline void expect_right(const AttentionResult<float> &result, const Expected &want) {
    const AttentionResult<double> &exact = want.exact;
    harness::expect_as_good_as_plain(QN_F32, "dq", result.dq, want.plain.dq, exact.dq,
                                     exact.dq_terms);
    harness::expect_as_good_as_plain(QN_F32, "dk", result.dk, want.plain.dk, exact.dk,
                                     exact.dk_terms);
    harness::expect_as_good_as_plain(QN_F32, "dv", result.dv, want.plain.dv, exact.dv,
                                     exact.dv_terms);
}

// In both orders, on a large and on a small device.
inline void check(const Case &c) {
    AttentionInputs<float> in = random_inputs(c);
    Expected want = expected(c, in);
    expect_right(run(c, in, want, kAnyOrder), want);
    simt::ScopedConfig saved;
    simt::config().shared_limit = kSmallDevice;
    expect_right(run(c, in, want, kOrdered), want);
}

} // namespace attention

#endif
