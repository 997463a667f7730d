// test_weights.cc: parameters to and from model.safetensors.
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "harness/small_model.h"
#include "harness/temp_dir.h"
#include "quern/safetensors.h"

namespace {

// A tensor of a file that a test writes.
struct Stored {
    std::string name;
    qn_dtype dtype = QN_F32;
    std::vector<int64_t> shape;
    std::string bytes;
};

std::string raw(const void *data, size_t bytes) {
    return std::string(static_cast<const char *>(data), bytes);
}

void write_file(const std::string &path, const std::vector<Stored> &tensors) {
    std::vector<qn_named_tensor> named;
    for (const Stored &s : tensors)
        named.push_back({s.name.c_str(), qn_tensor_make(const_cast<char *>(s.bytes.data()), s.dtype,
                                                        (int)s.shape.size(), s.shape.data())});
    ASSERT_OK(
        qn_safetensors_write(path.c_str(), named.data(), (int)named.size(), nullptr, nullptr));
}

std::vector<Stored> stored(const SmallModel &m) {
    const std::vector<float> all = m.buffer(QN_BUF_PARAMS);
    std::vector<Stored> out;
    for (int i = 0; i < m.params()->count; i++) {
        const qn_param &p = m.params()->items[i];
        out.push_back({p.name, QN_F32, std::vector<int64_t>(p.shape, p.shape + p.rank),
                       raw(&all[p.offset], (size_t)p.count * sizeof(float))});
    }
    return out;
}

Stored *find(std::vector<Stored> *tensors, const std::string &name) {
    for (Stored &s : *tensors)
        if (s.name == name) return &s;
    ADD_FAILURE() << "no " << name;
    return &tensors->front();
}

constexpr qn_plan_mode kMode = QN_PLAN_EVAL;

class Weights : public testing::Test {
  protected:
    // Loads a file of these tensors into a model with other values.
    qn_status load(SmallModel *m, const std::vector<Stored> &tensors) {
        write_file(dir / "model.safetensors", tensors);
        return qn_model_load(m->model, dir.path().c_str());
    }
    TempDir dir;
};

// ---- round trips ----------------------------------------------------------------------------

TEST_F(Weights, SavedAndLoadedAreTheSameBits) {
    for (const char *name : {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM",
                             "Qwen3ForCausalLM", "GPT2LMHeadModel"}) {
        for (bool tied : {true, false}) {
            qn_config config = small_config(name);
            config.tie_embeddings = tied;
            SmallModel saved(config, small_options(1, 8, kMode), 1);
            SmallModel loaded(config, small_options(1, 8, kMode), 2);
            ASSERT_TRUE(saved.model && loaded.model);
            uint64_t first = 0, second = 0;
            ASSERT_OK(qn_model_save(saved.model, dir.path().c_str(), &first));
            EXPECT_NE(loaded.buffer(QN_BUF_PARAMS), saved.buffer(QN_BUF_PARAMS));
            ASSERT_OK(qn_model_load(loaded.model, dir.path().c_str()));
            const std::vector<float> a = saved.buffer(QN_BUF_PARAMS);
            const std::vector<float> b = loaded.buffer(QN_BUF_PARAMS);
            EXPECT_EQ(memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << name;
            ASSERT_OK(qn_model_save(loaded.model, dir.path().c_str(), &second));
            EXPECT_EQ(first, second);
        }
    }
}

TEST_F(Weights, FileHoldsHuggingFaceTensors) {
    SmallModel m(small_config("LlamaForCausalLM"), small_options(1, 8, kMode));
    ASSERT_TRUE(m.model);
    ASSERT_OK(qn_model_save(m.model, dir.path().c_str(), nullptr));
    qn_safetensors *file;
    ASSERT_OK(qn_safetensors_open((dir / "model.safetensors").c_str(), &file));
    EXPECT_EQ(qn_safetensors_count(file), m.params()->count);
    ASSERT_TRUE(qn_safetensors_metadata(file, "format"));
    EXPECT_STREQ(qn_safetensors_metadata(file, "format"), "pt");
    for (const Stored &s : stored(m)) {
        qn_tensor t;
        ASSERT_TRUE(qn_safetensors_find(file, s.name.c_str(), &t)) << s.name;
        EXPECT_EQ(t.dtype, QN_F32);
        EXPECT_EQ(std::vector<int64_t>(t.shape, t.shape + t.rank), s.shape) << s.name;
        EXPECT_EQ(raw(t.data, s.bytes.size()), s.bytes) << s.name;
    }
    qn_safetensors_close(file);
}

// ---- what other writers do --------------------------------------------------------------------

TEST_F(Weights, Gpt2FilesWithoutPrefix) {
    SmallModel saved(small_config("GPT2LMHeadModel"), small_options(1, 8, kMode), 1);
    SmallModel loaded(small_config("GPT2LMHeadModel"), small_options(1, 8, kMode), 2);
    ASSERT_TRUE(saved.model && loaded.model);
    std::vector<Stored> tensors = stored(saved);
    const std::string prefix = "transformer.";
    for (Stored &s : tensors) s.name = s.name.substr(prefix.size());
    // The masks and the second copy of the table that old files have.
    tensors.push_back({"h.0.attn.bias", QN_F32, {1, 1, 2, 2}, std::string(16, 0)});
    tensors.push_back({"lm_head.weight", QN_F32, {1}, std::string(4, 1)});
    ASSERT_OK(load(&loaded, tensors));
    EXPECT_EQ(loaded.buffer(QN_BUF_PARAMS), saved.buffer(QN_BUF_PARAMS));
}

TEST_F(Weights, ShardsByTheirIndex) {
    SmallModel saved(small_config("LlamaForCausalLM"), small_options(1, 8, kMode), 1);
    SmallModel loaded(small_config("LlamaForCausalLM"), small_options(1, 8, kMode), 2);
    ASSERT_TRUE(saved.model && loaded.model);
    const std::vector<Stored> tensors = stored(saved);
    const size_t half = tensors.size() / 2;
    write_file(dir / "a.safetensors", {tensors.begin(), tensors.begin() + half});
    write_file(dir / "b.safetensors", {tensors.begin() + half, tensors.end()});
    std::string map;
    for (size_t i = 0; i < tensors.size(); i++)
        map += (i ? ", \"" : "\"") + tensors[i].name + "\": \"" + (i < half ? "a" : "b") +
               ".safetensors\"";
    dir.write("model.safetensors.index.json", "{\"weight_map\": {" + map + "}}");
    ASSERT_OK(qn_model_load(loaded.model, dir.path().c_str()));
    EXPECT_EQ(loaded.buffer(QN_BUF_PARAMS), saved.buffer(QN_BUF_PARAMS));
}

// The value of a half number by its definition (IEEE 754, binary16).
double value_of_half(uint16_t h) {
    const int sign = h >> 15, exponent = (h >> 10) & 31, fraction = h & 1023;
    double value;
    if (exponent == 31)
        value = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        value = std::ldexp(fraction, -24);
    else
        value = std::ldexp(1024 + fraction, exponent - 25);
    return sign ? -value : value;
}

// All 65,536 words of a format, in one embedding table.
void expect_conversion(Weights *, const std::string &path, qn_dtype dtype,
                       const std::function<double(uint16_t)> &value) {
    qn_config config = small_config("LlamaForCausalLM");
    config.vocab_size = 2048;
    SmallModel m(config, small_options(1, 8, kMode));
    ASSERT_TRUE(m.model);
    std::vector<Stored> tensors = stored(m);
    std::vector<uint16_t> words(65536);
    for (size_t i = 0; i < words.size(); i++) words[i] = (uint16_t)i;
    Stored *table = find(&tensors, "model.embed_tokens.weight");
    table->dtype = dtype;
    table->bytes = raw(words.data(), 2 * words.size());
    write_file(path + "/model.safetensors", tensors);
    ASSERT_OK(qn_model_load(m.model, path.c_str()));
    const std::vector<float> found = m.buffer(QN_BUF_PARAMS, 65536);
    for (size_t i = 0; i < words.size(); i++) {
        const float expected = (float)value(words[i]);
        if (std::isnan(expected)) {
            EXPECT_TRUE(std::isnan(found[i])) << i;
        } else {
            EXPECT_EQ(memcmp(&found[i], &expected, sizeof expected), 0)
                << i << ": " << found[i] << ", expected " << expected;
        }
    }
}

TEST_F(Weights, Fp16IsConverted) { expect_conversion(this, dir.path(), QN_F16, value_of_half); }

TEST_F(Weights, Bf16IsConverted) {
    expect_conversion(this, dir.path(), QN_BF16, [](uint16_t word) {
        const uint32_t bits = (uint32_t)word << 16;
        float x;
        memcpy(&x, &bits, sizeof x);
        return (double)x;
    });
}

// ---- files that do not fit --------------------------------------------------------------------

class BadWeights : public Weights {
  protected:
    BadWeights() : m(small_config("LlamaForCausalLM"), small_options(1, 8, kMode)) {}
    void SetUp() override {
        ASSERT_TRUE(m.model);
        tensors = stored(m);
        name = "model.layers.1.mlp.down_proj.weight";
    }
    SmallModel m;
    std::vector<Stored> tensors;
    std::string name;
};

TEST_F(BadWeights, MissingTensor) {
    find(&tensors, name)->name = "another";
    EXPECT_ERROR(load(&m, tensors), QN_CODE_INVALID, "model.safetensors", name);
}

TEST_F(BadWeights, MissingHeadOfAnUntiedModel) {
    SmallModel other(untied(small_config("LlamaForCausalLM")), small_options(1, 8, kMode));
    ASSERT_TRUE(other.model);
    EXPECT_ERROR(load(&other, tensors), QN_CODE_INVALID, "lm_head.weight");
}

TEST_F(BadWeights, WrongShape) {
    std::swap(find(&tensors, name)->shape[0], find(&tensors, name)->shape[1]);
    EXPECT_ERROR(load(&m, tensors), QN_CODE_INVALID, name, "(44, 32)", "(32, 44)");
}

TEST_F(BadWeights, WrongRank) {
    find(&tensors, name)->shape = {32 * 44};
    EXPECT_ERROR(load(&m, tensors), QN_CODE_INVALID, name, "rank 1", "rank 2");
    find(&tensors, name)->shape = {32, 44, 1};
    EXPECT_ERROR(load(&m, tensors), QN_CODE_INVALID, name, "rank 3", "rank 2");
}

TEST_F(BadWeights, WrongDtype) {
    Stored *s = find(&tensors, name);
    s->dtype = QN_I32;
    EXPECT_ERROR(load(&m, tensors), QN_CODE_UNSUPPORTED, name, "int32", "bf16");
    s->dtype = QN_F64;
    s->bytes += s->bytes;
    EXPECT_ERROR(load(&m, tensors), QN_CODE_UNSUPPORTED, name, "fp64");
}

TEST_F(BadWeights, NoFile) {
    EXPECT_ERROR(qn_model_load(m.model, dir.path().c_str()), QN_CODE_IO, "model.safetensors");
    EXPECT_ERROR(qn_model_save(m.model, (dir / "none").c_str(), nullptr), QN_CODE_IO, "none");
}

} // namespace
