/* step_report.h: what `quern bench step` found, as it prints and records it. */
#ifndef QUERN_CLI_STEP_REPORT_H
#define QUERN_CLI_STEP_REPORT_H

#include "quern/options.h"
#include "quern/profile.h"
#include "quern/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_step_bench {
    const qn_train_options *options;
    const char *device, *precision;
    bool is_gpu;

    int64_t steps;                             /* timed */
    double step_seconds, best_seconds;         /* the median of them, and the least */
    double tokens_per_s, flops_per_token;      /* of the median */
    double gemm_flops_per_s;                   /* the ceiling: the median of those between steps */
    int64_t gemm_m, gemm_n, gemm_k;            /* its product */
    int64_t wanted_m;                          /* the model's, which may find no memory */
    double copy_bytes_per_s, peak_flops_per_s; /* of memory; of a GPU's data sheet, 0: unknown */

    int64_t profiled_steps; /* operation by operation */
    const qn_profile_entry *operations;
    int n_operations;
    qn_trace_reading kernels; /* of the same steps; no rows without a trace */

    double traced_seconds, traced_idle; /* of a whole step under a trace, and of these the share in
                                           which nothing ran; 0 seconds without a trace */
    char note[512];                     /* why there is no trace, "" where there is */
} qn_step_bench;

/* The figures of whole steps, then the operations, with their kernels where there is a trace. */
void qn_step_print_figures(const qn_step_bench *);
void qn_step_print_operations(const qn_step_bench *);

/* All of it as JSON; figures of operations and kernels are those of one step. */
qn_status qn_step_write_json(const qn_step_bench *, const char *path);

#ifdef __cplusplus
}
#endif

#endif
