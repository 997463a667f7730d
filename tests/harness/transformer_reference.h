// transformer_reference.h: a transformer in float64, written position by position from the
// papers, with weights under the names and in the layout of a Hugging Face checkpoint:
// Llama (2302.13971) with grouped queries (2305.13245), rotary positions (2104.09864),
// sliding windows (2310.06825), biases of q, k, v (Qwen2) and norms of q, k (Qwen3); GPT-2
// (Radford et al. 2019).
#ifndef QUERN_TESTS_TRANSFORMER_REFERENCE_H
#define QUERN_TESTS_TRANSFORMER_REFERENCE_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "quern/bf16.h"
#include "quern/config.h"

namespace reference {

using Vector = std::vector<double>;
using Rows = std::vector<Vector>; // one vector a position
using Weights = std::map<std::string, Vector>;

struct Batch {
    int64_t n_sequences, seq_len;
    std::vector<int32_t> tokens, targets, doc_start; // (B,T); doc_start may be empty
};

struct Losses {
    Vector losses; // (B,T), 0 where the target is ignored
    Rows logits;   // (B·T, V)
    double sum = 0;
    int64_t n_targets = 0;
};

// What a pass leaves inside, with `trace` of run.
struct Trace {
    std::vector<Rows> residual;         // [depth], (B·T, C), n_layers + 1 depths
    std::vector<std::vector<Rows>> qkv; // [layer][q, k, v], (B·T, H·D), as attention reads them
    std::vector<Rows> logits;           // [depth], (B·T, V), of the final norm at each depth
};

// ---- the pieces -----------------------------------------------------------------------

// torch.nn.Linear: weight (outputs, inputs).
inline Vector linear(const Vector &x, const Vector &weight) {
    Vector y(weight.size() / x.size(), 0);
    for (size_t o = 0; o < y.size(); o++)
        for (size_t i = 0; i < x.size(); i++) y[o] += weight[o * x.size() + i] * x[i];
    return y;
}

// GPT-2's Conv1D: weight (inputs, outputs).
inline Vector conv1d(const Vector &x, const Vector &weight, const Vector &bias) {
    Vector y = bias;
    for (size_t i = 0; i < x.size(); i++)
        for (size_t o = 0; o < y.size(); o++) y[o] += x[i] * weight[i * y.size() + o];
    return y;
}

inline void add(Vector &x, const Vector &y) {
    for (size_t i = 0; i < x.size(); i++) x[i] += y[i];
}

inline Vector rms_norm(const Vector &x, const Vector &weight, double eps) {
    double mean_square = 0;
    for (double v : x) mean_square += v * v / (double)x.size();
    Vector y(x.size());
    for (size_t i = 0; i < x.size(); i++) y[i] = weight[i] * x[i] / std::sqrt(mean_square + eps);
    return y;
}

inline Vector layer_norm(const Vector &x, const Vector &weight, const Vector &bias, double eps) {
    double mean = 0, variance = 0;
    for (double v : x) mean += v / (double)x.size();
    for (double v : x) variance += (v - mean) * (v - mean) / (double)x.size();
    Vector y(x.size());
    for (size_t i = 0; i < x.size(); i++)
        y[i] = weight[i] * (x[i] - mean) / std::sqrt(variance + eps) + bias[i];
    return y;
}

inline double silu(double x) { return x / (1 + std::exp(-x)); }

inline double gelu_tanh(double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

// One head turned by its position; element i is paired with i + D/2.
inline Vector rotate(const Vector &x, int64_t position, double theta) {
    const size_t half = x.size() / 2;
    Vector y(x.size());
    for (size_t i = 0; i < half; i++) {
        double angle = (double)position * std::pow(theta, -2.0 * (double)i / (double)x.size());
        y[i] = x[i] * std::cos(angle) - x[i + half] * std::sin(angle);
        y[i + half] = x[i + half] * std::cos(angle) + x[i] * std::sin(angle);
    }
    return y;
}

inline Vector slice(const Vector &x, int64_t first, int64_t count) {
    return Vector(x.begin() + first, x.begin() + first + count);
}

// ---- the whole ---------------------------------------------------------------------------

class Transformer {
  public:
    // With bf16_storage everything that the model keeps in memory between two operations is
    // rounded, as the plain computation in that precision does.
    Transformer(const qn_config &config, const Weights &weights, bool bf16_storage = false)
        : c(config), w(weights), bf16_storage(bf16_storage) {}

    Losses run(const Batch &batch, Trace *trace = nullptr) const {
        Losses out;
        if (trace) {
            trace->residual.resize(c.n_layers + 1);
            trace->logits.resize(c.n_layers + 1);
            trace->qkv.assign(c.n_layers, std::vector<Rows>(3));
        }
        for (int64_t b = 0; b < batch.n_sequences; b++) {
            const int64_t first = b * batch.seq_len;
            std::vector<int32_t> documents(batch.seq_len, 0);
            if (!batch.doc_start.empty())
                documents.assign(batch.doc_start.begin() + first,
                                 batch.doc_start.begin() + first + batch.seq_len);
            std::vector<int32_t> tokens(batch.tokens.begin() + first,
                                        batch.tokens.begin() + first + batch.seq_len);
            for (Vector &logits : sequence(tokens, documents, trace)) {
                score(logits, batch.targets[out.logits.size()], &out);
                out.logits.push_back(std::move(logits));
            }
        }
        return out;
    }

  private:
    const qn_config &c;
    const Weights &w;
    bool bf16_storage;

    Vector stored(Vector x) const {
        if (bf16_storage)
            for (double &v : x) v = qn_round_bf16((float)v);
        return x;
    }

    bool gpt2() const { return c.arch == QN_ARCH_GPT2; }

    static void score(const Vector &logits, int32_t target, Losses *out) {
        double loss = 0;
        if (target >= 0) {
            double most = *std::max_element(logits.begin(), logits.end()), total = 0;
            for (double x : logits) total += std::exp(x - most);
            loss = std::log(total) + most - logits[target];
            out->n_targets++;
        }
        out->losses.push_back(loss);
        out->sum += loss;
    }

    void keep_residual(Trace *trace, int64_t depth, const Rows &x) const {
        if (!trace) return;
        for (const Vector &row : x) {
            trace->residual[depth].push_back(row);
            trace->logits[depth].push_back(logits_of(row));
        }
    }

    static void keep_heads(Trace *trace, int64_t layer, int which, const Rows &heads) {
        if (!trace) return;
        Vector joined;
        for (const Vector &head : heads) joined.insert(joined.end(), head.begin(), head.end());
        trace->qkv[layer][which].push_back(joined);
    }

    Vector logits_of(const Vector &x) const {
        const Vector h =
            gpt2() ? norm(x, "transformer.", "ln_f", "") : norm(x, "model.", "", "norm");
        return linear(h, w.at(head()));
    }

    Rows sequence(const std::vector<int32_t> &tokens, const std::vector<int32_t> &documents,
                  Trace *trace) const {
        const std::string prefix = gpt2() ? "transformer.h." : "model.layers.";
        Rows x;
        for (size_t t = 0; t < tokens.size(); t++) x.push_back(embed(tokens[t], (int64_t)t));
        for (int64_t l = 0; l < c.n_layers; l++) {
            const std::string block = prefix + std::to_string(l) + ".";
            keep_residual(trace, l, x);
            Rows normed;
            for (const Vector &row : x)
                normed.push_back(norm(row, block, "ln_1", "input_layernorm"));
            Rows attended = attention(normed, documents, block, l, trace);
            for (size_t t = 0; t < x.size(); t++) {
                add(x[t], attended[t]);
                x[t] = stored(x[t]);
                add(x[t], mlp(norm(x[t], block, "ln_2", "post_attention_layernorm"), block));
                x[t] = stored(x[t]);
            }
        }
        keep_residual(trace, c.n_layers, x);
        Rows logits;
        for (const Vector &row : x) logits.push_back(logits_of(row));
        return logits;
    }

    std::string table() const {
        return gpt2() ? "transformer.wte.weight" : "model.embed_tokens.weight";
    }
    std::string head() const { return c.tie_embeddings ? table() : "lm_head.weight"; }

    Vector embed(int32_t token, int64_t position) const {
        Vector x = slice(w.at(table()), token * c.hidden_size, c.hidden_size);
        if (gpt2())
            add(x, slice(w.at("transformer.wpe.weight"), position * c.hidden_size, c.hidden_size));
        return stored(x);
    }

    Vector norm(const Vector &x, const std::string &block, const std::string &gpt2_name,
                const std::string &llama_name) const {
        if (!gpt2()) return stored(rms_norm(x, w.at(block + llama_name + ".weight"), c.norm_eps));
        const std::string name = block + gpt2_name;
        return stored(layer_norm(x, w.at(name + ".weight"), w.at(name + ".bias"), c.norm_eps));
    }

    Vector mlp(const Vector &x, const std::string &block) const {
        if (gpt2()) {
            const std::string fc = block + "mlp.c_fc.", proj = block + "mlp.c_proj.";
            Vector hidden = stored(conv1d(x, w.at(fc + "weight"), w.at(fc + "bias")));
            for (double &v : hidden) v = gelu_tanh(v);
            return stored(conv1d(stored(hidden), w.at(proj + "weight"), w.at(proj + "bias")));
        }
        Vector gate = stored(linear(x, w.at(block + "mlp.gate_proj.weight")));
        const Vector up = stored(linear(x, w.at(block + "mlp.up_proj.weight")));
        for (size_t i = 0; i < gate.size(); i++) gate[i] = silu(gate[i]) * up[i];
        return stored(linear(stored(gate), w.at(block + "mlp.down_proj.weight")));
    }

    // One of q, k, v at a position; `which` counts them from 0.
    Vector project(const Vector &x, const std::string &block, int which) const {
        if (gpt2()) {
            const std::string name = block + "attn.c_attn.";
            return slice(conv1d(x, w.at(name + "weight"), w.at(name + "bias")),
                         which * c.hidden_size, c.hidden_size);
        }
        const std::string name = block + "self_attn." + "qkv"[which] + "_proj.";
        Vector y = linear(x, w.at(name + "weight"));
        if (c.qkv_bias) add(y, w.at(name + "bias"));
        return y;
    }

    // The heads of q (0), k (1) or v (2) at a position, normed and turned as the model has it.
    Rows heads(const Vector &x, int64_t position, const std::string &block, int which) const {
        const Vector all = stored(project(x, block, which));
        Rows out;
        for (int64_t first = 0; first < (int64_t)all.size(); first += c.head_dim) {
            Vector head = slice(all, first, c.head_dim);
            if (which < 2 && c.qk_norm)
                head = stored(rms_norm(
                    head, w.at(block + "self_attn." + "qk"[which] + "_norm.weight"), c.norm_eps));
            if (which < 2 && !gpt2()) head = stored(rotate(head, position, c.rope_theta));
            out.push_back(head);
        }
        return out;
    }

    Rows attention(const Rows &x, const std::vector<int32_t> &documents, const std::string &block,
                   int64_t layer, Trace *trace) const {
        std::vector<Rows> q, k, v; // [position][head]
        for (size_t t = 0; t < x.size(); t++) {
            q.push_back(heads(x[t], (int64_t)t, block, 0));
            k.push_back(heads(x[t], (int64_t)t, block, 1));
            v.push_back(heads(x[t], (int64_t)t, block, 2));
            keep_heads(trace, layer, 0, q[t]);
            keep_heads(trace, layer, 1, k[t]);
            keep_heads(trace, layer, 2, v[t]);
        }
        Rows out;
        for (size_t i = 0; i < x.size(); i++) {
            Vector joined;
            for (int64_t h = 0; h < c.n_heads; h++) {
                const int64_t kv = h / (c.n_heads / c.n_kv_heads);
                const Vector mixed = stored(attend(q[i][h], k, v, i, kv, documents));
                joined.insert(joined.end(), mixed.begin(), mixed.end());
            }
            out.push_back(stored(gpt2() ? conv1d(joined, w.at(block + "attn.c_proj.weight"),
                                                 w.at(block + "attn.c_proj.bias"))
                                        : linear(joined, w.at(block + "self_attn.o_proj.weight"))));
        }
        return out;
    }

    bool sees(size_t i, size_t j, const std::vector<int32_t> &documents) const {
        return documents[i] == documents[j] &&
               (!c.sliding_window || (int64_t)(i - j) < c.sliding_window);
    }

    Vector attend(const Vector &q, const std::vector<Rows> &k, const std::vector<Rows> &v, size_t i,
                  int64_t head, const std::vector<int32_t> &documents) const {
        Vector mixed(q.size(), 0);
        double total = 0;
        for (size_t j = 0; j <= i; j++) {
            if (!sees(i, j, documents)) continue;
            double score = 0;
            for (size_t d = 0; d < q.size(); d++) score += q[d] * k[j][head][d];
            double weight = std::exp(score / std::sqrt((double)q.size()));
            total += weight;
            for (size_t d = 0; d < q.size(); d++) mixed[d] += weight * v[j][head][d];
        }
        for (double &m : mixed) m /= total;
        return mixed;
    }
};

} // namespace reference

#endif
