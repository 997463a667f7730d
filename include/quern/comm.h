/* comm.h: collectives between the processes (ranks) of one training run. */
#ifndef QUERN_COMM_H
#define QUERN_COMM_H

#include "quern/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_comm qn_comm;

/* Data pointers are the backend's memory; calls enqueue on the stream. Every rank makes
 * the same calls in the same order. `count` counts fp32 elements. */
typedef struct qn_comm_ops {
    /* data[i] = Σ over ranks, on every rank, in place. */
    qn_status (*all_reduce)(qn_comm *, qn_stream *, float *data, int64_t count);
    /* Rank r gets the sum of part r: `in` holds n_ranks parts of `count`, `out` one. */
    qn_status (*reduce_scatter)(qn_comm *, qn_stream *, const float *in, float *out, int64_t count);
    /* out, n_ranks parts of `count`, gets the `in` of every rank in order. */
    qn_status (*all_gather)(qn_comm *, qn_stream *, const float *in, float *out, int64_t count);
    qn_status (*broadcast)(qn_comm *, qn_stream *, void *data, size_t bytes, int root);
    /* Returns on no rank before every rank has called it. */
    qn_status (*barrier)(qn_comm *);
    void (*close)(qn_comm *);
} qn_comm_ops;

struct qn_comm {
    const qn_comm_ops *ops;
    int rank, n_ranks;
};

/* Joins the run that the environment describes (torchrun's RANK and WORLD_SIZE, Open MPI's
 * OMPI_COMM_WORLD_*, Slurm's SLURM_PROCID and SLURM_NTASKS); one process when there is none. */
qn_status qn_comm_open(qn_comm **out);

#ifdef __cplusplus
}
#endif
#endif
