// test_cuda_products.cc: what the CUDA backend asks of cuBLASLt: a plan once for each kind of
// product, epilogues where the operands fit them, and the same results where it has none.
#include "cublasLt.h"
#include "harness/accuracy.h"
#include "harness/backend.h"
#include "harness/random.h"
#include "simt/cuda/emulated/gpu.h"
#include "simt/stream.h"

using namespace harness;

namespace {

// How the operands of a call lie.
struct Layouts {
    Layout a, b, c, aux, bias;
    Layouts(Layout all) : a(all), b(all), c(all), aux(all), bias(all) {}
};

// One call of gemm over memory of its own.
class Call {
  public:
    Call(Device &d, qn_epilogue epilogue, int64_t m, int64_t n, int64_t k, Layouts layout,
         bool transpose_a = false)
        : d(d), a(d, transpose_a ? std::vector<int64_t>{k, m} : std::vector<int64_t>{m, k},
                  values(d, m * k), layout.a),
          b(d, {k, n}, values(d, k * n), layout.b), aux(d, {m, n}, values(d, m * n), layout.aux),
          bias(d, {n}, values(d, n), layout.bias), c(d, {m, n}, layout.c) {
        args.a = a;
        args.b = b;
        args.c = c;
        args.transpose_a = transpose_a;
        args.compute = QN_BF16;
        args.epilogue = epilogue;
        if (epilogue == QN_EPILOGUE_BIAS || epilogue == QN_EPILOGUE_GELU) args.bias = bias;
        if (epilogue == QN_EPILOGUE_GELU || epilogue == QN_EPILOGUE_DGELU) args.aux = aux;
    }
    qn_status start(const Workspace &workspace) {
        args.workspace = workspace.data();
        return d.ops().gemm(d.stream, &args);
    }
    Workspace workspace() { return Workspace(d, d.ops().gemm_workspace(d.backend, &args)); }
    std::vector<float> run() {
        Workspace workspace(d, d.ops().gemm_workspace(d.backend, &args));
        expect_ok(start(workspace));
        expect_ok(d.ops().stream_sync(d.stream));
        workspace.expect_guards_intact();
        return c.read();
    }
    std::vector<float> read_aux() const { return aux.read(); }

  private:
    static std::vector<float> values(Device &d, int64_t n) {
        return d.stored(Random(7).normal((size_t)n));
    }
    Device &d;
    Stored a, b, aux, bias, c;
    qn_gemm_args args = {};
};

const qn_epilogue kElementwise[] = {QN_EPILOGUE_BIAS, QN_EPILOGUE_GELU, QN_EPILOGUE_DGELU};

int searches() { return simt::cublaslt_use().heuristics; }

class CudaProducts : public testing::Test {
  protected:
    simt::ScopedGpu restored_gpu;
};

TEST_F(CudaProducts, APlanIsMadeOnce) {
    on_each_backend([&](Device &d) {
        const int before = searches();
        for (int i = 0; i < 3; i++) // each time elsewhere in memory
            for (qn_epilogue epilogue : kElementwise)
                Call(d, epilogue, 4, 8, 16, Layout::kAligned).run();
        EXPECT_EQ(searches() - before, 3);
        Call(d, QN_EPILOGUE_BIAS, 4, 8, 16, Layout::kDense).run(); // other strides
        Call(d, QN_EPILOGUE_NONE, 4, 8, 16, Layout::kAligned).run();
        Call(d, QN_EPILOGUE_NONE, 4, 8, 16, Layout::kPadded).run(); // other alignment
        EXPECT_EQ(searches() - before, 6);
    });
}

// Memory of the tests begins a guard past a multiple of 256 bytes.
TEST_F(CudaProducts, AlgorithmsAreChosenForTheWholeAlignment) {
    on_each_backend([&](Device &d) {
        Call(d, QN_EPILOGUE_NONE, 4, 8, 16, Layout::kDense).run();
        EXPECT_EQ(simt::cublaslt_use().aligned, (uint32_t)DeviceBytes::kGuard);
        Call(d, QN_EPILOGUE_NONE, 4, 8, 16, Layout::kPadded).run();
        EXPECT_LT(simt::cublaslt_use().aligned, 16u);
    });
}

// A workspace is aligned to 64 bytes, and cuBLASLt is handed what it needs of it.
TEST_F(CudaProducts, AnyWorkspaceServes) {
    on_each_backend([&](Device &d) {
        qn_gemm_args args = {};
        Stored a(d, {8, 16}), b(d, {16, 8}), c(d, {8, 8});
        args.a = a;
        args.b = b;
        args.c = c;
        args.compute = QN_BF16;
        const size_t bytes = d.ops().gemm_workspace(d.backend, &args);
        for (size_t past : {0, 64, 128, 192}) {
            Workspace workspace(d, past + bytes);
            args.workspace = (char *)workspace.data() + past;
            expect_ok(d.ops().gemm(d.stream, &args));
            expect_ok(d.ops().stream_sync(d.stream));
            workspace.expect_guards_intact();
        }
    });
}

TEST_F(CudaProducts, TheTableOfPlansGrows) {
    on_each_backend([&](Device &d) {
        const int before = searches();
        for (int round = 0; round < 2; round++)
            for (int64_t m = 1; m <= 40; m++)
                Call(d, QN_EPILOGUE_NONE, m, 2, 3, Layout::kDense).run();
        EXPECT_EQ(searches() - before, 40);
    });
}

TEST_F(CudaProducts, NothingIsLeftWhenTheDeviceIsClosed) {
    on_each_backend([&](Device &d) {
        for (qn_epilogue epilogue : kElementwise)
            Call(d, epilogue, 4, 8, 16, Layout::kAligned).run();
        EXPECT_GT(simt::cublaslt_use().descriptions, 0);
    });
    EXPECT_EQ(simt::cublaslt_use().descriptions, 0);
}

// Which epilogues cuBLASLt is asked for; it refuses those whose operands do not fit.
TEST_F(CudaProducts, EpiloguesAreFusedWhereOperandsFit) {
    on_each_backend([&](Device &d) {
        auto fused = [&](qn_epilogue epilogue, int64_t m, int64_t n, int64_t k, Layout layout) {
            const int before = simt::cublaslt_use().epilogues;
            Call(d, epilogue, m, n, k, layout).run();
            return simt::cublaslt_use().epilogues - before;
        };
        for (qn_epilogue epilogue : kElementwise) {
            EXPECT_EQ(fused(epilogue, 4, 8, 16, Layout::kDense), 1);
            EXPECT_EQ(fused(epilogue, 5, 7, 9, Layout::kAligned), 1);
            EXPECT_EQ(fused(epilogue, 1, 7, 9, Layout::kAligned), 1);
            EXPECT_EQ(fused(epilogue, 4, 8, 16, Layout::kPadded), 0);
            EXPECT_EQ(fused(epilogue, 4, 7, 16, Layout::kDense), 0);
        }
        EXPECT_EQ(fused(QN_EPILOGUE_NONE, 4, 8, 16, Layout::kDense), 0);
    });
}

TEST_F(CudaProducts, OneOperandThatDoesNotFitIsEnough) {
    on_each_backend([&](Device &d) {
        for (qn_epilogue epilogue : kElementwise) {
            const std::vector<float> expected =
                Call(d, epilogue, 18, 16, 8, Layout::kAligned).run();
            for (Layout Layouts::*operand :
                 {&Layouts::a, &Layouts::b, &Layouts::c, &Layouts::aux, &Layouts::bias}) {
                if (operand == &Layouts::bias && epilogue == QN_EPILOGUE_DGELU) continue;
                if (operand == &Layouts::aux && epilogue == QN_EPILOGUE_BIAS) continue;
                Layouts layouts(Layout::kAligned);
                layouts.*operand = Layout::kPadded;
                const int before = simt::cublaslt_use().epilogues;
                const std::vector<float> c = Call(d, epilogue, 18, 16, 8, layouts).run();
                expect_stored(QN_BF16, "c", c, convert<double>(expected), expected);
                EXPECT_EQ(simt::cublaslt_use().epilogues, before);
            }
        }
    });
}

// A cuBLASLt that has no such algorithms gives what the one that has gives, and is not asked
// again.
TEST_F(CudaProducts, WithoutAlgorithmsForEpilogues) {
    on_each_backend([&](Device &d) {
        for (qn_epilogue epilogue : kElementwise) {
            simt::gpu().has_epilogues = true;
            Call fused(d, epilogue, 24, 40, 16, Layout::kDense);
            const std::vector<float> c = fused.run();
            simt::gpu().has_epilogues = false;
            Device other(
                {"cuda", [](int, qn_backend **out) { return qn_cuda_open(out); }, {1}, false}, 1);
            for (int i = 0; i < 2; i++) {
                const int before = searches();
                Call passes(other, epilogue, 24, 40, 16, Layout::kDense);
                expect_stored(QN_BF16, "c", passes.run(), convert<double>(c), c);
                if (epilogue == QN_EPILOGUE_GELU)
                    expect_same_bits("aux", passes.read_aux(), fused.read_aux());
                EXPECT_EQ(searches() - before, i == 0 ? 2 : 0);
            }
        }
    });
}

// An error of cuBLASLt says which of a model's many products it is about.
TEST_F(CudaProducts, ErrorsNameTheProduct) {
    on_each_backend([&](Device &d) {
        auto refused = [&](qn_epilogue epilogue, qn_code code, std::vector<std::string> words) {
            Call call(d, epilogue, 8, 24, 16, Layout::kDense, true);
            const Workspace workspace = call.workspace();
            for (const char *word : {"m 8, n 24, k 16, batch 1", "A bf16 transposed, B bf16,",
                                     "workspace 524288 bytes"})
                words.push_back(word);
            expect_refused(call.start(workspace), code, words);
        };
        simt::gpu().product_error = CUBLAS_STATUS_EXECUTION_FAILED;
        refused(QN_EPILOGUE_NONE, QN_CODE_IO, {"C bf16", "epilogue none", "multiplying matrices"});
        refused(QN_EPILOGUE_BIAS, QN_CODE_IO, {"C bf16", "epilogue BIAS"});
        refused(QN_EPILOGUE_GELU, QN_CODE_IO, {"C bf16", "epilogue GELU_AUX_BIAS"});
        refused(QN_EPILOGUE_DGELU, QN_CODE_IO, {"C bf16", "epilogue DGELU"});
    });
    on_each_backend([&](Device &d) {
        simt::gpu().has_products = false;
        Call call(d, QN_EPILOGUE_NONE, 4, 8, 16, Layout::kDense);
        const Workspace workspace = call.workspace();
        expect_refused(call.start(workspace), QN_CODE_UNSUPPORTED,
                       {"m 4, n 8, k 16", "A bf16, B bf16", "no algorithm", "update cuBLAS"});
    });
}

// More rows than the fp32 part of the workspace holds at a time.
TEST_F(CudaProducts, PassesGoByRows) {
    const int64_t m = 9, n = 1 << 19, k = 1; // 8 rows take 16 MiB
    on_each_backend([&](Device &d) {
        const std::vector<float> a = d.stored(Random(7).normal((size_t)(m * k)));
        const std::vector<float> b = d.stored(Random(7).normal((size_t)n));
        for (bool transpose_a : {false, true}) {
            Call call(d, QN_EPILOGUE_BIAS, m, n, k, Layout::kPadded, transpose_a);
            const std::vector<float> c = call.run();
            int wrong = 0;
            for (int64_t i = 0; i < m; i++)
                for (int64_t j = 0; j < n; j++) // bias has the values of b
                    wrong += c[i * n + j] != qn_round_bf16(a[i] * b[j] + b[j]);
            EXPECT_EQ(wrong, 0);
        }
    });
}

// Streams that do nothing until they are waited for: no call waits inside, and the arguments are
// not looked at again.
TEST_F(CudaProducts, NeedNoWaitInside) {
    simt::defer_streams(true);
    on_each_backend([&](Device &d) {
        for (Layout layout : {Layout::kAligned, Layout::kPadded})
            for (qn_epilogue epilogue : kElementwise) {
                const std::vector<float> later = Call(d, epilogue, 17, 24, 9, layout).run();
                simt::defer_streams(false);
                expect_same_bits("c", later, Call(d, epilogue, 17, 24, 9, layout).run());
                simt::defer_streams(true);
            }
    });
    simt::defer_streams(false);
}

} // namespace
