// backend.h: the backends under test, each with every dtype that it stores, and memory of
// theirs that notices stray writes. Tests reach it through the table of operations only.
#ifndef QUERN_TESTS_BACKEND_H
#define QUERN_TESTS_BACKEND_H

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "quern/backend.h"
#include "quern/bf16.h"

namespace harness {

struct BackendUnderTest {
    const char *name;
    qn_status (*open)(int n_threads, qn_backend **out);
    std::vector<int> n_threads;   // each of them is a case
    bool sees_indices;            // refuses indices outside their tables
    int64_t fused_head_dim = 256; // the largest that fused attention takes, forward and backward
    bool emulated = false;        // slow: smaller shapes on the same paths
    int repeats = 1000;           // of what must give the same bits each time
};

// Conformance holds for each of these. The list is linked with the test: backends_cpu.cc, or
// that of another build.
std::vector<BackendUnderTest> backends_under_test();

inline void expect_ok(qn_status status) {
    EXPECT_EQ(qn_status_code(status), QN_CODE_OK) << qn_message(status);
    qn_status_free(status);
}

// The call was refused, and the message says all of `words`.
inline void expect_refused(qn_status status, qn_code code, const std::vector<std::string> &words) {
    EXPECT_EQ(qn_status_code(status), code) << qn_message(status);
    for (const std::string &word : words)
        EXPECT_NE(std::string(qn_message(status)).find(word), std::string::npos)
            << '"' << word << "\" is not in: " << qn_message(status);
    qn_status_free(status);
}

// x rounded to what the dtype can hold.
inline std::vector<float> rounded(qn_dtype dtype, std::vector<float> x) {
    if (dtype == QN_BF16)
        for (float &value : x) value = qn_round_bf16(value);
    return x;
}

// An open backend with one stream; tensors are stored in one of its dtypes.
class Device {
  public:
    Device(const BackendUnderTest &b, int n_threads)
        : sees_indices(b.sees_indices), fused_head_dim(b.fused_head_dim), emulated(b.emulated),
          repeats(b.repeats) {
        expect_ok(b.open(n_threads, &backend));
        expect_ok(ops().stream_create(backend, &stream));
        expect_ok(ops().device_info(backend, &info));
        storage = info.storage[0];
    }
    ~Device() {
        ops().stream_destroy(stream);
        ops().close(backend);
    }
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;

    const qn_ops &ops() const { return *backend->ops; }

    // What storage leaves of x: what a reference should be given.
    std::vector<float> stored(const std::vector<float> &x) const { return rounded(storage, x); }

    // With bf16 storage products are in bf16 too.
    bool computes(qn_dtype compute) const { return storage == QN_F32 || compute == QN_BF16; }
    qn_dtype compute() const { return computes(QN_F32) ? QN_F32 : QN_BF16; }

    qn_backend *backend = nullptr;
    qn_stream *stream = nullptr;
    qn_device_info info;
    qn_dtype storage;
    bool sees_indices;
    int64_t fused_head_dim;
    bool emulated;
    int repeats;
};

// Calls f(device) for every dtype that a backend stores.
template <typename F> void on_backend(const BackendUnderTest &b, int n_threads, F f) {
    Device device(b, n_threads);
    for (int i = 0; i < device.info.n_storage; i++) {
        device.storage = device.info.storage[i];
        SCOPED_TRACE(std::string(b.name) + ", " + std::to_string(n_threads) + " threads, " +
                     qn_dtype_name(device.storage));
        f(device);
    }
}

// Calls f(device) for every backend under test with each of its thread counts and dtypes.
template <typename F> void on_each_backend(F f) {
    for (const BackendUnderTest &b : backends_under_test())
        for (int n_threads : b.n_threads) on_backend(b, n_threads, f);
}

// The same with one thread count each, for what takes long.
template <typename F> void on_each_dtype(F f) {
    for (const BackendUnderTest &b : backends_under_test()) on_backend(b, b.n_threads.back(), f);
}

// ---- memory ---------------------------------------------------------------------

// Device memory full of NaN, with guards at both ends.
class DeviceBytes {
  public:
    enum { kGuard = 128, kPoison = 0xff }; // a NaN in every dtype

    DeviceBytes(Device &d, size_t bytes)
        : device(d), size(bytes), image(bytes + 2 * kGuard, kPoison) {
        expect_ok(device.ops().alloc(device.backend, image.size(), &memory));
        upload();
    }
    ~DeviceBytes() { device.ops().free(device.backend, memory); }
    DeviceBytes(const DeviceBytes &) = delete;
    DeviceBytes &operator=(const DeviceBytes &) = delete;

    void *data() const { return (char *)memory + kGuard; }

    // Replaces the content; `image` is what it should be when nobody writes.
    void upload() {
        expect_ok(device.ops().copy(device.stream, memory, image.data(), image.size(),
                                    QN_COPY_TO_DEVICE));
        expect_ok(device.ops().stream_sync(device.stream));
    }
    std::vector<unsigned char> download() const {
        std::vector<unsigned char> now(image.size());
        expect_ok(
            device.ops().copy(device.stream, now.data(), memory, now.size(), QN_COPY_TO_HOST));
        expect_ok(device.ops().stream_sync(device.stream));
        return now;
    }

    Device &device;
    size_t size;
    std::vector<unsigned char> image;

  private:
    void *memory = nullptr;
};

// Scratch memory of exactly the bytes that an operation asked for.
class Workspace : public DeviceBytes {
  public:
    Workspace(Device &d, size_t bytes) : DeviceBytes(d, bytes) {}
    void expect_guards_intact() const {
        std::vector<unsigned char> now = download();
        bool same = memcmp(now.data(), image.data(), kGuard) == 0 &&
                    memcmp(now.data() + kGuard + size, image.data() + kGuard + size, kGuard) == 0;
        EXPECT_TRUE(same) << "written outside the " << size << " bytes of workspace";
    }
};

// ---- tensors --------------------------------------------------------------------------

enum class Layout {
    kDense,
    kPadded,  // gaps after each row of each axis, and a start that is not aligned
    kAligned, // gaps after each row of each axis, whose start is aligned to 16 bytes
};

template <typename T> constexpr qn_dtype dtype_of();
template <> constexpr qn_dtype dtype_of<float>() { return QN_F32; }
template <> constexpr qn_dtype dtype_of<int32_t>() { return QN_I32; }
template <> constexpr qn_dtype dtype_of<int64_t>() { return QN_I64; }
template <> constexpr qn_dtype dtype_of<uint16_t>() { return QN_BF16; }

// A tensor on the device. Its values enter and leave as dense vectors; what lies between
// its rows and around it must never change.
template <typename T> class DeviceTensor {
  public:
    // Poisoned.
    DeviceTensor(Device &d, const std::vector<int64_t> &shape, Layout layout = Layout::kPadded)
        : DeviceTensor(d, dtype_of<T>(), shape, layout) {}
    DeviceTensor(Device &d, const std::vector<int64_t> &shape, const std::vector<T> &values,
                 Layout layout = Layout::kPadded)
        : DeviceTensor(d, shape, layout) {
        write(values);
    }

    void write(const std::vector<T> &values) {
        each([&](size_t at, size_t i) { put(&bytes.image[at], values[i]); });
        bytes.upload();
    }

    // The values; fails the test when anything outside them has changed.
    std::vector<T> read() const {
        std::vector<unsigned char> now = bytes.download(), rest = bytes.image;
        std::vector<T> values((size_t)qn_tensor_numel(&view));
        each([&](size_t at, size_t i) {
            values[i] = get(&now[at]);
            memcpy(&rest[at], &now[at], qn_dtype_size(view.dtype));
        });
        EXPECT_EQ(rest == now, true) << "written outside the tensor";
        return values;
    }
    void expect_untouched() const {
        EXPECT_EQ(bytes.download() == bytes.image, true) << "an output was touched";
    }

    operator qn_tensor() const { return view; }

    qn_tensor view;

  protected:
    DeviceTensor(Device &d, qn_dtype dtype, const std::vector<int64_t> &shape, Layout layout)
        : view(layout_view(dtype, shape, layout)), start(layout == Layout::kPadded ? 1 : 0),
          bytes(d, (start + span(view)) * qn_dtype_size(dtype)) {
        view.data = (char *)bytes.data() + start * qn_dtype_size(dtype);
    }

  private:
    static qn_tensor layout_view(qn_dtype dtype, const std::vector<int64_t> &shape, Layout layout) {
        qn_tensor t = qn_tensor_make(nullptr, dtype, (int)shape.size(), shape.data());
        int64_t step = 1;
        for (int i = t.rank - 1; i >= 0; i--) {
            t.stride[i] = step;
            step = next_step(step * t.shape[i], layout);
        }
        return t;
    }
    static int64_t next_step(int64_t length, Layout layout) {
        return layout == Layout::kDense    ? length
               : layout == Layout::kPadded ? length + 3
                                           : (length + 15) / 8 * 8;
    }
    static size_t span(const qn_tensor &t) {
        int64_t last = 0;
        for (int i = 0; i < t.rank; i++) {
            if (t.shape[i] == 0) return 0;
            last += (t.shape[i] - 1) * t.stride[i];
        }
        return (size_t)last + 1;
    }
    // Floats may be stored in bf16, which must hold them as they are.
    bool is_narrow() const { return std::is_same<T, float>::value && view.dtype == QN_BF16; }
    void put(unsigned char *to, T value) const {
        const uint16_t word = is_narrow() ? qn_bf16_of_float((float)value) : 0;
        if (!is_narrow())
            memcpy(to, &value, sizeof value);
        else if (value == value && (T)qn_float_of_bf16(word) != value)
            ADD_FAILURE() << value << " was not rounded to bf16 before it was written";
        else
            memcpy(to, &word, sizeof word);
    }
    T get(const unsigned char *from) const {
        uint16_t word;
        memcpy(&word, from, sizeof word);
        T value = (T)qn_float_of_bf16(word);
        if (!is_narrow()) memcpy(&value, from, sizeof value);
        return value;
    }

    // f(byte in the image, index in the dense vector)
    template <typename F> void each(F f) const {
        size_t i = 0;
        for (int64_t a = 0; a < view.shape[0]; a++)
            for (int64_t b = 0; b < view.shape[1]; b++)
                for (int64_t c = 0; c < view.shape[2]; c++)
                    for (int64_t d = 0; d < view.shape[3]; d++) {
                        int64_t at = start + a * view.stride[0] + b * view.stride[1] +
                                     c * view.stride[2] + d * view.stride[3];
                        f((size_t)at * qn_dtype_size(view.dtype) + DeviceBytes::kGuard, i++);
                    }
    }

    int64_t start;
    DeviceBytes bytes;
};

using Floats = DeviceTensor<float>; // always fp32
using Ints = DeviceTensor<int32_t>;

// Floats in the device's storage dtype.
class Stored : public DeviceTensor<float> {
  public:
    Stored(Device &d, const std::vector<int64_t> &shape, Layout layout = Layout::kPadded)
        : DeviceTensor(d, d.storage, shape, layout) {}
    Stored(Device &d, const std::vector<int64_t> &shape, const std::vector<float> &values,
           Layout layout = Layout::kPadded)
        : Stored(d, shape, layout) {
        write(values);
    }
};

inline qn_tensor absent() { return qn_tensor{}; }

} // namespace harness

#endif
