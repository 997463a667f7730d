// test_params.cc: the parameter registry: names, shapes, places, initial values.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "harness/small_model.h"
#include "quern/params.h"

namespace {

class Params {
  public:
    explicit Params(const qn_config &config) { EXPECT_OK(qn_params_make(&config, &params)); }
    ~Params() { qn_params_free(&params); }
    const qn_param *find(const std::string &name) const {
        for (int i = 0; i < params.count; i++)
            if (name == params.items[i].name) return &params.items[i];
        return nullptr;
    }
    std::vector<float> init(int item, uint64_t seed) const {
        std::vector<float> out(params.items[item].count);
        qn_param_init(&params, item, seed, out.data());
        return out;
    }
    qn_params params = {};
};

qn_config preset(const char *name) {
    qn_config config = {};
    EXPECT_OK(qn_config_preset(name, 0, &config));
    return config;
}

std::vector<qn_config> configs() {
    return {small_config("LlamaForCausalLM"),
            untied(small_config("LlamaForCausalLM")),
            with_window(with_groups(small_config("MistralForCausalLM"))),
            with_groups(small_config("Qwen2ForCausalLM")),
            with_odd_widths(with_groups(small_config("Qwen3ForCausalLM"))),
            small_config("GPT2LMHeadModel"),
            untied(small_config("GPT2LMHeadModel"))};
}

using Shapes = std::map<std::string, std::vector<int64_t>>;

void expect_shapes(const Params &p, const Shapes &expected) {
    Shapes found;
    for (int i = 0; i < p.params.count; i++) {
        const qn_param &item = p.params.items[i];
        found[item.name].assign(item.shape, item.shape + item.rank);
        EXPECT_EQ(item.count, item.shape[0] * item.shape[1]) << item.name;
    }
    EXPECT_EQ(found, expected);
    EXPECT_EQ((size_t)p.params.count, found.size());
}

// ---- names and shapes, as `transformers` writes them ------------------------------------

TEST(Params, NamesAndShapesOfQwen2) {
    qn_config c = untied(with_groups(small_config("Qwen2ForCausalLM")));
    c.n_layers = 1;
    expect_shapes(Params(c), {{"model.embed_tokens.weight", {61, 32}},
                              {"model.layers.0.input_layernorm.weight", {32}},
                              {"model.layers.0.self_attn.q_proj.weight", {32, 32}},
                              {"model.layers.0.self_attn.k_proj.weight", {16, 32}},
                              {"model.layers.0.self_attn.v_proj.weight", {16, 32}},
                              {"model.layers.0.self_attn.q_proj.bias", {32}},
                              {"model.layers.0.self_attn.k_proj.bias", {16}},
                              {"model.layers.0.self_attn.v_proj.bias", {16}},
                              {"model.layers.0.self_attn.o_proj.weight", {32, 32}},
                              {"model.layers.0.post_attention_layernorm.weight", {32}},
                              {"model.layers.0.mlp.gate_proj.weight", {44, 32}},
                              {"model.layers.0.mlp.up_proj.weight", {44, 32}},
                              {"model.layers.0.mlp.down_proj.weight", {32, 44}},
                              {"model.norm.weight", {32}},
                              {"lm_head.weight", {61, 32}}});
}

TEST(Params, NamesAndShapesOfQwen3) {
    qn_config c = with_odd_widths(with_groups(small_config("Qwen3ForCausalLM")));
    c.n_layers = 1;
    expect_shapes(Params(c), {{"model.embed_tokens.weight", {61, 36}},
                              {"model.layers.0.input_layernorm.weight", {36}},
                              {"model.layers.0.self_attn.q_proj.weight", {64, 36}},
                              {"model.layers.0.self_attn.k_proj.weight", {32, 36}},
                              {"model.layers.0.self_attn.v_proj.weight", {32, 36}},
                              {"model.layers.0.self_attn.q_norm.weight", {16}},
                              {"model.layers.0.self_attn.k_norm.weight", {16}},
                              {"model.layers.0.self_attn.o_proj.weight", {36, 64}},
                              {"model.layers.0.post_attention_layernorm.weight", {36}},
                              {"model.layers.0.mlp.gate_proj.weight", {45, 36}},
                              {"model.layers.0.mlp.up_proj.weight", {45, 36}},
                              {"model.layers.0.mlp.down_proj.weight", {36, 45}},
                              {"model.norm.weight", {36}}});
}

TEST(Params, NamesAndShapesOfGpt2) {
    qn_config c = small_config("GPT2LMHeadModel");
    c.n_layers = 1;
    expect_shapes(Params(c), {{"transformer.wte.weight", {61, 32}},
                              {"transformer.wpe.weight", {40, 32}},
                              {"transformer.h.0.ln_1.weight", {32}},
                              {"transformer.h.0.ln_1.bias", {32}},
                              {"transformer.h.0.attn.c_attn.weight", {32, 96}},
                              {"transformer.h.0.attn.c_attn.bias", {96}},
                              {"transformer.h.0.attn.c_proj.weight", {32, 32}},
                              {"transformer.h.0.attn.c_proj.bias", {32}},
                              {"transformer.h.0.ln_2.weight", {32}},
                              {"transformer.h.0.ln_2.bias", {32}},
                              {"transformer.h.0.mlp.c_fc.weight", {32, 44}},
                              {"transformer.h.0.mlp.c_fc.bias", {44}},
                              {"transformer.h.0.mlp.c_proj.weight", {44, 32}},
                              {"transformer.h.0.mlp.c_proj.bias", {32}},
                              {"transformer.ln_f.weight", {32}},
                              {"transformer.ln_f.bias", {32}}});
}

TEST(Params, CountsOfPublishedModels) {
    const std::map<const char *, int64_t> counts = {{"gpt2-124m", 124439808},
                                                    {"qwen2.5-0.5b", 494032768},
                                                    {"qwen2.5-1.5b", 1543714304},
                                                    {"qwen2.5-7b", 7615616512},
                                                    {"llama2-7b", 6738415616}};
    for (const auto &[name, count] : counts)
        EXPECT_EQ(Params(preset(name)).params.n_params, count) << name;
}

// ---- places --------------------------------------------------------------------------------

// Of the flat arrays; tables of words have rows behind them.
int64_t room_of(const qn_param &item) {
    const bool table = item.role == QN_WTE || item.role == QN_LM_HEAD_W;
    return (table ? qn_table_rows(item.shape[0]) : item.shape[0]) * item.shape[1];
}

TEST(Params, TablesHaveRowsInWholeVectors) {
    const std::map<int64_t, int64_t> rows = {
        {1, 64}, {61, 64}, {64, 64}, {65, 128}, {32000, 32000}, {50257, 50304}, {151936, 151936}};
    for (const auto &[words, expected] : rows) EXPECT_EQ(qn_table_rows(words), expected);
}

TEST(Params, LieInOrderWithoutOverlap) {
    for (const qn_config &config : configs()) {
        Params p(config);
        int64_t end = 0, n_params = 0;
        for (int i = 0; i < p.params.count; i++) {
            const qn_param &item = p.params.items[i];
            EXPECT_GE(item.offset, end) << item.name;
            EXPECT_LT(item.offset, end + 16) << item.name; // no more padding than one line
            end = item.offset + room_of(item);
            n_params += item.count;
        }
        EXPECT_EQ(p.params.n_elements, end);
        EXPECT_EQ(p.params.n_params, n_params);
    }
}

// What the model multiplies by as one matrix lies there as one, and begins a cache line.
TEST(Params, GroupsHaveNoGap) {
    const std::vector<std::vector<qn_role>> groups = {
        {QN_Q_W, QN_K_W, QN_V_W}, {QN_Q_B, QN_K_B, QN_V_B}, {QN_GATE_W, QN_UP_W}};
    for (const qn_config &config : configs()) {
        Params p(config);
        for (int64_t l = 0; l < config.n_layers; l++) {
            for (const std::vector<qn_role> &group : groups) {
                const qn_param *before = qn_params_find(&p.params, group[0], l);
                if (!before) continue;
                EXPECT_EQ(before->offset % 16, 0) << before->name;
                for (size_t i = 1; i < group.size(); i++) {
                    const qn_param *next = qn_params_find(&p.params, group[i], l);
                    ASSERT_TRUE(next);
                    EXPECT_EQ(next->offset, before->offset + before->count) << next->name;
                    before = next;
                }
            }
        }
    }
}

TEST(Params, AreFoundByRoleAndLayer) {
    for (const qn_config &config : configs()) {
        Params p(config);
        int found = 0;
        for (int64_t layer = -1; layer < config.n_layers; layer++) {
            for (int role = 0; role < QN_N_ROLES; role++) {
                const qn_param *item = qn_params_find(&p.params, (qn_role)role, layer);
                if (!item) continue;
                EXPECT_EQ(item->role, role);
                EXPECT_EQ(item->layer, layer);
                const std::string number = "." + std::to_string(layer) + ".";
                EXPECT_EQ(std::string(item->name).find(number) != std::string::npos, layer >= 0);
                found++;
            }
        }
        EXPECT_EQ(found, p.params.count);
        EXPECT_EQ(qn_params_find(&p.params, QN_LM_HEAD_W, -1) != nullptr, !config.tie_embeddings);
    }
}

TEST(Params, OnlyMatricesDecay) {
    for (const qn_config &config : configs()) {
        Params p(config);
        for (int i = 0; i < p.params.count; i++)
            EXPECT_EQ(p.params.items[i].decay, p.params.items[i].rank == 2)
                << p.params.items[i].name;
    }
}

// ---- initial values ---------------------------------------------------------------------------

bool ends_with(const std::string &name, const char *end) {
    const size_t n = strlen(end);
    return name.size() >= n && name.compare(name.size() - n, n, end) == 0;
}

TEST(Params, InitialMoments) {
    for (const char *architecture : {"Qwen2ForCausalLM", "GPT2LMHeadModel"}) {
        qn_config config = small_config(architecture);
        config.hidden_size = 128;
        config.n_heads = config.n_kv_heads = 16;
        config.init_std = 0.02;
        Params p(config);
        for (int i = 0; i < p.params.count; i++) {
            const qn_param &item = p.params.items[i];
            const std::string name = item.name;
            const std::vector<float> values = p.init(i, 1);
            if (item.rank == 1) {
                const float expected = ends_with(name, "bias") ? 0.0f : 1.0f;
                EXPECT_EQ(values, std::vector<float>(values.size(), expected)) << name;
                continue;
            }
            // What writes into the residual stream: o_proj, down_proj; GPT-2's two c_proj.
            const bool out = ends_with(name, "o_proj.weight") ||
                             ends_with(name, "down_proj.weight") ||
                             ends_with(name, "c_proj.weight");
            const double std = out ? 0.02 / std::sqrt(2.0 * 2.0) : 0.02, n = (double)item.count;
            double sum = 0, squares = 0, fourth = 0;
            for (float v : values) {
                const double z = v / std;
                sum += z;
                squares += z * z;
                fourth += z * z * z * z;
            }
            // Five standard errors of the moments of n normal numbers.
            EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n)) << name;
            EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2 / n)) << name;
            EXPECT_NEAR(fourth / n, 3, 5 * std::sqrt(96 / n)) << name;
        }
    }
}

// embed_std is for the table of tokens alone.
TEST(Params, EmbeddingsMayHaveTheirOwnStandardDeviation) {
    for (const char *architecture : {"LlamaForCausalLM", "GPT2LMHeadModel"}) {
        qn_config config = untied(small_config(architecture));
        Params plain(config);
        config.embed_std = 0.5;
        Params own(config);
        for (int i = 0; i < own.params.count; i++) {
            const qn_param &p = own.params.items[i];
            EXPECT_EQ(p.init_std, p.role == QN_WTE ? 0.5f : plain.params.items[i].init_std)
                << p.name;
        }
    }
}

// Every matrix has its own numbers, and its own for every seed.
TEST(Params, InitialValuesAreAFunctionOfSeedAndPlace) {
    const qn_config config = small_config("LlamaForCausalLM");
    Params p(config), again(config);
    std::set<std::vector<float>> beginnings;
    int matrices = 0;
    for (int i = 0; i < p.params.count; i++) {
        if (p.params.items[i].init != QN_INIT_NORMAL) continue;
        matrices++;
        for (uint64_t seed : {1ull, 2ull, 1ull << 32}) {
            std::vector<float> values = p.init(i, seed);
            EXPECT_EQ(values, again.init(i, seed));
            const float std = p.params.items[i].init_std;
            std::vector<float> head(values.begin(), values.begin() + 8);
            for (float &v : head) v /= std;
            beginnings.insert(head);
        }
    }
    EXPECT_EQ(beginnings.size(), 3u * matrices);
}

// A count that is no multiple of four: nothing is written behind the last element.
TEST(Params, InitialValuesStayInside) {
    qn_config config = small_config("LlamaForCausalLM");
    config.vocab_size = 1;
    config.hidden_size = 33;
    Params p(config);
    const qn_param *table = p.find("model.embed_tokens.weight");
    ASSERT_TRUE(table);
    ASSERT_EQ(table->count, 33);
    std::vector<float> out(40, -7);
    qn_param_init(&p.params, (int)(table - p.params.items), 1, out.data());
    for (int i = 33; i < 40; i++) EXPECT_EQ(out[i], -7);
    for (int i = 0; i < 33; i++) EXPECT_NE(out[i], -7);
}

// A model starts from these values.
TEST(Params, ModelInitWritesThem) {
    SmallModel m(small_config("Qwen2ForCausalLM"), small_options(1, 8));
    ASSERT_TRUE(m.model);
    ASSERT_OK(qn_model_init(m.model, 5));
    const std::vector<float> all = m.buffer(QN_BUF_PARAMS);
    Params p(m.config);
    std::vector<float> expected(all.size(), 0);
    for (int i = 0; i < p.params.count; i++) {
        const std::vector<float> values = p.init(i, 5);
        std::copy(values.begin(), values.end(), expected.begin() + p.params.items[i].offset);
    }
    EXPECT_EQ(all, expected);
}

} // namespace
