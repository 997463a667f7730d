#include "quern/config.h"

#include <cmath>
#include <cstring>
#include <set>

#include "base/json.h"
#include "harness/status.h"
#include "harness/temp_dir.h"

/* The least that a Llama-like config.json may hold, with `more` members. */
static std::string llama_like(const std::string &architecture, const std::string &more = "") {
    return "{\"architectures\": [\"" + architecture +
           "\"], \"vocab_size\": 1000, \"hidden_size\": 256, \"num_hidden_layers\": 3, "
           "\"num_attention_heads\": 32, \"intermediate_size\": 512" +
           (more.empty() ? "" : ", " + more) + "}";
}

static std::string llama(const std::string &more = "") {
    return llama_like("LlamaForCausalLM", more);
}
static std::string mistral(const std::string &more = "") {
    return llama_like("MistralForCausalLM", more);
}
static std::string qwen2(const std::string &more = "") {
    return llama_like("Qwen2ForCausalLM", more);
}
static std::string qwen3(const std::string &more = "") {
    return llama_like("Qwen3ForCausalLM", more);
}
static std::string gpt2(const std::string &more = "") {
    return "{\"architectures\": [\"GPT2LMHeadModel\"], \"vocab_size\": 50257, \"n_embd\": 64, "
           "\"n_layer\": 2, \"n_head\": 4" +
           (more.empty() ? "" : ", " + more) + "}";
}

class Config : public testing::Test {
  protected:
    qn_status load(const std::string &text) {
        memset(&c, 0x55, sizeof c);
        return qn_config_load(dir.write("config.json", text).c_str(), &c);
    }
    qn_config preset(const char *name) {
        qn_config config = {};
        EXPECT_OK(qn_config_preset(name, 0, &config));
        return config;
    }

    TempDir dir;
    qn_config c;
};

TEST_F(Config, LlamaDefaults) {
    ASSERT_OK(load(llama()));
    EXPECT_EQ(c.arch, QN_ARCH_LLAMA);
    EXPECT_STREQ(c.architecture, "LlamaForCausalLM");
    EXPECT_EQ(c.vocab_size, 1000);
    EXPECT_EQ(c.n_layers, 3);
    EXPECT_EQ(c.hidden_size, 256);
    EXPECT_EQ(c.n_heads, 32);
    EXPECT_EQ(c.n_kv_heads, 32);
    EXPECT_EQ(c.head_dim, 8);
    EXPECT_EQ(c.ffn_size, 512);
    EXPECT_EQ(c.max_seq_len, 2048);
    EXPECT_EQ(c.rope_theta, 10000);
    EXPECT_EQ(c.norm_eps, 1e-6);
    EXPECT_EQ(c.init_std, 0.02);
    EXPECT_EQ(c.sliding_window, 0);
    EXPECT_FALSE(c.tie_embeddings || c.qkv_bias || c.qk_norm);
    EXPECT_EQ(c.bos_id, 1);
    EXPECT_EQ(c.eos_id, 2);
}

TEST_F(Config, EveryKeyIsRead) {
    ASSERT_OK(load(llama("\"num_key_value_heads\": 4, \"head_dim\": 16, \"rope_theta\": 500000.0, "
                         "\"rms_norm_eps\": 1e-05, \"initializer_range\": 0.5, "
                         "\"max_position_embeddings\": 77, \"tie_word_embeddings\": true, "
                         "\"bos_token_id\": null, \"eos_token_id\": [7, 8], \"hidden_act\": "
                         "\"silu\", \"some_new_key\": {\"a\": 1}")));
    EXPECT_EQ(c.n_kv_heads, 4);
    EXPECT_EQ(c.head_dim, 16);
    EXPECT_EQ(c.rope_theta, 500000);
    EXPECT_EQ(c.norm_eps, 1e-5);
    EXPECT_EQ(c.init_std, 0.5);
    EXPECT_EQ(c.max_seq_len, 77);
    EXPECT_TRUE(c.tie_embeddings);
    EXPECT_EQ(c.bos_id, -1);
    EXPECT_EQ(c.eos_id, 7);
}

TEST_F(Config, FamiliesDiffer) {
    ASSERT_OK(load(mistral()));
    EXPECT_EQ(c.n_kv_heads, 8);
    EXPECT_EQ(c.sliding_window, 4096);
    EXPECT_EQ(c.max_seq_len, 131072);
    ASSERT_OK(load(qwen2()));
    EXPECT_TRUE(c.qkv_bias);
    EXPECT_FALSE(c.qk_norm);
    EXPECT_EQ(c.n_kv_heads, 32);
    EXPECT_EQ(c.bos_id, -1);
    ASSERT_OK(load(qwen3()));
    EXPECT_FALSE(c.qkv_bias);
    EXPECT_TRUE(c.qk_norm);
    EXPECT_EQ(c.head_dim, 128);
    EXPECT_EQ(c.max_seq_len, 32768);
}

TEST_F(Config, NullKvHeadsAreAsManyAsHeads) {
    ASSERT_OK(load(mistral("\"num_key_value_heads\": null")));
    EXPECT_EQ(c.n_kv_heads, 32);
}

TEST_F(Config, Gpt2) {
    ASSERT_OK(load(gpt2()));
    EXPECT_EQ(c.arch, QN_ARCH_GPT2);
    EXPECT_EQ(c.hidden_size, 64);
    EXPECT_EQ(c.n_layers, 2);
    EXPECT_EQ(c.n_heads, 4);
    EXPECT_EQ(c.n_kv_heads, 4);
    EXPECT_EQ(c.head_dim, 16);
    EXPECT_EQ(c.ffn_size, 256);
    EXPECT_EQ(c.max_seq_len, 1024);
    EXPECT_EQ(c.norm_eps, 1e-5);
    EXPECT_EQ(c.rope_theta, 0);
    EXPECT_TRUE(c.tie_embeddings && c.qkv_bias);
    EXPECT_EQ(c.eos_id, 50256);
    ASSERT_OK(load(gpt2("\"n_inner\": 100, \"n_positions\": 32, \"layer_norm_epsilon\": 1e-3, "
                        "\"tie_word_embeddings\": false, \"activation_function\": \"gelu_new\", "
                        "\"resid_pdrop\": 0.1, \"reorder_and_upcast_attn\": true")));
    EXPECT_EQ(c.ffn_size, 100);
    EXPECT_EQ(c.max_seq_len, 32);
    EXPECT_EQ(c.norm_eps, 1e-3);
    EXPECT_FALSE(c.tie_embeddings);
    ASSERT_OK(load(gpt2("\"n_inner\": null")));
    EXPECT_EQ(c.ffn_size, 256);
}

TEST_F(Config, ArchitectureOrModelTypeNamesTheClass) {
    std::string text = llama("\"model_type\": \"qwen3\"");
    EXPECT_ERROR(load(text), QN_CODE_INVALID, "model_type is \"qwen3\"", "expects \"llama\"");
    text.replace(text.find("[\"LlamaForCausalLM\"]"), 20, "null");
    ASSERT_OK(load(text));
    EXPECT_STREQ(c.architecture, "Qwen3ForCausalLM");
    EXPECT_ERROR(load("{}"), QN_CODE_UNSUPPORTED, "config.json", "\"architectures\" is missing",
                 "GPT2LMHeadModel");
    EXPECT_ERROR(load(llama_like("BertModel")), QN_CODE_UNSUPPORTED, "[\"BertModel\"]",
                 "LlamaForCausalLM");
    EXPECT_ERROR(load(llama_like("LlamaForCausalLM\", \"GPT2LMHeadModel")), QN_CODE_UNSUPPORTED,
                 "architectures");
    EXPECT_ERROR(load("{\"model_type\": \"bert\"}"), QN_CODE_UNSUPPORTED, "\"bert\"", "qwen3");
}

TEST_F(Config, SlidingWindow) {
    ASSERT_OK(load(mistral("\"sliding_window\": null")));
    EXPECT_EQ(c.sliding_window, 0);
    ASSERT_OK(load(mistral("\"sliding_window\": 12")));
    EXPECT_EQ(c.sliding_window, 12);
    EXPECT_ERROR(load(mistral("\"sliding_window\": 0")), QN_CODE_INVALID, "sliding_window");
    ASSERT_OK(load(qwen2("\"use_sliding_window\": false, \"sliding_window\": 12")));
    EXPECT_EQ(c.sliding_window, 0);
    const std::string on = "\"use_sliding_window\": true, \"sliding_window\": 12";
    ASSERT_OK(load(qwen2(on))) << "28 layers without a window by default";
    EXPECT_EQ(c.sliding_window, 0);
    ASSERT_OK(load(qwen2(on + ", \"max_window_layers\": 3")));
    EXPECT_EQ(c.sliding_window, 0);
    ASSERT_OK(load(qwen3(on + ", \"max_window_layers\": 0")));
    EXPECT_EQ(c.sliding_window, 12);
    for (const char *layers : {"1", "2"}) {
        EXPECT_ERROR(load(qwen2(on + ", \"max_window_layers\": " + layers)), QN_CODE_UNSUPPORTED,
                     "max_window_layers", "all layers or in none");
    }
}

TEST_F(Config, LayerTypes) {
    const std::string on = "\"use_sliding_window\": true, \"sliding_window\": 12, ";
    const std::string full = "\"full_attention\"", sliding = "\"sliding_attention\"";
    auto types = [](const std::string &a, const std::string &b, const std::string &c) {
        return "\"layer_types\": [" + a + ", " + b + ", " + c + "]";
    };
    ASSERT_OK(load(qwen2(types(full, full, full))));
    ASSERT_OK(load(qwen2(on + types(sliding, sliding, sliding))));
    EXPECT_EQ(c.sliding_window, 12);
    ASSERT_OK(load(qwen2(on + types(full, full, full))));
    EXPECT_EQ(c.sliding_window, 0);
    EXPECT_ERROR(load(qwen2(on + types(full, full, sliding))), QN_CODE_UNSUPPORTED, "layer_types",
                 "same for all layers");
    EXPECT_ERROR(load(qwen2(types(sliding, sliding, sliding))), QN_CODE_INVALID, "layer_types",
                 "no sliding_window");
    EXPECT_ERROR(load(llama(types(sliding, sliding, sliding))), QN_CODE_INVALID, "layer_types");
    EXPECT_ERROR(load(mistral(types(full, full, full))), QN_CODE_INVALID, "sliding_attention");
    EXPECT_ERROR(load(llama("\"layer_types\": [" + full + "]")), QN_CODE_INVALID, "each layer");
    EXPECT_ERROR(load(llama("\"layer_types\": 3")), QN_CODE_INVALID, "layer_types");
    const std::string odd = "\"linear_attention\"";
    EXPECT_ERROR(load(llama(types(odd, odd, odd))), QN_CODE_UNSUPPORTED, "linear_attention");
}

TEST_F(Config, Rope) {
    ASSERT_OK(
        load(llama("\"rope_parameters\": {\"rope_theta\": 5e5, \"rope_type\": \"default\"}")));
    EXPECT_EQ(c.rope_theta, 5e5);
    ASSERT_OK(load(llama("\"rope_scaling\": null, \"rope_theta\": 7")));
    EXPECT_EQ(c.rope_theta, 7);
    ASSERT_OK(load(llama("\"rope_scaling\": {\"type\": \"default\"}, \"rope_theta\": 7, "
                         "\"rope_parameters\": {\"rope_theta\": 7.0}")));
    EXPECT_EQ(c.rope_theta, 7);
    EXPECT_ERROR(load(llama("\"rope_theta\": 7, \"rope_parameters\": {\"rope_theta\": 8}")),
                 QN_CODE_INVALID, "rope_theta", "7", "8");
    EXPECT_ERROR(load(llama("\"rope_theta\": 0")), QN_CODE_INVALID, "rope_theta");
    EXPECT_ERROR(load(llama("\"rope_theta\": -5")), QN_CODE_INVALID, "rope_theta");
    EXPECT_ERROR(load(llama("\"rope_scaling\": 3")), QN_CODE_INVALID, "rope_scaling");
}

TEST_F(Config, WhatQuernCannotRunIsRefused) {
    const std::pair<std::string, const char *> cases[] = {
        {llama("\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 32.0}"), "rope_scaling"},
        {llama("\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}"), "rope_scaling"},
        {llama("\"rope_parameters\": {\"rope_type\": \"yarn\"}"), "rope_parameters"},
        {llama("\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1}}"),
         "rope_parameters"},
        {llama("\"rope_parameters\": {\"partial_rotary_factor\": 0.5}"), "partial_rotary_factor"},
        {llama("\"partial_rotary_factor\": 0.5"), "partial_rotary_factor"},
        {llama("\"hidden_act\": \"gelu\""), "hidden_act"},
        {llama("\"attention_bias\": true"), "attention_bias"},
        {qwen3("\"attention_bias\": true"), "attention_bias"},
        {llama("\"mlp_bias\": true"), "mlp_bias"},
        {llama("\"quantization_config\": {\"bits\": 4}"), "quantization_config"},
        {gpt2("\"activation_function\": \"relu\""), "activation_function"},
        {gpt2("\"scale_attn_by_inverse_layer_idx\": true"), "scale_attn_by_inverse_layer_idx"},
        {gpt2("\"scale_attn_weights\": false"), "scale_attn_weights"},
        {gpt2("\"add_cross_attention\": true"), "add_cross_attention"},
    };
    for (const auto &[text, key] : cases) {
        EXPECT_ERROR(load(text), QN_CODE_UNSUPPORTED, "config.json", key) << text;
    }
}

TEST_F(Config, WrongValuesNameFileKeyAndValue) {
    EXPECT_ERROR(load(llama("\"num_key_value_heads\": 0")), QN_CODE_INVALID,
                 "config.json: \"num_key_value_heads\" is 0");
    EXPECT_ERROR(load(llama("\"rms_norm_eps\": \"1e-5\"")), QN_CODE_INVALID, "\"1e-5\"");
    EXPECT_ERROR(load(llama("\"bos_token_id\": 1000")), QN_CODE_INVALID, "bos_token_id",
                 "0 to 999");
    EXPECT_ERROR(load(llama("\"eos_token_id\": []")), QN_CODE_INVALID, "eos_token_id");
    EXPECT_ERROR(load(llama("\"eos_token_id\": -1")), QN_CODE_INVALID, "eos_token_id");
    EXPECT_ERROR(load(llama("\"num_key_value_heads\": 5")), QN_CODE_INVALID, "config.json",
                 "divisor of n_heads, 32");
    EXPECT_ERROR(load("{\"model_type\": \"llama\"}"), QN_CODE_INVALID, "\"vocab_size\" is missing");
    EXPECT_ERROR(load(gpt2("\"n_inner\": 0")), QN_CODE_INVALID, "n_inner");
    EXPECT_ERROR(load("{\"model_type\": \"gpt2\", \"vocab_size\": 9, \"n_embd\": 64, "
                      "\"n_layer\": 1, \"n_head\": 7}"),
                 QN_CODE_INVALID, "n_head is 7", "n_embd, 64");
    EXPECT_ERROR(load("{"), QN_CODE_INVALID, "config.json: line 1");
    EXPECT_ERROR(qn_config_load((dir / "gone").c_str(), &c), QN_CODE_IO, "gone");
}

TEST_F(Config, DefaultIdsOutsideTheVocabularyAreNone) {
    ASSERT_OK(load("{\"model_type\": \"gpt2\", \"vocab_size\": 1000, \"n_embd\": 64, "
                   "\"n_layer\": 1, \"n_head\": 8}"));
    EXPECT_EQ(c.bos_id, -1);
    EXPECT_EQ(c.eos_id, -1);
}

/* A change that makes a good config bad, and what the error says. */
struct Damage {
    const char *name;
    void (*apply)(qn_config *);
    const char *says;
};

TEST_F(Config, CheckRefusesImpossibleValues) {
    const Damage llama_damage[] = {
        {"no layers", [](qn_config *c) { c->n_layers = 0; }, "n_layers is 0"},
        {"many layers", [](qn_config *c) { c->n_layers = 10001; }, "n_layers"},
        {"vocab", [](qn_config *c) { c->vocab_size = -4; }, "vocab_size is -4"},
        {"huge vocab", [](qn_config *c) { c->vocab_size = INT64_MAX; }, "vocab_size"},
        {"hidden", [](qn_config *c) { c->hidden_size = 0; }, "hidden_size"},
        {"huge hidden", [](qn_config *c) { c->hidden_size = 1ll << 40; }, "hidden_size"},
        {"heads", [](qn_config *c) { c->n_heads = 0; }, "n_heads"},
        {"kv heads", [](qn_config *c) { c->n_kv_heads = 0; }, "n_kv_heads"},
        {"uneven groups", [](qn_config *c) { c->n_kv_heads = 5; }, "divisor of n_heads"},
        {"more kv heads", [](qn_config *c) { c->n_kv_heads = 2 * c->n_heads; }, "n_kv_heads"},
        {"head_dim 0", [](qn_config *c) { c->head_dim = 0; }, "head_dim"},
        {"head_dim 12", [](qn_config *c) { c->head_dim = 12; }, "multiple of 8"},
        {"head_dim 33", [](qn_config *c) { c->head_dim = 33; }, "multiple of 8"},
        {"head_dim 264", [](qn_config *c) { c->head_dim = 264; }, "head_dim is 264"},
        {"ffn", [](qn_config *c) { c->ffn_size = 0; }, "ffn_size"},
        {"seq", [](qn_config *c) { c->max_seq_len = 0; }, "max_seq_len"},
        {"long seq", [](qn_config *c) { c->max_seq_len = 1ll << 31; }, "max_seq_len"},
        {"window", [](qn_config *c) { c->sliding_window = -1; }, "sliding_window"},
        {"llama window", [](qn_config *c) { c->sliding_window = 8; }, "has none"},
        {"eps 0", [](qn_config *c) { c->norm_eps = 0; }, "norm_eps"},
        {"eps nan", [](qn_config *c) { c->norm_eps = NAN; }, "norm_eps"},
        {"std", [](qn_config *c) { c->init_std = -0.1; }, "init_std"},
        {"std nan", [](qn_config *c) { c->init_std = NAN; }, "init_std"},
        {"theta 0", [](qn_config *c) { c->rope_theta = 0; }, "rope_theta"},
        {"theta inf", [](qn_config *c) { c->rope_theta = INFINITY; }, "rope_theta"},
        {"bos", [](qn_config *c) { c->bos_id = c->vocab_size; }, "bos_id"},
        {"eos", [](qn_config *c) { c->eos_id = -2; }, "eos_id"},
        {"too large", [](qn_config *c) { c->hidden_size = c->ffn_size = 1 << 20; }, "2^40"},
        {"bias", [](qn_config *c) { c->qkv_bias = true; }, "qkv_bias"},
        {"qk_norm", [](qn_config *c) { c->qk_norm = true; }, "qk_norm"},
        {"class", [](qn_config *c) { strcpy(c->architecture, "Llama"); }, "\"Llama\""},
        {"no end", [](qn_config *c) { memset(c->architecture, 'x', 64); }, "architecture"},
    };
    for (const Damage &damage : llama_damage) {
        qn_config bad = preset("llama2-7b");
        EXPECT_OK(qn_config_check(&bad, "x"));
        damage.apply(&bad);
        EXPECT_ERROR(qn_config_check(&bad, "the name"), QN_CODE_INVALID, "the name: ", damage.says)
            << damage.name;
    }
    const Damage gpt2_damage[] = {
        {"hidden", [](qn_config *c) { c->hidden_size = 776; }, "fill its hidden_size, 776"},
        {"kv heads", [](qn_config *c) { c->n_kv_heads = 6; }, "6 of them"},
        {"positions", [](qn_config *c) { c->max_seq_len = INT32_MAX; }, "2^40"},
    };
    for (const Damage &damage : gpt2_damage) {
        qn_config bad = preset("gpt2-124m");
        damage.apply(&bad);
        EXPECT_ERROR(qn_config_check(&bad, "x"), QN_CODE_INVALID, damage.says) << damage.name;
    }
}

static void expect_same(const qn_config &a, const qn_config &b) {
    EXPECT_EQ(a.arch, b.arch);
    EXPECT_STREQ(a.architecture, b.architecture);
    for (auto field : {&qn_config::vocab_size, &qn_config::n_layers, &qn_config::hidden_size,
                       &qn_config::n_heads, &qn_config::n_kv_heads, &qn_config::head_dim,
                       &qn_config::ffn_size, &qn_config::max_seq_len, &qn_config::sliding_window,
                       &qn_config::bos_id, &qn_config::eos_id}) {
        EXPECT_EQ(a.*field, b.*field);
    }
    for (auto field : {&qn_config::rope_theta, &qn_config::norm_eps, &qn_config::init_std}) {
        EXPECT_EQ(a.*field, b.*field) << "to the last bit";
    }
    for (auto field : {&qn_config::tie_embeddings, &qn_config::qkv_bias, &qn_config::qk_norm}) {
        EXPECT_EQ(a.*field, b.*field);
    }
}

TEST_F(Config, SavedConfigsLoadTheSame) {
    for (const char *const *name = qn_config_preset_names(); *name; name++) {
        SCOPED_TRACE(*name);
        const qn_config saved = preset(*name);
        ASSERT_OK(qn_config_save(&saved, (dir / "config.json").c_str()));
        ASSERT_OK(qn_config_load((dir / "config.json").c_str(), &c));
        expect_same(saved, c);
    }
}

TEST_F(Config, SavedValuesAreExact) {
    for (const std::string &text :
         {mistral("\"sliding_window\": 9, \"num_key_value_heads\": 2"),
          mistral("\"sliding_window\": null"),
          qwen2("\"use_sliding_window\": true, \"sliding_window\": 5, \"max_window_layers\": 0"),
          qwen3("\"tie_word_embeddings\": true, \"rope_theta\": 1234567.0625"),
          gpt2("\"tie_word_embeddings\": false, \"n_inner\": 72, \"n_positions\": 10")}) {
        SCOPED_TRACE(text);
        ASSERT_OK(load(text));
        qn_config saved = c;
        saved.norm_eps = 1.0 / 3;
        saved.init_std = 0.1 + 0.2;
        ASSERT_OK(qn_config_save(&saved, (dir / "saved.json").c_str()));
        ASSERT_OK(qn_config_load((dir / "saved.json").c_str(), &c));
        expect_same(saved, c);
    }
}

TEST_F(Config, SavedFileReadsWell) {
    const qn_config saved = preset("gpt2-124m");
    ASSERT_OK(qn_config_save(&saved, (dir / "config.json").c_str()));
    const std::string text = TempDir::read(dir / "config.json");
    EXPECT_EQ(text.find("00000"), std::string::npos) << "no more digits than needed: " << text;
    EXPECT_NE(text.find("\"initializer_range\": 0.02,\n"), std::string::npos) << text;
    EXPECT_EQ(text.substr(text.size() - 3), "\n}\n");
}

TEST_F(Config, SaveChecksFirst) {
    qn_config bad = preset("gpt2-124m");
    bad.n_layers = 0;
    EXPECT_ERROR(qn_config_save(&bad, (dir / "bad.json").c_str()), QN_CODE_INVALID, "bad.json",
                 "n_layers");
    const qn_config good = preset("gpt2-124m");
    EXPECT_ERROR(qn_config_save(&good, (dir / "none/a.json").c_str()), QN_CODE_IO, "none/a.json");
}

/* Parameters without biases and norms, in millions. */
static double millions(const qn_config &c) {
    const double block = 2.0 * c.hidden_size * c.head_dim * (c.n_heads + c.n_kv_heads) +
                         (c.arch == QN_ARCH_GPT2 ? 2.0 : 3.0) * c.hidden_size * c.ffn_size;
    const double positions = c.arch == QN_ARCH_GPT2 ? (double)c.max_seq_len * c.hidden_size : 0;
    return (c.n_layers * block + (c.tie_embeddings ? 1.0 : 2.0) * c.vocab_size * c.hidden_size +
            positions) /
           1e6;
}

TEST_F(Config, PresetsHaveThePublishedSizes) {
    /* Model cards and papers; biases and norms are below 0.2% of each. */
    const std::pair<const char *, double> published[] = {
        {"gpt2-124m", 124.44},   {"gpt2-355m", 354.82},    {"gpt2-774m", 774.03},
        {"gpt2-1.5b", 1557.61},  {"qwen2.5-0.5b", 494.03}, {"qwen2.5-1.5b", 1543.71},
        {"qwen2.5-7b", 7615.62}, {"llama3.2-1b", 1235.81}, {"llama2-7b", 6738.42},
    };
    for (const auto &[name, size] : published) {
        EXPECT_NEAR(millions(preset(name)), size, 0.002 * size) << name;
    }
}

TEST_F(Config, PresetNamesAreUniqueAndDescribed) {
    std::set<std::string> seen;
    for (const char *const *name = qn_config_preset_names(); *name; name++) {
        EXPECT_TRUE(seen.insert(*name).second) << *name;
        const char *description = qn_config_preset_description(*name);
        ASSERT_NE(description, nullptr) << *name;
        EXPECT_EQ(strchr(description, '\n'), nullptr);
        EXPECT_OK(qn_config_preset(*name, 0, &c));
    }
    EXPECT_EQ(seen.count("default"), 1u);
    EXPECT_EQ(qn_config_preset_description("none"), nullptr);
}

TEST_F(Config, PresetWithAnotherVocabulary) {
    ASSERT_OK(qn_config_preset("gpt2-124m", 512, &c));
    EXPECT_EQ(c.vocab_size, 512);
    EXPECT_EQ(c.bos_id, -1);
    EXPECT_EQ(c.eos_id, -1);
    ASSERT_OK(qn_config_preset("gpt2-124m", 50257, &c));
    EXPECT_EQ(c.eos_id, 50256);
    EXPECT_ERROR(qn_config_preset("gpt2-124m", -5, &c), QN_CODE_INVALID, "gpt2-124m",
                 "vocab_size is -5");
}

TEST_F(Config, UnknownPresetListsTheNames) {
    EXPECT_ERROR(qn_config_preset("gpt3", 0, &c), QN_CODE_USAGE, "no preset \"gpt3\"", "default, ",
                 "gpt2-1.5b, qwen2.5-0.5b", "llama2-7b");
}
