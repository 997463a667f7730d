#include "attention_device.h"

#include "simt/config.h"

namespace attention {

const qn_cuda_queue *queue() {
    static qn_cuda_queue queue;
    queue = {nullptr, 2, 256 << 10, simt::config().shared_limit};
    EXPECT_EQ(qn_attn_fused_sm80_forward_open(), 0);
    EXPECT_EQ(qn_attn_fused_sm80_backward_open(&queue), 0);
    return &queue;
}

AttentionInputs<float> random_inputs(const Case &c) {
    harness::AttentionCase drawn;
    drawn.shape = c.shape;
    drawn.seed = c.seed;
    drawn.spread = c.spread;
    AttentionInputs<float> in = harness::random_inputs(drawn);
    for (auto *x : {&in.q, &in.k, &in.v, &in.dout})
        for (float &e : *x) e = qn_round_bf16(e);
    return in;
}

// ---- a call -----------------------------------------------------------------------

Call::Call(const Case &c, const AttentionInputs<float> &in)
    : c(c), s(c.shape), width(c.slices ? s.n_heads + 2 * s.n_kv_heads : s.n_heads),
      q(s.batch, s.n_queries, width, s.head_dim, c.pad),
      k(s.batch, s.n_keys, s.n_kv_heads, s.head_dim, c.pad),
      v(s.batch, s.n_keys, s.n_kv_heads, s.head_dim, c.pad),
      o(s.batch, s.n_queries, s.n_heads, s.head_dim, c.pad),
      lse((size_t)((s.lse_size() + 1) * lse_row()), NAN), doc_start(s.doc_start),
      sums((size_t)(QN_ATTN_N_SUMS * s.n_heads), 0.0f),
      counts((size_t)(QN_ATTN_N_COUNTS * s.n_heads), 0),
      parts((size_t)(s.batch * s.n_heads * qn_attn_forward_tiles(s.head_dim, s.n_queries))) {
    q.fill(in.q, 0, s.n_heads);
    if (c.slices) {
        q.fill(in.k, s.n_heads, s.n_kv_heads);
        q.fill(in.v, s.n_heads + s.n_kv_heads, s.n_kv_heads);
    }
    k.fill(in.k);
    v.fill(in.v);
    params.q = q.view();
    params.k = c.slices ? q.view(s.n_heads) : k.view();
    params.v = c.slices ? q.view(s.n_heads + s.n_kv_heads) : v.view();
    params.o = o.view();
    set_lse();
    set_options();
    if (c.stats) set_stats();
}

void Call::set_lse() {
    params.lse = lse.data();
    params.lse_row = lse_row();
    params.lse_head = s.n_queries * params.lse_row;
    params.lse_batch = s.n_heads * params.lse_head;
}

void Call::set_options() {
    params.doc_start = s.doc_start.empty() ? nullptr : doc_start.data();
    params.doc_batch = s.n_keys;
    params.batch = (int32_t)s.batch;
    params.n_heads = (int32_t)s.n_heads;
    params.n_kv_heads = (int32_t)s.n_kv_heads;
    params.n_queries = (int32_t)s.n_queries;
    params.n_keys = (int32_t)s.n_keys;
    params.head_dim = (int32_t)s.head_dim;
    params.scale = (float)s.scale;
    params.causal = s.causal;
    params.window = s.window <= s.n_keys ? (int32_t)s.window : 0;
}

void Call::set_stats() {
    for (int64_t h = 0; h < s.n_heads; h++)
        sums.data()[QN_ATTN_MAX_LOGIT * s.n_heads + h] = -INFINITY;
    params.stats_sums = sums.data();
    params.stats_counts = counts.data();
    params.stats_local_window = c.local_window;
    params.stats_parts = parts.data();
}

AttentionResult<float> Call::result() const {
    AttentionResult<float> r;
    r.o = o.read();
    for (int64_t i = 0; i < s.lse_size(); i++) r.lse.push_back(lse.data()[i * lse_row()]);
    for (float x : sums.host()) r.sums.push_back(x);
    r.counts = counts.host();
    return r;
}

void Call::expect_gaps_intact() const {
    o.expect_gaps_intact("o");
    for (size_t i = 0; i < lse.size(); i++) {
        bool owned = i % (size_t)lse_row() == 0 && i / (size_t)lse_row() < (size_t)s.lse_size();
        ASSERT_TRUE(owned || std::isnan(lse.data()[i]))
            << "lse: element " << i << " was overwritten";
    }
}

// ---- what it must be ----------------------------------------------------------------

Expected expected(const Case &c, const AttentionInputs<float> &in) {
    AttentionShape shape = c.shape;
    shape.scale = (float)shape.scale;
    AttentionInputs<double> wide = harness::convert<double>(in);
    Expected e = {reference::Attention<double>(shape, wide).run(c.local_window),
                  reference::Attention<float>(shape, in, true).run(c.local_window)};
    for (auto *x : {&e.plain.o, &e.plain.dq, &e.plain.dk, &e.plain.dv})
        for (float &value : *x) value = qn_round_bf16(value);
    return e;
}

} // namespace attention
