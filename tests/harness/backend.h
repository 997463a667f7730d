// backend.h: the backends under test, and memory of theirs that notices stray writes.
// Tests reach it through the table of operations only.
#ifndef QUERN_TESTS_BACKEND_H
#define QUERN_TESTS_BACKEND_H

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "quern/backend.h"

namespace harness {

struct BackendCase {
    const char *name;
    int n_threads;
};

// Conformance holds for each of these.
inline std::vector<BackendCase> backend_cases() { return {{"cpu", 1}, {"cpu", 2}, {"cpu", 3}}; }

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

// An open backend with one stream.
class Device {
  public:
    explicit Device(const BackendCase &c) {
        expect_ok(qn_backend_open(c.name, c.n_threads, &backend));
        expect_ok(ops().stream_create(backend, &stream));
    }
    ~Device() {
        ops().stream_destroy(stream);
        ops().close(backend);
    }
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;

    const qn_ops &ops() const { return *backend->ops; }

    qn_backend *backend = nullptr;
    qn_stream *stream = nullptr;
};

// Calls f(device) for every backend under test.
template <typename F> void on_each_backend(F f) {
    for (const BackendCase &c : backend_cases()) {
        SCOPED_TRACE(std::string(c.name) + ", " + std::to_string(c.n_threads) + " threads");
        Device device(c);
        f(device);
    }
}

// ---- memory ---------------------------------------------------------------------

// Device memory full of NaN, with guards at both ends.
class DeviceBytes {
  public:
    enum { kGuard = 128 };

    DeviceBytes(Device &d, size_t bytes) : device(d), size(bytes), image(bytes + 2 * kGuard) {
        const uint32_t poison = 0x7fc0dead; // a NaN of our own
        for (size_t i = 0; i < image.size(); i++)
            image[i] = (unsigned char)(poison >> (8 * (i % 4)));
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
    kPadded, // gaps after each row of each axis, and a start that is not aligned
};

template <typename T> constexpr qn_dtype dtype_of();
template <> constexpr qn_dtype dtype_of<float>() { return QN_F32; }
template <> constexpr qn_dtype dtype_of<int32_t>() { return QN_I32; }
template <> constexpr qn_dtype dtype_of<uint16_t>() { return QN_BF16; }

// A tensor on the device. Its values enter and leave as dense vectors; what lies between
// its rows and around it must never change.
template <typename T> class DeviceTensor {
  public:
    // Poisoned.
    DeviceTensor(Device &d, const std::vector<int64_t> &shape, Layout layout = Layout::kPadded)
        : view(layout_view(shape, layout)), start(layout == Layout::kPadded ? 1 : 0),
          bytes(d, (start + span(view)) * sizeof(T)) {
        view.data = (T *)bytes.data() + start;
    }
    DeviceTensor(Device &d, const std::vector<int64_t> &shape, const std::vector<T> &values,
                 Layout layout = Layout::kPadded)
        : DeviceTensor(d, shape, layout) {
        write(values);
    }

    void write(const std::vector<T> &values) {
        each([&](size_t at, size_t i) { memcpy(&bytes.image[at], &values[i], sizeof(T)); });
        bytes.upload();
    }

    // The values; fails the test when anything outside them has changed.
    std::vector<T> read() const {
        std::vector<unsigned char> now = bytes.download(), rest = bytes.image;
        std::vector<T> values((size_t)qn_tensor_numel(&view));
        each([&](size_t at, size_t i) {
            memcpy(&values[i], &now[at], sizeof(T));
            memcpy(&rest[at], &now[at], sizeof(T));
        });
        EXPECT_EQ(rest == now, true) << "written outside the tensor";
        return values;
    }
    void expect_untouched() const {
        EXPECT_EQ(bytes.download() == bytes.image, true) << "an output was touched";
    }

    operator qn_tensor() const { return view; }

    qn_tensor view;

  private:
    static qn_tensor layout_view(const std::vector<int64_t> &shape, Layout layout) {
        qn_tensor t = qn_tensor_make(nullptr, dtype_of<T>(), (int)shape.size(), shape.data());
        int64_t step = 1;
        for (int i = t.rank - 1; i >= 0; i--) {
            t.stride[i] = step;
            step = step * t.shape[i] + (layout == Layout::kPadded ? 3 : 0);
        }
        return t;
    }
    static size_t span(const qn_tensor &t) {
        int64_t last = 0;
        for (int i = 0; i < t.rank; i++) {
            if (t.shape[i] == 0) return 0;
            last += (t.shape[i] - 1) * t.stride[i];
        }
        return (size_t)last + 1;
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
                        f((size_t)at * sizeof(T) + DeviceBytes::kGuard, i++);
                    }
    }

    int64_t start;
    DeviceBytes bytes;
};

using Floats = DeviceTensor<float>;
using Ints = DeviceTensor<int32_t>;

inline qn_tensor absent() { return qn_tensor{}; }

} // namespace harness

#endif
