// How much host memory a checkpoint takes besides the plan's: tensors pass through a buffer of
// bounded size, whatever the model's.
#include <sys/resource.h>

#include <fstream>

#include "harness/small_model.h"
#include "harness/temp_dir.h"
#include "quern/checkpoint.h"
#include "quern/safetensors.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

namespace {

// Bytes of private data that the process has mapped: what RLIMIT_DATA counts.
size_t data_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind("VmData:", 0) == 0) return std::stoull(line.substr(7)) * 1024;
    ADD_FAILURE() << "no VmData";
    return 0;
}

// While it lives, the process cannot take more than `more` bytes of data than it has.
class DataLimit {
  public:
    explicit DataLimit(size_t more) {
        getrlimit(RLIMIT_DATA, &before_);
        rlimit limit = before_;
        limit.rlim_cur = data_bytes() + more;
        EXPECT_EQ(setrlimit(RLIMIT_DATA, &limit), 0);
    }
    ~DataLimit() { setrlimit(RLIMIT_DATA, &before_); }

  private:
    rlimit before_;
};

// 50 MB of parameters, most in one table of 47 MB, and twice that of moments.
qn_config wide_config() {
    qn_config c = small_config("LlamaForCausalLM");
    c.vocab_size = 96 * 1024;
    c.hidden_size = 128;
    c.ffn_size = 256;
    return c;
}

enum { SLACK = 2 << 20 }; // tables, paths, JSON

} // namespace

TEST(HostMemory, SavingAndLoadingStayWithinTheStagingBuffer) {
#ifdef SANITIZED
    GTEST_SKIP() << "a sanitizer keeps memory of its own";
#endif
    const qn_plan_options options = small_options(1, 8);
    const qn_config config = wide_config();
    TempDir dir;
    qn_backend *backend;
    qn_model *model;
    ASSERT_OK(qn_cpu_open(1, &backend));
    ASSERT_OK(qn_model_create(backend, &config, &options, &model));
    const qn_train_state state = {1, 8, 1, 0.5, {}};
    ASSERT_GT(qn_model_params(model)->n_elements * sizeof(float), 3u * QN_STAGING_BYTES);
    {
        const DataLimit limit(QN_STAGING_BYTES + SLACK);
        void *hog = malloc(2 * QN_STAGING_BYTES);
        EXPECT_EQ(hog, nullptr) << "the limit holds";
        free(hog);
        ASSERT_OK(qn_checkpoint_save(dir.path().c_str(), model, &state, nullptr, 1, 0));
        ASSERT_OK(qn_checkpoint_load((dir / "checkpoints/step-1").c_str(), model));
    }
    qn_model_destroy(model);
    backend->ops->close(backend);
}

TEST(HostMemory, TensorsLongerThanTheBufferComeBackWhole) {
    qn_config config = wide_config();
    config.n_layers = 1;
    const qn_plan_options options = small_options(1, 8, QN_PLAN_EVAL);
    TempDir dir;
    qn_backend *backend;
    qn_model *model;
    ASSERT_OK(qn_cpu_open(1, &backend));
    ASSERT_OK(qn_model_create(backend, &config, &options, &model));
    const int64_t count = qn_model_params(model)->n_elements;
    float *values = (float *)qn_model_buffer(model, QN_BUF_PARAMS);
    for (int64_t i = 0; i < count; i++) values[i] = (float)i; // below 2^24: exact
    ASSERT_LT(count, 1 << 24);
    const std::vector<float> expected(values, values + count);
    ASSERT_OK(qn_model_save(model, dir.path().c_str(), nullptr));
    memset(values, 0, (size_t)count * sizeof *values);
    ASSERT_OK(qn_model_load(model, dir.path().c_str()));
    const qn_params *params = qn_model_params(model);
    for (int i = 0; i < params->count; i++) {
        const qn_param &p = params->items[i];
        EXPECT_EQ(memcmp(values + p.offset, &expected[p.offset], p.count * sizeof(float)), 0)
            << p.name;
    }
    qn_model_destroy(model);
    backend->ops->close(backend);
}
