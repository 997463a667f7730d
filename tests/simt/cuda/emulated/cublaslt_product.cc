// cublaslt_product.cc: the arithmetic: column-major, in fp32, over strided batches. It reads
// nothing that the real one does not read, and spoils its workspace.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "quern/bf16.h"
#include "simt/config.h"
#include "simt/cuda/emulated/cublaslt.h"
#include "simt/cuda/emulated/memory.h"
#include "simt/text.h"

namespace simt {

static float load(cudaDataType type, const char *from) {
    float x;
    uint16_t bits;
    if (type == CUDA_R_32F) {
        memcpy(&x, from, sizeof x);
        return x;
    }
    memcpy(&bits, from, sizeof bits);
    return qn_float_of_bf16(bits);
}

static void store(cudaDataType type, char *to, float x) {
    const uint16_t bits = qn_bf16_of_float(x);
    if (type == CUDA_R_32F)
        memcpy(to, &x, sizeof x);
    else
        memcpy(to, &bits, sizeof bits);
}

static int64_t offset(const cublasLtMatrixLayout &x, int64_t batch, int64_t row, int64_t col) {
    return (batch * x.step + col * x.ld + row) * (int64_t)x.element();
}

static float load(const cublasLtMatrixLayout &x, const char *data, bool turned, int64_t batch,
                  int64_t row, int64_t col) {
    if (turned) std::swap(row, col);
    return load(x.type, data + offset(x, batch, row, col));
}

// ---- memory ---------------------------------------------------------------------------------

static void check_matrix(const cublasLtMatrixLayout &x, const char *data, const char *name,
                         uint64_t alignment) {
    for (int64_t batch = 0; batch < x.batch; batch++) {
        if ((uintptr_t)(data + offset(x, batch, 0, 0)) % alignment)
            throw Error(format("cublasLtMatmul: %s %lld of a batch is not aligned to the %llu "
                               "bytes it was said to be",
                               name, (long long)batch, (unsigned long long)alignment));
        for (int64_t col = 0; col < x.cols; col++)
            check_device_range(data + offset(x, batch, 0, col), (size_t)x.rows * x.element(),
                               "cublasLtMatmul");
    }
}

void Product::check() const {
    check_matrix(a_layout, a, "A", chosen.alignment[0]);
    check_matrix(b_layout, b, "B", chosen.alignment[1]);
    if (beta != 0) check_matrix(c_layout, c, "C", chosen.alignment[2]);
    check_matrix(d_layout, d, "D", chosen.alignment[3]);
    check_device_range(workspace, chosen.workspace, "cublasLtMatmul, workspace");
    const size_t rows = (size_t)d_layout.rows * d_layout.element();
    if (desc.takes_bias()) check_device_range(desc.bias, rows, "cublasLtMatmul, bias");
    for (int64_t col = 0; desc.takes_aux() && col < d_layout.cols; col++)
        check_device_range((char *)desc.aux + col * desc.aux_ld * 2, rows, "cublasLtMatmul, aux");
}

// ---- arithmetic --------------------------------------------------------------------------------

static float gelu_tanh(float x, float *derivative) {
    const float root = 0.7978845608f; // √(2/π)
    const float t = std::tanh(root * (x + 0.044715f * x * x * x));
    *derivative = 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * root * (1 + 3 * 0.044715f * x * x);
    return 0.5f * x * (1 + t);
}

// What becomes of one element before it is stored in D.
static float finish(const Product &p, int64_t row, int64_t col, float x) {
    char *const aux = (char *)p.desc.aux + (col * p.desc.aux_ld + row) * 2;
    float derivative;
    if (p.desc.takes_bias()) x += load(CUDA_R_16BF, (const char *)p.desc.bias + row * 2);
    if (p.desc.writes_aux()) {
        store(CUDA_R_16BF, aux, x);
        return gelu_tanh(x, &derivative);
    }
    if (p.desc.epilogue != CUBLASLT_EPILOGUE_DGELU) return x;
    gelu_tanh(load(CUDA_R_16BF, aux), &derivative);
    return x * derivative;
}

static float rounded(cudaDataType type, float x) {
    return type == CUDA_R_16BF ? qn_float_of_bf16(qn_bf16_of_float(x)) : x;
}

namespace {

struct Batch {
    const Product &p;
    int64_t index, rows, cols, depth;
    std::vector<float> left; // op(A), column by column

    Batch(const Product &p, int64_t index)
        : p(p), index(index), rows(p.d_layout.rows), cols(p.d_layout.cols),
          depth(p.desc.op_a == CUBLAS_OP_T ? p.a_layout.rows : p.a_layout.cols),
          left((size_t)(rows * depth)) {
        for (int64_t k = 0; k < depth; k++)
            for (int64_t row = 0; row < rows; row++)
                left[(size_t)(k * rows + row)] =
                    load(p.a_layout, p.a, p.desc.op_a == CUBLAS_OP_T, index, row, k);
    }

    // One column of op(A)·op(B) over k in [begin, end).
    std::vector<float> column(int64_t col, int64_t begin, int64_t end) const {
        std::vector<float> sums((size_t)rows);
        for (int64_t k = begin; k < end; k++) {
            const float x = load(p.b_layout, p.b, p.desc.op_b == CUBLAS_OP_T, index, k, col);
            for (int64_t row = 0; row < rows; row++)
                sums[(size_t)row] += left[(size_t)(k * rows + row)] * x;
        }
        return sums;
    }

    // The parts of the sum, which meet in the type of D.
    std::vector<float> column(int64_t col) const {
        const int64_t parts = (int64_t)p.chosen.parts;
        if (parts == 1) return column(col, 0, depth);
        std::vector<float> sums((size_t)rows);
        for (int64_t part = 0; part < parts; part++) {
            const auto some = column(col, depth * part / parts, depth * (part + 1) / parts);
            for (size_t row = 0; row < sums.size(); row++)
                sums[row] =
                    rounded(p.d_layout.type, sums[row] + rounded(p.d_layout.type, some[row]));
        }
        return sums;
    }

    void run() const {
        for (int64_t col = 0; col < cols; col++) {
            const std::vector<float> sums = column(col);
            for (int64_t row = 0; row < rows; row++) {
                float x = p.alpha * sums[(size_t)row];
                if (p.beta != 0) x += p.beta * load(p.c_layout, p.c, false, index, row, col);
                store(p.d_layout.type, p.d + offset(p.d_layout, index, row, col),
                      finish(p, row, col, x));
            }
        }
    }
};

} // namespace

void Product::run() const {
    if (chosen.workspace) memset(workspace, 0xff, chosen.workspace);
    for (int64_t index = 0; index < d_layout.batch; index++) Batch(*this, index).run();
}

} // namespace simt
