#include "quern/comm.h"

#include <cstdlib>
#include <numeric>

#include "harness/status.h"
#include "quern/backend.h"

static const char *const launcher_variables[] = {"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE",
                                                 "SLURM_NTASKS"};

class Comm : public testing::Test {
  protected:
    void SetUp() override { clear(); }
    void TearDown() override { clear(); }
    static void clear() {
        for (const char *name : launcher_variables) unsetenv(name);
    }
};

TEST_F(Comm, OneProcessWithoutALauncher) {
    qn_comm *comm;
    ASSERT_OK(qn_comm_open(&comm));
    EXPECT_EQ(comm->rank, 0);
    EXPECT_EQ(comm->n_ranks, 1);
    EXPECT_OK(comm->ops->barrier(comm));
    comm->ops->close(comm);
}

TEST_F(Comm, LaunchersOfOneProcessAreFine) {
    for (const char *name : launcher_variables) {
        setenv(name, "1", 1);
        qn_comm *comm;
        ASSERT_OK(qn_comm_open(&comm));
        comm->ops->close(comm);
    }
}

TEST_F(Comm, RefusesSeveralProcesses) {
    for (const char *name : launcher_variables) {
        clear();
        setenv(name, "2", 1);
        qn_comm *comm;
        EXPECT_ERROR(qn_comm_open(&comm), QN_CODE_UNSUPPORTED, std::string(name) + "=2",
                     "without a launcher");
        EXPECT_EQ(comm, nullptr);
    }
}

TEST_F(Comm, CollectivesOfOneRankKeepTheData) {
    qn_comm *comm;
    qn_backend *backend;
    qn_stream *stream;
    ASSERT_OK(qn_comm_open(&comm));
    ASSERT_OK(qn_cpu_open(1, &backend));
    ASSERT_OK(backend->ops->stream_create(backend, &stream));
    std::vector<float> data(100), expected(100), out(100);
    std::iota(data.begin(), data.end(), 1.0f);
    expected = data;
    EXPECT_OK(comm->ops->all_reduce(comm, stream, data.data(), 100));
    EXPECT_OK(comm->ops->broadcast(comm, stream, data.data(), 400, 0));
    EXPECT_EQ(data, expected);
    EXPECT_OK(comm->ops->reduce_scatter(comm, stream, data.data(), out.data(), 100));
    EXPECT_EQ(out, expected);
    out.assign(100, 0);
    EXPECT_OK(comm->ops->all_gather(comm, stream, data.data(), out.data(), 100));
    EXPECT_EQ(out, expected);
    EXPECT_OK(comm->ops->all_gather(comm, stream, data.data(), data.data(), 100));
    EXPECT_EQ(data, expected);
    backend->ops->stream_destroy(stream);
    backend->ops->close(backend);
    comm->ops->close(comm);
}
