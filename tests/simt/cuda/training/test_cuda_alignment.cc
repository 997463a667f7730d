// test_cuda_alignment.cc: what models ask of cuBLASLt lies in whole vectors of 16 bytes, as its
// fast kernels take it, for vocabularies of any size.
#include "harness/small_model.h"
#include "simt/cuda/emulated/gpu.h"

namespace {

// Every width is a multiple of 8, as those of real models are; the vocabulary is not.
qn_config odd_vocabulary(const char *architecture) {
    qn_config c = small_config(architecture);
    c.ffn_size = 48;
    return c;
}

struct Products {
    int all, unaligned;
};

template <typename Pass> Products products_of(Pass &&pass) {
    const simt::CublasLtUse before = simt::cublaslt_use();
    pass();
    const simt::CublasLtUse after = simt::cublaslt_use();
    return {after.products - before.products, after.unaligned - before.unaligned};
}

Products products_of_step(const qn_config &config) {
    SmallModel m(config, bf16_storage(small_options(2, 8)));
    return products_of([&] { m.step(random_batch(config, 2, 8, 1)); });
}

TEST(CudaAlignment, OfEveryProductOfAStep) {
    for (const char *name : {"GPT2LMHeadModel", "Qwen3ForCausalLM"})
        for (bool tied : {true, false}) {
            qn_config config = odd_vocabulary(name);
            config.tie_embeddings = tied;
            const Products products = products_of_step(config);
            EXPECT_EQ(products.all, 2 * 3 * 4 + 3) << name; // layers, passes, projections; logits
            EXPECT_EQ(products.unaligned, 0) << name;
        }
}

// The count above can be other than 0.
TEST(CudaAlignment, IsMissedByOddWidths) {
    qn_config config = odd_vocabulary("GPT2LMHeadModel");
    config.ffn_size = 49;
    EXPECT_GT(products_of_step(config).unaligned, 0);
}

TEST(CudaAlignment, OfEveryProductWithoutGradients) {
    const qn_config config = odd_vocabulary("GPT2LMHeadModel");
    const reference::Batch batch = random_batch(config, 2, 8, 1);
    SmallModel eval(config, bf16_storage(small_options(2, 8, QN_PLAN_EVAL)));
    SmallModel generate(config, bf16_storage(small_options(2, 8, QN_PLAN_GENERATE)));
    const qn_batch b = view(batch);
    double loss;
    std::vector<float> logits((size_t)(2 * config.vocab_size));
    const Products products = products_of([&] {
        EXPECT_OK(qn_model_evaluate(eval.model, &b, &loss));
        EXPECT_OK(qn_model_extend(generate.model, batch.tokens.data(), 0, 8, logits.data()));
    });
    EXPECT_EQ(products.all, 2 * (2 * 4 + 1));
    EXPECT_EQ(products.unaligned, 0);
}

} // namespace
