// attention_case.h: runs attention of a CPU backend on random inputs in awkward memory:
// poisoned outputs and workspace, strided views whose gaps must stay as they were.
#ifndef QUERN_TESTS_ATTENTION_CASE_H
#define QUERN_TESTS_ATTENTION_CASE_H

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "harness/attention_reference.h"
#include "harness/backend.h"

namespace harness {

using reference::AttentionInputs;
using reference::AttentionResult;
using reference::AttentionShape;

enum class AttentionLayout {
    kDense,
    kQkvSlices, // q, k and v (dq, dk and dv) are slices of one buffer; needs Tq == Tk
    kPadded,    // gaps after every head, row and sequence
};

struct AttentionCase {
    AttentionShape shape;
    qn_attn_impl impl = QN_ATTN_FUSED;
    qn_dtype compute = QN_F32;
    AttentionLayout layout = AttentionLayout::kDense;
    bool stats = false;
    int64_t local_window = 8;
    int n_threads = 2;
    uint32_t seed = 1;
    float spread = 1; // standard deviation of q and k
};

// ---- memory ----------------------------------------------------------------------

inline float poison() {
    uint32_t bits = 0x7fc0dead; // a NaN of our own
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

// A buffer full of poison with strided (B,T,H,D) views on it.
class Poisoned {
  public:
    explicit Poisoned(size_t n) : data(n, poison()), owned(n, false) {}

    qn_tensor view(int64_t offset, const int64_t shape[4], const int64_t stride[4], int rank = 4) {
        qn_tensor t = qn_tensor_make(data.data() + offset, QN_F32, rank, shape);
        for (int i = 0; i < rank; i++) t.stride[i] = stride[i];
        each(t, [&](int64_t at, int64_t) { owned[offset + at] = true; });
        return t;
    }

    // Nothing was written outside the views.
    void expect_gaps_intact(const char *name) const {
        for (size_t i = 0; i < data.size(); i++) {
            if (!owned[i] && bits_of(data[i]) != bits_of(poison())) {
                ADD_FAILURE() << name << ": element " << i << " between views was overwritten";
                return;
            }
        }
    }

    template <typename F> static void each(const qn_tensor &t, F f) {
        int64_t n = 0;
        for (int64_t a = 0; a < t.shape[0]; a++)
            for (int64_t b = 0; b < t.shape[1]; b++)
                for (int64_t c = 0; c < t.shape[2]; c++)
                    for (int64_t d = 0; d < t.shape[3]; d++)
                        f(a * t.stride[0] + b * t.stride[1] + c * t.stride[2] + d * t.stride[3],
                          n++);
    }

    static void fill(const qn_tensor &t, const std::vector<float> &dense) {
        each(t, [&](int64_t at, int64_t n) { ((float *)t.data)[at] = dense[n]; });
    }

    static std::vector<float> read(const qn_tensor &t) {
        std::vector<float> dense(qn_tensor_numel(&t));
        each(t, [&](int64_t at, int64_t n) { dense[n] = ((float *)t.data)[at]; });
        return dense;
    }

  private:
    std::vector<float> data;
    std::vector<bool> owned;
};

// A (B,T,H,D) tensor of its own.
struct Tensor4 {
    Tensor4(AttentionLayout layout, int64_t b, int64_t t, int64_t h, int64_t d)
        : memory(size(layout, b, t, h, d)) {
        int64_t pad = layout == AttentionLayout::kDense ? 0 : 3;
        const int64_t shape[] = {b, t, h, d};
        const int64_t stride[] = {(h * (d + pad) + pad) * t + pad, h * (d + pad) + pad, d + pad, 1};
        view = memory.view(0, shape, stride);
    }
    static size_t size(AttentionLayout layout, int64_t b, int64_t t, int64_t h, int64_t d) {
        int64_t pad = layout == AttentionLayout::kDense ? 0 : 3;
        return b * ((h * (d + pad) + pad) * t + pad) + 1;
    }
    Poisoned memory;
    qn_tensor view;
};

// (B,T,Hq+2Hkv,D) with q, k and v in it.
struct Qkv {
    explicit Qkv(const AttentionShape &s)
        : memory(s.batch * s.n_queries * (s.n_heads + 2 * s.n_kv_heads) * s.head_dim + 1) {
        int64_t width = (s.n_heads + 2 * s.n_kv_heads) * s.head_dim;
        const int64_t stride[] = {s.n_queries * width, width, s.head_dim, 1};
        const int64_t q_shape[] = {s.batch, s.n_queries, s.n_heads, s.head_dim};
        const int64_t k_shape[] = {s.batch, s.n_queries, s.n_kv_heads, s.head_dim};
        q = memory.view(0, q_shape, stride);
        k = memory.view(s.n_heads * s.head_dim, k_shape, stride);
        v = memory.view((s.n_heads + s.n_kv_heads) * s.head_dim, k_shape, stride);
    }
    Poisoned memory;
    qn_tensor q, k, v;
};

// ---- a run -------------------------------------------------------------------------

// A CPU backend, whose memory is the host's.
class Backend : public Device {
  public:
    explicit Backend(int n_threads) : Device({"cpu", n_threads}) {}

    void forward(qn_attention_args args) {
        Workspace workspace(*this, ops().attention_forward_workspace(backend, &args));
        args.workspace = workspace.data();
        expect_ok(ops().attention_forward(stream, &args));
        workspace.expect_guards_intact();
    }
    void backward(qn_attention_args args) {
        Workspace workspace(*this, ops().attention_backward_workspace(backend, &args));
        args.workspace = workspace.data();
        expect_ok(ops().attention_backward(stream, &args));
        workspace.expect_guards_intact();
    }
};

inline AttentionInputs<float> random_inputs(const AttentionCase &c) {
    std::mt19937 generator(c.seed);
    auto draw = [&](int64_t n, float deviation) {
        std::normal_distribution<float> normal(0, deviation);
        std::vector<float> x(n);
        for (float &e : x) e = normal(generator);
        return x;
    };
    const AttentionShape &s = c.shape;
    return {draw(s.q_size(), c.spread), draw(s.k_size(), c.spread), draw(s.k_size(), 1),
            draw(s.q_size(), 1)};
}

// The tensors of one call, in the layout that the case asks for.
class AttentionCall {
  public:
    AttentionCall(const AttentionCase &c, const AttentionInputs<float> &in)
        : c(c), own(c.layout == AttentionLayout::kQkvSlices ? AttentionLayout::kPadded : c.layout),
          qkv(slices() ? c.shape : AttentionShape()), dqkv(slices() ? c.shape : AttentionShape()),
          q(like_q()), k(like_k()), v(like_k()), dq(like_q()), dk(like_k()), dv(like_k()),
          o(like_q()), dout(like_q()),
          lse(own, c.shape.batch, 1, c.shape.n_heads, c.shape.n_queries) {
        const AttentionShape &s = c.shape;
        args.q = slices() ? qkv.q : q.view;
        args.k = slices() ? qkv.k : k.view;
        args.v = slices() ? qkv.v : v.view;
        args.dq = slices() ? dqkv.q : dq.view;
        args.dk = slices() ? dqkv.k : dk.view;
        args.dv = slices() ? dqkv.v : dv.view;
        args.o = o.view;
        args.dout = dout.view;
        args.lse = lse_view();
        if (!s.doc_start.empty())
            args.doc_start = qn_tensor_2d((void *)s.doc_start.data(), QN_I32, s.batch, s.n_keys);
        args.scale = (float)s.scale;
        args.causal = s.causal;
        args.window = s.window;
        args.impl = c.impl;
        args.compute = c.compute;
        Poisoned::fill(args.q, in.q);
        Poisoned::fill(args.k, in.k);
        Poisoned::fill(args.v, in.v);
        Poisoned::fill(args.dout, in.dout);
        sums.assign(QN_ATTN_N_SUMS * s.n_heads, 0.0f);
        counts.assign(QN_ATTN_N_COUNTS * s.n_heads, 0);
        for (int64_t h = 0; h < s.n_heads; h++) sums[QN_ATTN_MAX_LOGIT * s.n_heads + h] = -INFINITY;
        stats = {sums.data(), counts.data(), c.local_window};
        if (c.stats) args.stats = &stats;
    }

    AttentionResult<float> run(Backend &backend) {
        backend.forward(args);
        qn_attention_args backward = args;
        backward.stats = nullptr;
        backend.backward(backward);
        for (auto *memory : {&qkv.memory, &dqkv.memory, &q.memory, &k.memory, &v.memory, &o.memory,
                             &dout.memory, &lse.memory, &dq.memory, &dk.memory, &dv.memory})
            memory->expect_gaps_intact("attention");
        return result();
    }

    AttentionResult<float> result() const {
        AttentionResult<float> r;
        r.o = Poisoned::read(args.o);
        r.lse = Poisoned::read(args.lse);
        r.dq = Poisoned::read(args.dq);
        r.dk = Poisoned::read(args.dk);
        r.dv = Poisoned::read(args.dv);
        r.sums.assign(sums.begin(), sums.end());
        r.counts = counts;
        return r;
    }

    qn_attention_args args = {};

  private:
    bool slices() const { return c.layout == AttentionLayout::kQkvSlices; }
    Tensor4 like_q() const {
        return Tensor4(own, c.shape.batch, c.shape.n_queries, c.shape.n_heads, c.shape.head_dim);
    }
    Tensor4 like_k() const {
        return Tensor4(own, c.shape.batch, c.shape.n_keys, c.shape.n_kv_heads, c.shape.head_dim);
    }
    qn_tensor lse_view() {
        const int64_t shape[] = {c.shape.batch, c.shape.n_heads, c.shape.n_queries};
        qn_tensor view = qn_tensor_make(lse.view.data, QN_F32, 3, shape);
        view.stride[0] = lse.view.stride[0];
        view.stride[1] = lse.view.stride[2];
        return view;
    }

    const AttentionCase &c;
    AttentionLayout own;
    Qkv qkv, dqkv;
    Tensor4 q, k, v, dq, dk, dv, o, dout, lse;
    std::vector<float> sums;
    std::vector<int64_t> counts;
    qn_attn_stats stats;
};

// ---- judging -------------------------------------------------------------------------

// max |x − reference| may be twice that of the plain computation, and one rounding of what
// was summed.
inline void expect_as_good_as_plain(const char *name, const std::vector<float> &x,
                                    const std::vector<float> &plain,
                                    const std::vector<double> &exact,
                                    const std::vector<double> &terms) {
    double error = 0, plain_error = 0, largest = 0;
    for (size_t i = 0; i < exact.size(); i++) {
        if (std::isinf(exact[i]) || std::isnan(x[i])) {
            ASSERT_EQ((double)x[i], exact[i]) << name << ", element " << i;
            continue;
        }
        error = std::max(error, std::abs(x[i] - exact[i]));
        plain_error = std::max(plain_error, std::abs(plain[i] - exact[i]));
        largest = std::max(largest, terms[i]);
    }
    double rounding = std::numeric_limits<float>::epsilon() * largest;
    EXPECT_LE(error, 2 * plain_error + rounding)
        << name << " (plain " << plain_error << ", rounding " << rounding << ")";
}

template <typename To> AttentionInputs<To> convert(const AttentionInputs<float> &in) {
    auto all = [](const std::vector<float> &x) { return std::vector<To>(x.begin(), x.end()); };
    return {all(in.q), all(in.k), all(in.v), all(in.dout)};
}

// Runs a case and compares it with the reference.
inline AttentionResult<float> check_attention(const AttentionCase &c) {
    AttentionInputs<float> in = random_inputs(c);
    Backend backend(c.n_threads);
    AttentionResult<float> result = AttentionCall(c, in).run(backend);
    AttentionInputs<double> exact_in = convert<double>(in);
    AttentionShape shape = c.shape;
    shape.scale = (float)shape.scale;
    auto exact = reference::Attention<double>(shape, exact_in).run(c.local_window);
    auto plain = reference::Attention<float>(shape, in, c.compute == QN_BF16).run(c.local_window);
    expect_as_good_as_plain("o", result.o, plain.o, exact.o, exact.o_terms);
    expect_as_good_as_plain("lse", result.lse, plain.lse, exact.lse, exact.lse_terms);
    expect_as_good_as_plain("dq", result.dq, plain.dq, exact.dq, exact.dq_terms);
    expect_as_good_as_plain("dk", result.dk, plain.dk, exact.dk, exact.dk_terms);
    expect_as_good_as_plain("dv", result.dv, plain.dv, exact.dv, exact.dv_terms);
    return result;
}

// Documents of the given lengths, the same for every sequence; 0 is an empty one.
inline std::vector<int32_t> documents(int64_t batch, std::vector<int64_t> lengths) {
    std::vector<int32_t> starts;
    for (int64_t b = 0; b < batch; b++) {
        int32_t start = 0;
        for (int64_t length : lengths) {
            starts.insert(starts.end(), length, start);
            start += (int32_t)length;
        }
    }
    return starts;
}

inline AttentionShape make_shape(int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n_heads,
                                 int64_t n_kv_heads, int64_t head_dim) {
    AttentionShape s;
    s.batch = batch;
    s.n_queries = n_queries;
    s.n_keys = n_keys;
    s.n_heads = n_heads;
    s.n_kv_heads = n_kv_heads;
    s.head_dim = head_dim;
    s.scale = 1 / std::sqrt((double)head_dim);
    return s;
}

inline bool same_bits(const std::vector<float> &x, const std::vector<float> &y) {
    return x.size() == y.size() && memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
}

} // namespace harness

#endif
