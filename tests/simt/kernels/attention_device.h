// attention_device.h: what attention kernels read and write in the tests: bf16 tensors in device
// memory, with poison wherever nothing belongs, and how their results are judged.
#ifndef QUERN_TESTS_SIMT_KERNELS_ATTENTION_DEVICE_H
#define QUERN_TESTS_SIMT_KERNELS_ATTENTION_DEVICE_H

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "attention/launch.h"
#include "harness/attention_case.h"
#include "prim/prim.h"

namespace attention {

using harness::documents;
using harness::make_shape;
using reference::AttentionInputs;
using reference::AttentionResult;
using reference::AttentionShape;

// The emulated device: what launchers know of it. Its fused kernels may have the shared memory that
// they need.
const qn_cuda_queue *queue();

constexpr uint16_t kPoison = 0x7fd5; // a NaN of our own

inline float from_bits(uint16_t bits) { return from_bf16(bf16{bits}); }

// Memory of the emulated device, freed at the end of a scope.
template <typename T> class DeviceArray {
  public:
    explicit DeviceArray(size_t n)
        : n_(n),
          data_((T *)simt::device_allocate(std::max(n, (size_t)1) * sizeof(T)), simt::device_free) {
    }
    DeviceArray(size_t n, T value) : DeviceArray(n) { std::fill(data(), data() + n, value); }
    explicit DeviceArray(const std::vector<T> &x) : DeviceArray(x.size()) {
        std::copy(x.begin(), x.end(), data());
    }
    T *data() const { return data_.get(); }
    size_t size() const { return n_; }
    std::vector<T> host() const { return std::vector<T>(data(), data() + n_); }

  private:
    size_t n_;
    std::unique_ptr<T, void (*)(void *)> data_;
};

// A (B,T,H,D) bf16 tensor; `pad` elements, a multiple of 8 for what the kernels read without a
// copy, follow each head, row and sequence.
class Tensor {
  public:
    Tensor(int64_t b, int64_t t, int64_t h, int64_t d, int64_t pad = 0)
        : b_(b), t_(t), h_(h), d_(d), head_(d + pad), row_(h * head_ + pad), batch_(t * row_ + pad),
          memory_((size_t)(b * batch_) + 1, kPoison) {}

    // Heads [first, first + n).
    qn_attn_view view(int64_t first = 0) const {
        return {memory_.data() + first * head_, batch_, row_, head_};
    }

    void fill(const std::vector<float> &dense, int64_t first, int64_t n) {
        each(first, n, [&](size_t at, size_t i) { memory_.data()[at] = to_bf16(dense[i]).bits; });
    }
    void fill(const std::vector<float> &dense) { fill(dense, 0, h_); }

    std::vector<float> read(int64_t first, int64_t n) const {
        std::vector<float> dense((size_t)(b_ * t_ * n * d_));
        each(first, n, [&](size_t at, size_t i) { dense[i] = from_bits(memory_.data()[at]); });
        return dense;
    }
    std::vector<float> read() const { return read(0, h_); }

    // Nothing was written outside of the heads.
    void expect_gaps_intact(const char *name) const {
        std::vector<bool> owned(memory_.size(), false);
        each(0, h_, [&](size_t at, size_t) { owned[at] = true; });
        for (size_t i = 0; i < owned.size(); i++)
            ASSERT_TRUE(owned[i] || memory_.data()[i] == kPoison)
                << name << ": element " << i << " between rows was overwritten";
    }

  private:
    template <typename F> void each(int64_t first, int64_t n, F f) const {
        size_t i = 0;
        for (int64_t b = 0; b < b_; b++)
            for (int64_t t = 0; t < t_; t++)
                for (int64_t h = first; h < first + n; h++)
                    for (int64_t d = 0; d < d_; d++)
                        f((size_t)(b * batch_ + t * row_ + h * head_ + d), i++);
    }

    int64_t b_, t_, h_, d_, head_, row_, batch_;
    DeviceArray<uint16_t> memory_;
};

struct Case {
    AttentionShape shape;
    int64_t pad = 0;
    bool slices = false; // q, k and v lie in one buffer; needs Tq == Tk
    bool stats = false;
    int32_t local_window = 8;
    uint32_t seed = 1;
    float spread = 1; // standard deviation of q and k
};

// Every value is a bf16.
AttentionInputs<float> random_inputs(const Case &c);

// q, k, v, o, lse, masks and statistics of one call.
class Call {
  public:
    Call(const Case &c, const AttentionInputs<float> &in);

    // o, lse and the statistics.
    AttentionResult<float> result() const;
    void expect_gaps_intact() const;

    qn_attn_params params = {};

  private:
    int64_t lse_row() const { return c.pad ? 2 : 1; }

    void set_lse();
    void set_options();
    void set_stats();

    const Case c;
    const AttentionShape s;
    int64_t width;
    Tensor q, k, v, o;
    DeviceArray<float> lse;
    DeviceArray<int32_t> doc_start;
    DeviceArray<float> sums;
    DeviceArray<int64_t> counts;
    DeviceArray<qn_attn_tile_stats> parts;
};

// In double, and in the arithmetic that the kernels are measured against: bf16 operands of
// every product, fp32 sums, a bf16 result.
struct Expected {
    AttentionResult<double> exact;
    AttentionResult<float> plain;
};

Expected expected(const Case &c, const AttentionInputs<float> &in);

} // namespace attention

#endif
