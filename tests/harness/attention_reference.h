// attention_reference.h: attention written as its formulas stand, forward, backward and
// statistics. In double it is the reference; in float it is the plain computation whose
// error is the measure for that of a kernel.
#ifndef QUERN_TESTS_ATTENTION_REFERENCE_H
#define QUERN_TESTS_ATTENTION_REFERENCE_H

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "quern/bf16.h"
#include "quern/ops.h"

namespace reference {

struct AttentionShape {
    int64_t batch = 1, n_queries = 0, n_keys = 0, n_heads = 1, n_kv_heads = 1, head_dim = 8;
    bool causal = false;
    int64_t window = 0;
    std::vector<int32_t> doc_start; // (B,Tk); empty: one document
    double scale = 1;

    int64_t q_size() const { return batch * n_queries * n_heads * head_dim; }
    int64_t k_size() const { return batch * n_keys * n_kv_heads * head_dim; }
    int64_t lse_size() const { return batch * n_heads * n_queries; }

    int64_t position(int64_t row) const { return row + n_keys - n_queries; }
    int64_t document(int64_t b, int64_t i) const {
        return doc_start.empty() ? 0 : doc_start[b * n_keys + i];
    }
    bool sees(int64_t b, int64_t i, int64_t j) const {
        if (causal && j > i) return false;
        if (window > 0 && (i - j >= window || j - i >= window)) return false;
        return document(b, i) == document(b, j);
    }
};

// Dense: q, dout (B,Tq,Hq,D); k, v (B,Tk,Hkv,D).
template <typename Real> struct AttentionInputs { std::vector<Real> q, k, v, dout; };

// Dense: o, dq (B,Tq,Hq,D); lse (B,Hq,Tq); dk, dv (B,Tk,Hkv,D). Statistics per query head
// as in qn_attn_stats.
template <typename Real> struct AttentionResult {
    std::vector<Real> o, lse, dq, dk, dv;
    // The same sums with every term positive: what rounding errors are relative to where
    // terms cancel.
    std::vector<Real> o_terms, lse_terms, dq_terms, dk_terms, dv_terms;
    std::vector<double> sums;
    std::vector<int64_t> counts;
};

template <typename Real> class Attention {
  public:
    // With bf16 every operand of a product is rounded. The backward pass reads stored_o, if
    // there is one, in place of the o that it finds.
    Attention(const AttentionShape &shape, const AttentionInputs<Real> &in, bool bf16 = false,
              const std::vector<Real> *stored_o = nullptr)
        : s(shape), in(in), bf16(bf16), stored_o(stored_o) {}

    AttentionResult<Real> run(int64_t local_window = 0) {
        r.o.assign(s.q_size(), 0);
        r.dq.assign(s.q_size(), 0);
        r.lse.assign(s.lse_size(), 0);
        r.dk.assign(s.k_size(), 0);
        r.dv.assign(s.k_size(), 0);
        r.o_terms = r.dq_terms = r.o;
        r.dk_terms = r.dv_terms = r.dk;
        r.lse_terms = r.lse;
        r.sums.assign(QN_ATTN_N_SUMS * s.n_heads, 0);
        r.counts.assign(QN_ATTN_N_COUNTS * s.n_heads, 0);
        for (int64_t h = 0; h < s.n_heads; h++)
            r.sums[QN_ATTN_MAX_LOGIT * s.n_heads + h] = -std::numeric_limits<double>::infinity();
        for (int64_t b = 0; b < s.batch; b++)
            for (int64_t h = 0; h < s.n_heads; h++)
                for (int64_t i = 0; i < s.n_queries; i++) row(b, h, i, local_window);
        return r;
    }

  private:
    const AttentionShape &s;
    const AttentionInputs<Real> &in;
    bool bf16;
    const std::vector<Real> *stored_o;
    AttentionResult<Real> r;

    Real round(Real x) const { return bf16 ? (Real)qn_round_bf16((float)x) : x; }
    int64_t q_at(int64_t b, int64_t i, int64_t h) const {
        return ((b * s.n_queries + i) * s.n_heads + h) * s.head_dim;
    }
    int64_t k_at(int64_t b, int64_t j, int64_t h) const {
        int64_t kv_head = h / (s.n_heads / s.n_kv_heads);
        return ((b * s.n_keys + j) * s.n_kv_heads + kv_head) * s.head_dim;
    }
    Real dot(const Real *x, const Real *y) const {
        Real sum = 0;
        for (int64_t d = 0; d < s.head_dim; d++) sum += round(x[d]) * round(y[d]);
        return sum;
    }
    Real dot_terms(const Real *x, const Real *y) const {
        Real sum = 0;
        for (int64_t d = 0; d < s.head_dim; d++) sum += std::abs(x[d] * y[d]);
        return sum;
    }

    void row(int64_t b, int64_t h, int64_t i, int64_t local_window) {
        const Real *q = &in.q[q_at(b, i, h)], *dout = &in.dout[q_at(b, i, h)];
        Real *o = &r.o[q_at(b, i, h)], *dq = &r.dq[q_at(b, i, h)];
        int64_t position = s.position(i);
        std::vector<int64_t> keys;
        for (int64_t j = 0; j < s.n_keys; j++)
            if (s.sees(b, position, j)) keys.push_back(j);

        std::vector<Real> p;
        Real max = -std::numeric_limits<Real>::infinity(), sum = 0;
        for (int64_t j : keys) p.push_back((Real)s.scale * dot(q, &in.k[k_at(b, j, h)]));
        for (Real x : p) max = std::max(max, x);
        std::vector<Real> scores = p;
        for (Real &x : p) sum += x = std::exp(x - max);
        for (Real &x : p) x /= sum;
        r.lse[(b * s.n_heads + h) * s.n_queries + i] =
            keys.empty() ? -std::numeric_limits<Real>::infinity() : max + std::log(sum);
        for (size_t n = 0; n < keys.size(); n++)
            for (int64_t d = 0; d < s.head_dim; d++)
                o[d] += round(p[n]) * round(in.v[k_at(b, keys[n], h) + d]);

        Real delta = 0, lse = r.lse[(b * s.n_heads + h) * s.n_queries + i];
        const Real *read_o = stored_o ? &(*stored_o)[q_at(b, i, h)] : o;
        for (int64_t d = 0; d < s.head_dim; d++) delta += read_o[d] * dout[d];
        for (size_t n = 0; n < keys.size(); n++) p[n] = std::exp(scores[n] - lse);
        for (size_t n = 0; n < keys.size(); n++) {
            int64_t at = k_at(b, keys[n], h);
            Real ds = p[n] * (dot(dout, &in.v[at]) - delta);
            for (int64_t d = 0; d < s.head_dim; d++) {
                dq[d] += (Real)s.scale * round(ds) * round(in.k[at + d]);
                r.dk[at + d] += (Real)s.scale * round(ds) * round(q[d]);
                r.dv[at + d] += round(p[n]) * round(dout[d]);
            }
        }
        add_terms(b, h, i, keys, p);
        if (!keys.empty()) count(b, h, position, keys, p, scores, local_window);
    }

    void add_terms(int64_t b, int64_t h, int64_t i, const std::vector<int64_t> &keys,
                   const std::vector<Real> &p) {
        if (!std::is_same<Real, double>::value) return;
        int64_t at_q = q_at(b, i, h);
        const Real *q = &in.q[at_q], *dout = &in.dout[at_q];
        Real delta = dot_terms(&r.o[at_q], dout), scale = std::abs((Real)s.scale);
        Real lse = std::abs(r.lse[(b * s.n_heads + h) * s.n_queries + i]);
        r.lse_terms[(b * s.n_heads + h) * s.n_queries + i] = lse;
        for (size_t n = 0; n < keys.size(); n++) {
            int64_t at = k_at(b, keys[n], h);
            Real p_terms = p[n] * (1 + lse); // exp(s − lse) magnifies the rounding of lse
            Real ds = p_terms * (dot_terms(dout, &in.v[at]) + delta);
            for (int64_t d = 0; d < s.head_dim; d++) {
                r.o_terms[at_q + d] += p[n] * std::abs(in.v[at + d]);
                r.dq_terms[at_q + d] += scale * ds * std::abs(in.k[at + d]);
                r.dk_terms[at + d] += scale * ds * std::abs(q[d]);
                r.dv_terms[at + d] += p_terms * std::abs(dout[d]);
            }
        }
    }

    void count(int64_t b, int64_t h, int64_t position, const std::vector<int64_t> &keys,
               const std::vector<Real> &p, const std::vector<Real> &scores, int64_t local_window) {
        auto add = [&](int which, double x) { r.sums[which * s.n_heads + h] += x; };
        double entropy = 0, p_max = 0, n = (double)keys.size();
        double &max_logit = r.sums[QN_ATTN_MAX_LOGIT * s.n_heads + h];
        for (size_t m = 0; m < keys.size(); m++) {
            double distance = (double)(position - keys[m]);
            bool sink = keys[m] == s.document(b, position), local = distance < local_window;
            if (p[m] > 0) entropy -= p[m] * std::log(p[m]);
            p_max = std::max(p_max, (double)p[m]);
            max_logit = std::max(max_logit, (double)scores[m]);
            add(QN_ATTN_DISTANCE, p[m] * distance);
            add(QN_ATTN_SINK, sink ? p[m] : 0);
            add(QN_ATTN_LOCAL, local ? p[m] : 0);
            add(QN_ATTN_BASE_DISTANCE, distance / n);
            add(QN_ATTN_BASE_SINK, sink / n);
            add(QN_ATTN_BASE_LOCAL, local / n);
        }
        add(QN_ATTN_P_MAX, p_max);
        add(QN_ATTN_BASE_P_MAX, 1 / n);
        if (n > 1) add(QN_ATTN_ENTROPY, entropy / std::log(n));
        r.counts[QN_ATTN_ROWS * s.n_heads + h]++;
        r.counts[QN_ATTN_ROWS_ENTROPY * s.n_heads + h] += n > 1;
    }
};

} // namespace reference

#endif
