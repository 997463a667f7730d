// test_backend_open.cc: opening backends by name, and the CPU with a number of threads.
#include "harness/backend.h"

using namespace harness;

namespace {

TEST(BackendOpen, ByName) {
    EXPECT_STREQ(qn_backend_names[0], "cpu");
    for (const char *name : {"cpu", "auto"}) {
        qn_backend *backend = nullptr;
        char *note = nullptr;
        expect_ok(qn_backend_open(name, 0, &backend, &note));
        ASSERT_NE(backend, nullptr);
        backend->ops->close(backend);
        free(note);
    }
}

TEST(BackendOpen, UnknownNamesAndThreadCountsAreRefused) {
    qn_backend *backend = nullptr;
    char *note = nullptr;
    expect_refused(qn_backend_open("tpu", 0, &backend, &note), QN_CODE_USAGE,
                   {"tpu", "cpu", "auto"});
    expect_refused(qn_backend_open("", 0, &backend, &note), QN_CODE_USAGE, {"cpu"});
    EXPECT_EQ(note, nullptr);
    expect_refused(qn_cpu_open(-1, &backend), QN_CODE_USAGE, {"-1 threads"});
    expect_refused(qn_cpu_open(1 << 20, &backend), QN_CODE_USAGE, {"1048576 threads"});
    EXPECT_EQ(backend, nullptr);
}

// A GPU is opened or refused with what to do; a build without the backend says so.
TEST(BackendOpen, Cuda) {
    qn_backend *backend = nullptr;
    char *note = nullptr;
#ifdef QN_HAS_CUDA
    EXPECT_STREQ(qn_backend_names[1], "cuda");
    EXPECT_EQ(qn_backend_names[2], nullptr);
    qn_status status = qn_backend_open("cuda", 0, &backend, &note);
    EXPECT_EQ(status == QN_OK, backend != nullptr);
    if (status)
        expect_refused(status, QN_CODE_UNSUPPORTED, {"device \"cuda\"", "\"cpu\""});
    else
        backend->ops->close(backend);
#else
    EXPECT_EQ(qn_backend_names[1], nullptr);
    expect_refused(qn_backend_open("cuda", 0, &backend, &note), QN_CODE_USAGE, {"no CUDA backend"});
    EXPECT_EQ(backend, nullptr);
#endif
}

TEST(BackendOpen, CpuHasTheThreadsThatWereAskedFor) {
    qn_backend *backend = nullptr;
    expect_ok(qn_cpu_open(3, &backend));
    qn_device_info info;
    expect_ok(backend->ops->device_info(backend, &info));
    EXPECT_EQ(info.n_threads, 3);
    ASSERT_EQ(info.n_storage, 1);
    EXPECT_EQ(info.storage[0], QN_F32);
    backend->ops->close(backend);
}

} // namespace
