// attention_case.h: runs attention of a backend on random inputs in awkward memory: poisoned
// outputs and workspace, strided views whose gaps must stay as they were.
#ifndef QUERN_TESTS_ATTENTION_CASE_H
#define QUERN_TESTS_ATTENTION_CASE_H

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>

#include "harness/accuracy.h"
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
    qn_dtype compute = QN_F32; // at least what storage asks for
    AttentionLayout layout = AttentionLayout::kDense;
    bool stats = false;
    int64_t local_window = 8;
    uint32_t seed = 1;
    float spread = 1; // standard deviation of q and k
};

// ---- a run -------------------------------------------------------------------------

inline void run_forward(Device &d, qn_attention_args args) {
    Workspace workspace(d, d.ops().attention_forward_workspace(d.backend, &args));
    args.workspace = workspace.data();
    expect_ok(d.ops().attention_forward(d.stream, &args));
    expect_ok(d.ops().stream_sync(d.stream));
    workspace.expect_guards_intact();
}

inline void run_backward(Device &d, qn_attention_args args) {
    Workspace workspace(d, d.ops().attention_backward_workspace(d.backend, &args));
    args.workspace = workspace.data();
    args.stats = nullptr;
    expect_ok(d.ops().attention_backward(d.stream, &args));
    expect_ok(d.ops().stream_sync(d.stream));
    workspace.expect_guards_intact();
}

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

// What storage leaves of the inputs.
inline AttentionInputs<float> stored(const Device &d, const AttentionInputs<float> &in) {
    return {d.stored(in.q), d.stored(in.k), d.stored(in.v), d.stored(in.dout)};
}

// q, k and v (or their gradients): three tensors, or slices of one (B,T,Hq+2Hkv,D).
class AttentionHeads {
  public:
    AttentionHeads(Device &d, const AttentionCase &c) : s(c.shape) {
        const int64_t width = s.n_heads + 2 * s.n_kv_heads;
        if (c.layout == AttentionLayout::kQkvSlices) {
            joined.emplace(d, Shape{s.batch, s.n_queries, width, s.head_dim}, Layout::kDense);
        } else {
            const Layout layout =
                c.layout == AttentionLayout::kDense ? Layout::kDense : Layout::kPadded;
            own[0].emplace(d, Shape{s.batch, s.n_queries, s.n_heads, s.head_dim}, layout);
            for (int i : {1, 2})
                own[i].emplace(d, Shape{s.batch, s.n_keys, s.n_kv_heads, s.head_dim}, layout);
        }
    }

    // 0, 1, 2: q, k, v
    qn_tensor view(int i) const {
        if (!joined) return own[i]->view;
        qn_tensor t = joined->view;
        t.data = (char *)t.data + first_head(i) * s.head_dim * qn_dtype_size(t.dtype);
        t.shape[2] = heads(i);
        return t;
    }

    void write(const std::vector<float> &q, const std::vector<float> &k,
               const std::vector<float> &v) {
        const std::vector<float> *parts[] = {&q, &k, &v};
        std::vector<float> all(q.size() + k.size() + v.size());
        for (int i = 0; i < 3; i++) {
            if (!joined) own[i]->write(*parts[i]);
            each_row(i, [&](size_t at, size_t n, size_t count) {
                std::copy_n(parts[i]->begin() + n, count, all.begin() + at);
            });
        }
        if (joined) joined->write(all);
    }

    std::vector<float> read(int i) const {
        if (!joined) return own[i]->read();
        std::vector<float> all = joined->read(), part;
        each_row(i, [&](size_t at, size_t, size_t count) {
            part.insert(part.end(), all.begin() + at, all.begin() + at + count);
        });
        return part;
    }

  private:
    using Shape = std::vector<int64_t>;

    int64_t heads(int i) const { return i == 0 ? s.n_heads : s.n_kv_heads; }
    int64_t first_head(int i) const { return i == 0 ? 0 : s.n_heads + (i - 1) * s.n_kv_heads; }

    // f(index in the joined rows, index in the part, elements) for each position
    template <typename F> void each_row(int i, F f) const {
        if (!joined) return;
        const size_t width = (size_t)((s.n_heads + 2 * s.n_kv_heads) * s.head_dim);
        const size_t count = (size_t)(heads(i) * s.head_dim);
        for (size_t row = 0; row < (size_t)(s.batch * s.n_queries); row++)
            f(row * width + (size_t)(first_head(i) * s.head_dim), row * count, count);
    }

    const AttentionShape &s;
    std::optional<Stored> joined, own[3];
};

// The tensors of one call, in the layout that the case asks for.
class AttentionCall {
  public:
    AttentionCall(Device &d, const AttentionCase &c, const AttentionInputs<float> &in)
        : d(d), c(c), heads(d, c), grads(d, c), o(d, q_shape(), layout()),
          dout(d, q_shape(), in.dout, layout()),
          lse(d, {c.shape.batch, c.shape.n_heads, c.shape.n_queries}, layout()),
          sums(d, {QN_ATTN_N_SUMS, c.shape.n_heads}, first_sums(), Layout::kDense),
          counts(d, {QN_ATTN_N_COUNTS, c.shape.n_heads},
                 std::vector<int64_t>(QN_ATTN_N_COUNTS * c.shape.n_heads), Layout::kDense) {
        const AttentionShape &s = c.shape;
        heads.write(in.q, in.k, in.v);
        args.q = heads.view(0);
        args.k = heads.view(1);
        args.v = heads.view(2);
        args.dq = grads.view(0);
        args.dk = grads.view(1);
        args.dv = grads.view(2);
        args.o = o;
        args.dout = dout;
        args.lse = lse;
        if (!s.doc_start.empty()) {
            doc_start.emplace(d, std::vector<int64_t>{s.batch, s.n_keys}, s.doc_start);
            args.doc_start = *doc_start;
        }
        args.scale = (float)s.scale;
        args.causal = s.causal;
        args.window = s.window;
        args.impl = c.impl;
        args.compute = d.computes(c.compute) ? c.compute : d.compute();
        stats = {(float *)sums.view.data, (int64_t *)counts.view.data, c.local_window};
        if (c.stats) args.stats = &stats;
    }
    AttentionCall(const AttentionCall &) = delete;

    void forward() { run_forward(d, args); }
    void backward() { run_backward(d, args); }
    AttentionResult<float> run() {
        forward();
        backward();
        return result();
    }

    // Fails the test when anything between the tensors' rows has changed.
    AttentionResult<float> result() const {
        AttentionResult<float> r;
        r.o = o.read();
        r.lse = lse.read();
        r.dq = grads.read(0);
        r.dk = grads.read(1);
        r.dv = grads.read(2);
        const std::vector<float> all = sums.read();
        r.sums.assign(all.begin(), all.end());
        r.counts = counts.read();
        return r;
    }

    qn_attention_args args = {};

  private:
    Layout layout() const {
        return c.layout == AttentionLayout::kDense ? Layout::kDense : Layout::kPadded;
    }
    std::vector<int64_t> q_shape() const {
        return {c.shape.batch, c.shape.n_queries, c.shape.n_heads, c.shape.head_dim};
    }
    std::vector<float> first_sums() const {
        std::vector<float> all(QN_ATTN_N_SUMS * c.shape.n_heads, 0.0f);
        std::fill_n(all.begin() + QN_ATTN_MAX_LOGIT * c.shape.n_heads, c.shape.n_heads, -INFINITY);
        return all;
    }

    Device &d;
    const AttentionCase &c;
    AttentionHeads heads, grads;

  public:
    Stored o, dout;
    Floats lse;
    std::optional<Ints> doc_start;

  private:
    Floats sums;
    DeviceTensor<int64_t> counts;
    qn_attn_stats stats;
};

// ---- judging -------------------------------------------------------------------------

// max |x − reference| may be twice that of the plain computation and of storing its result,
// and one rounding of what was summed.
inline void expect_as_good_as_plain(qn_dtype storage, const char *name, const std::vector<float> &x,
                                    const std::vector<float> &plain,
                                    const std::vector<double> &exact,
                                    const std::vector<double> &terms) {
    double error = 0, plain_error = 0, largest = 0;
    ASSERT_EQ(x.size(), exact.size()) << name;
    for (size_t i = 0; i < exact.size(); i++) {
        if (std::isinf(exact[i]) || std::isnan(x[i])) {
            ASSERT_EQ((double)x[i], exact[i]) << name << ", element " << i;
            continue;
        }
        error = std::max(error, std::abs(x[i] - exact[i]));
        plain_error = std::max(plain_error, std::abs(plain[i] - exact[i]));
        largest = std::max(largest, terms[i]);
    }
    plain_error += storage_error(storage, exact).largest;
    double rounding = std::numeric_limits<float>::epsilon() * largest;
    EXPECT_LE(error, 2 * plain_error + rounding)
        << name << " (plain " << plain_error << ", rounding " << rounding << ")";
}

template <typename To> AttentionInputs<To> convert(const AttentionInputs<float> &in) {
    auto all = [](const std::vector<float> &x) { return std::vector<To>(x.begin(), x.end()); };
    return {all(in.q), all(in.k), all(in.v), all(in.dout)};
}

// Runs a case and compares it with the reference, whose backward pass reads the same stored o.
inline AttentionResult<float> check_attention(Device &d, const AttentionCase &c) {
    const AttentionInputs<float> in = stored(d, random_inputs(c));
    AttentionCall call(d, c, in);
    const AttentionResult<float> result = call.run();
    const AttentionInputs<double> exact_in = convert<double>(in);
    const std::vector<double> exact_o = convert<double>(result.o);
    const bool rounds = d.storage != QN_F32, bf16 = call.args.compute == QN_BF16;
    AttentionShape shape = c.shape;
    shape.scale = (float)shape.scale;
    auto exact = reference::Attention<double>(shape, exact_in, false, rounds ? &exact_o : nullptr)
                     .run(c.local_window);
    auto plain = reference::Attention<float>(shape, in, bf16, rounds ? &result.o : nullptr)
                     .run(c.local_window);
    auto expect = [&](const char *name, qn_dtype storage, auto which, auto which_exact,
                      auto terms) {
        expect_as_good_as_plain(storage, name, result.*which, plain.*which, exact.*which_exact,
                                exact.*terms);
    };
    using Got = AttentionResult<float>;
    using Exact = AttentionResult<double>;
    expect("o", d.storage, &Got::o, &Exact::o, &Exact::o_terms);
    expect("lse", QN_F32, &Got::lse, &Exact::lse, &Exact::lse_terms);
    expect("dq", d.storage, &Got::dq, &Exact::dq, &Exact::dq_terms);
    expect("dk", d.storage, &Got::dk, &Exact::dk, &Exact::dk_terms);
    expect("dv", d.storage, &Got::dv, &Exact::dv, &Exact::dv_terms);
    return result;
}

// The same on every backend, in every dtype that it stores.
inline void check_attention(const AttentionCase &c) {
    on_each_dtype([&](Device &d) { check_attention(d, c); });
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
