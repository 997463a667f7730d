// attention_cases.h: what the forward and the backward pass of fused attention are both tried on.
// Tiles have 128 or 64 rows and 128 or 64 keys, by head dimension, pass and device: lengths lie
// beside these, and most cases have two tiles and a rest either way.
#ifndef QUERN_TESTS_SIMT_KERNELS_ATTENTION_CASES_H
#define QUERN_TESTS_SIMT_KERNELS_ATTENTION_CASES_H

#include <string>

#include "attention_device.h"

namespace attention {

using Lengths = std::vector<int64_t>;

struct NamedCase {
    std::string name;
    Case c;
};
using Cases = std::vector<NamedCase>;

inline Case make_case(int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n_heads,
                      int64_t n_kv_heads, int64_t head_dim) {
    Case c;
    c.shape = make_shape(batch, n_queries, n_keys, n_heads, n_kv_heads, head_dim);
    return c;
}

template <typename Check> void for_each_case(const Cases &cases, Check check) {
    for (const NamedCase &each : cases) {
        SCOPED_TRACE(each.name);
        check(each.c);
    }
}

// Appends the case without and with a causal mask.
inline void add_full_and_causal(Cases &cases, const std::string &name, Case c) {
    for (bool causal : {false, true}) {
        c.shape.causal = causal;
        cases.push_back({name + (causal ? ", causal" : ", full"), c});
    }
}

// ---- shapes ---------------------------------------------------------------------------------

inline Cases cases_of_lengths(const Lengths &lengths) {
    Cases cases;
    for (int64_t head_dim : {64, 128})
        for (int64_t t : lengths) {
            Case c = make_case(1, t, t, 1, 1, head_dim);
            c.seed = (uint32_t)(t + head_dim);
            add_full_and_causal(cases, "D " + std::to_string(head_dim) + ", T " + std::to_string(t),
                                c);
        }
    return cases;
}

inline Cases cases_of_head_dims(const Lengths &head_dims) {
    Cases cases;
    for (int64_t head_dim : head_dims) {
        Case c = make_case(1, 70, 70, 2, 1, head_dim);
        c.shape.causal = true;
        cases.push_back({"D " + std::to_string(head_dim), c});
    }
    return cases;
}

// Three query heads to a key head.
inline Cases cases_of_groups() {
    Cases cases;
    for (int64_t head_dim : {64, 128})
        for (int64_t n_kv_heads : {1, 2}) {
            Case c = make_case(3 - n_kv_heads, 67, 140, 3 * n_kv_heads, n_kv_heads, head_dim);
            c.shape.causal = true;
            cases.push_back(
                {"D " + std::to_string(head_dim) + ", key heads " + std::to_string(n_kv_heads), c});
        }
    return cases;
}

inline Cases cases_of_strides() {
    const struct {
        int64_t head_dim, pad;
        bool slices;
    } layouts[] = {{128, 0, true}, {128, 8, true}, {128, 8, false}, {80, 8, false}};
    Cases cases;
    for (const auto &layout : layouts) {
        Case c = make_case(2, 70, 70, 2, 1, layout.head_dim);
        c.pad = layout.pad;
        c.slices = layout.slices;
        cases.push_back({"D " + std::to_string(layout.head_dim) + ", padding " +
                             std::to_string(layout.pad) + (layout.slices ? ", slices" : ""),
                         c});
    }
    return cases;
}

inline Cases cases_of_scales() {
    Cases cases;
    for (double scale : {-0.125, 0.0, 0.125, 1.0}) {
        Case c = make_case(1, 140, 140, 1, 1, 64);
        c.shape.causal = true;
        c.shape.scale = scale;
        cases.push_back({"scale " + std::to_string(scale), c});
    }
    return cases;
}

inline Case case_of_large_logits() {
    Case c = make_case(1, 140, 140, 1, 1, 64);
    c.spread = 8;
    return c;
}

// ---- masks ----------------------------------------------------------------------------------

inline Cases cases_of_fewer_queries() {
    Cases cases;
    for (int64_t n_queries : {1, 66, 130})
        for (int64_t window : {0, 60}) {
            Case c = make_case(1, n_queries, 270, 1, 1, 64);
            c.shape.window = window;
            add_full_and_causal(
                cases, std::to_string(n_queries) + " queries, window " + std::to_string(window), c);
        }
    return cases;
}

inline Cases cases_of_windows(const Lengths &windows) {
    Cases cases;
    for (int64_t head_dim : {64, 128})
        for (int64_t window : windows) {
            Case c = make_case(1, 150, 150, 1, 1, head_dim);
            c.shape.window = window;
            add_full_and_causal(
                cases, "D " + std::to_string(head_dim) + ", window " + std::to_string(window), c);
        }
    return cases;
}

inline Cases cases_of_documents() {
    Cases cases;
    for (int64_t window : {0, 20}) {
        Case c = make_case(2, 261, 261, 1, 1, 64);
        c.shape.doc_start = documents(2, {3, 0, 0, 61, 64, 0, 1, 129, 2, 1});
        c.shape.window = window;
        add_full_and_causal(cases, "documents, window " + std::to_string(window), c);
    }
    Case c = make_case(1, 100, 230, 3, 1, 128);
    c.shape.doc_start = documents(1, {100, 60, 0, 50, 20});
    add_full_and_causal(cases, "documents, fewer queries", c);
    return cases;
}

} // namespace attention

#endif
