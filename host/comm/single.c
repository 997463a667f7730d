/* single.c: the collectives of a run with one process. */
#include <stdlib.h>
#include <string.h>

#include "quern/comm.h"

static qn_status all_reduce(qn_comm *comm, qn_stream *stream, float *data, int64_t count) {
    (void)comm, (void)stream, (void)data, (void)count;
    return QN_OK;
}

static qn_status copy_part(qn_comm *comm, qn_stream *stream, const float *in, float *out,
                           int64_t count) {
    (void)comm;
    if (in == out) return QN_OK;
    return stream->backend->ops->copy(stream, out, in, (size_t)count * sizeof *out,
                                      QN_COPY_ON_DEVICE);
}

static qn_status broadcast(qn_comm *comm, qn_stream *stream, void *data, size_t bytes, int root) {
    (void)comm, (void)stream, (void)data, (void)bytes, (void)root;
    return QN_OK;
}

static qn_status barrier(qn_comm *comm) {
    (void)comm;
    return QN_OK;
}

static void close_single(qn_comm *comm) { free(comm); }

static const qn_comm_ops single_ops = {.all_reduce = all_reduce,
                                       .reduce_scatter = copy_part,
                                       .all_gather = copy_part,
                                       .broadcast = broadcast,
                                       .barrier = barrier,
                                       .close = close_single};

/* The first of these variables that is set says how many ranks a launcher started. */
static const char *const size_variables[] = {"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"};

qn_status qn_comm_open(qn_comm **out) {
    *out = NULL;
    for (size_t i = 0; i < sizeof size_variables / sizeof *size_variables; i++) {
        const char *value = getenv(size_variables[i]);
        if (!value || !strcmp(value, "1")) continue;
        return qn_error(QN_CODE_UNSUPPORTED,
                        "%s=%s asks for several processes, and this build runs one; start quern "
                        "without a launcher, or unset the variable",
                        size_variables[i], value);
    }
    qn_comm *comm = malloc(sizeof *comm);
    if (!comm) return qn_error(QN_CODE_MEMORY, "no memory for a communicator");
    *comm = (qn_comm){.ops = &single_ops, .rank = 0, .n_ranks = 1};
    *out = comm;
    return QN_OK;
}
