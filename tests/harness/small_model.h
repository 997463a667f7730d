// small_model.h: small models of every kind on the CPU backend, or on one that stores bf16.
#ifndef QUERN_TESTS_SMALL_MODEL_H
#define QUERN_TESTS_SMALL_MODEL_H

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "harness/status.h"
#include "harness/storage_backend.h"
#include "harness/transformer_reference.h"
#include "quern/backend.h"
#include "quern/bf16.h"
#include "quern/model.h"

// Two layers with sizes that are no multiples of each other. Weights are large enough that
// attention is far from uniform.
inline qn_config small_config(const char *architecture) {
    qn_config c = {};
    const std::string name = architecture;
    c.arch = name == "GPT2LMHeadModel" ? QN_ARCH_GPT2 : QN_ARCH_LLAMA;
    strcpy(c.architecture, architecture);
    c.vocab_size = 61;
    c.n_layers = 2;
    c.hidden_size = 32;
    c.n_heads = c.n_kv_heads = 4;
    c.head_dim = 8;
    c.ffn_size = 44;
    c.max_seq_len = 40;
    c.rope_theta = c.arch == QN_ARCH_LLAMA ? 10000 : 0;
    c.norm_eps = 1e-5;
    c.init_std = 0.2;
    c.tie_embeddings = true;
    c.qkv_bias = name == "Qwen2ForCausalLM" || name == "GPT2LMHeadModel";
    c.qk_norm = name == "Qwen3ForCausalLM";
    c.bos_id = c.eos_id = -1;
    return c;
}

inline qn_config with_groups(qn_config c) {
    c.n_kv_heads = 2;
    return c;
}
// Heads that do not fill the residual stream, and padding between parameters.
inline qn_config with_odd_widths(qn_config c) {
    c.hidden_size = 36;
    c.head_dim = 16;
    c.ffn_size = 45;
    return c;
}
inline qn_config with_window(qn_config c) {
    c.sliding_window = 5;
    return c;
}
inline qn_config untied(qn_config c) {
    c.tie_embeddings = false;
    return c;
}

inline qn_plan_options small_options(int64_t batch_size, int64_t seq_len,
                                     qn_plan_mode mode = QN_PLAN_TRAIN) {
    qn_plan_options o = {};
    o.mode = mode;
    o.batch_size = batch_size;
    o.seq_len = seq_len;
    o.grad_accum = 1;
    o.attention = QN_ATTN_FUSED;
    o.compute = QN_F32;
    return o;
}

// The same with bf16 products, and with everything stored in bf16.
inline qn_plan_options bf16_products(qn_plan_options o) {
    o.compute = QN_BF16;
    return o;
}
inline qn_plan_options bf16_storage(qn_plan_options o) {
    o.compute = o.storage = QN_BF16;
    return o;
}

// Initial values of a parameter, moved off the zeros and ones of norms and biases, which
// would hide mistakes.
inline std::vector<float> varied_init(const qn_params *params, int item, uint64_t seed) {
    const qn_param &p = params->items[item];
    std::vector<float> values(p.count);
    qn_param_init(params, item, seed, values.data());
    if (p.init == QN_INIT_NORMAL) return values;
    for (int64_t i = 0; i < p.count; i++)
        values[i] = (float)(values[i] + 0.25 * std::sin(1.0 + (double)i + 31.0 * item));
    return values;
}

// Random tokens; one target in `ignored_every` is ignored (0: none).
inline reference::Batch random_batch(const qn_config &c, int64_t n_sequences, int64_t seq_len,
                                     uint32_t seed, int ignored_every = 0) {
    std::mt19937 random(seed);
    reference::Batch batch = {n_sequences, seq_len, {}, {}, {}};
    for (int64_t n = 0; n < n_sequences * seq_len; n++) {
        batch.tokens.push_back((int32_t)(random() % c.vocab_size));
        bool ignored = ignored_every && random() % ignored_every == 0;
        batch.targets.push_back(ignored ? -1 : (int32_t)(random() % c.vocab_size));
    }
    return batch;
}

// Cuts each sequence into documents of one to six tokens.
inline reference::Batch with_documents(reference::Batch batch, uint32_t seed) {
    std::mt19937 random(seed);
    for (int64_t b = 0; b < batch.n_sequences; b++) {
        int32_t start = 0, stop = 0;
        for (int32_t t = 0; t < batch.seq_len; t++) {
            if (t == stop) start = t, stop = t + 1 + (int32_t)(random() % 6);
            batch.doc_start.push_back(start);
        }
    }
    return batch;
}

inline qn_batch view(const reference::Batch &batch) {
    return {batch.tokens.data(), batch.targets.data(),
            batch.doc_start.empty() ? nullptr : batch.doc_start.data()};
}

// A model with varied parameters, and its backend.
class SmallModel {
  public:
    SmallModel(const qn_config &config, const qn_plan_options &options, uint64_t seed = 7)
        : config(config) {
        EXPECT_OK(options.storage == QN_BF16 ? harness::open_storage_backend(&backend)
                                             : qn_cpu_open(2, &backend));
        EXPECT_OK(qn_model_create(backend, &this->config, &options, &model));
        if (!model) return;
        for (int i = 0; i < params()->count; i++)
            set_param(params()->items[i], varied_init(params(), i, seed));
    }
    ~SmallModel() {
        qn_model_destroy(model);
        if (backend) backend->ops->close(backend);
    }
    SmallModel(const SmallModel &) = delete;
    SmallModel &operator=(const SmallModel &) = delete;

    const qn_params *params() const { return qn_model_params(model); }

    // The copy of the parameters that is the most precise.
    qn_buffer_id params_id() const {
        return qn_model_buffer(model, QN_BUF_PARAMS) ? QN_BUF_PARAMS : QN_BUF_WEIGHTS;
    }

    void set_param(const qn_param &p, const std::vector<float> &values) {
        write(params_id(), p.offset, values);
        EXPECT_OK(qn_model_refresh_weights(model));
    }

    // Elements of a buffer from `offset` on, rounded to its dtype.
    void write(qn_buffer_id id, int64_t offset, const std::vector<float> &values) {
        const size_t size = qn_dtype_size(dtype(id));
        std::vector<uint16_t> words;
        for (float x : values) words.push_back(qn_bf16_of_float(x));
        const void *from = size == 2 ? (const void *)words.data() : values.data();
        EXPECT_OK(backend->ops->copy(qn_model_stream(model),
                                     (char *)qn_model_buffer(model, id) + offset * size, from,
                                     values.size() * size, QN_COPY_TO_DEVICE));
        EXPECT_OK(backend->ops->stream_sync(qn_model_stream(model)));
    }

    // The first `count` elements of a buffer of floats, or all of its first copy.
    std::vector<float> buffer(qn_buffer_id id, int64_t count = -1) const {
        std::vector<float> out(count < 0 ? qn_model_plan(model)->buffers[id].count : count);
        std::vector<uint16_t> words(out.size());
        const bool narrow = dtype(id) == QN_BF16;
        EXPECT_OK(backend->ops->copy(
            qn_model_stream(model), narrow ? (void *)words.data() : out.data(),
            qn_model_buffer(model, id), out.size() * qn_dtype_size(dtype(id)), QN_COPY_TO_HOST));
        EXPECT_OK(backend->ops->stream_sync(qn_model_stream(model)));
        for (size_t i = 0; narrow && i < out.size(); i++) out[i] = qn_float_of_bf16(words[i]);
        return out;
    }

    // The parameters in float64 under their names, as operations read them.
    reference::Weights weights() const {
        const bool copy = qn_model_buffer(model, QN_BUF_WEIGHTS) != nullptr;
        const std::vector<float> all = buffer(copy ? QN_BUF_WEIGHTS : QN_BUF_PARAMS);
        reference::Weights out;
        for (int i = 0; i < params()->count; i++) {
            const qn_param &p = params()->items[i];
            out[p.name].assign(all.begin() + p.offset, all.begin() + p.offset + p.count);
        }
        return out;
    }

    // One step over the batch, with the gradient of the mean loss; returns the loss's sum.
    double step(const reference::Batch &batch) {
        int64_t n_targets = 0;
        for (int32_t target : batch.targets) n_targets += target >= 0;
        const qn_batch b = view(batch);
        double sum = NAN;
        EXPECT_OK(qn_model_zero_grads(model));
        EXPECT_OK(qn_model_forward(model, &b, 0, (float)(1.0 / (double)n_targets)));
        EXPECT_OK(qn_model_backward(model, nullptr, nullptr));
        EXPECT_OK(qn_model_loss_sum(model, 1, &sum));
        return sum;
    }

    qn_config config;
    qn_backend *backend = nullptr;
    qn_model *model = nullptr;

  private:
    qn_dtype dtype(qn_buffer_id id) const { return qn_model_plan(model)->buffers[id].dtype; }
};

#endif
