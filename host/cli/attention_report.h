/* attention_report.h: figures of the attention benchmark, printed and as JSON. */
#ifndef QUERN_CLI_ATTENTION_REPORT_H
#define QUERN_CLI_ATTENTION_REPORT_H

#include <jansson.h>

#include "cli/attention_measure.h"

/* What all rows have in common. */
typedef struct qn_attention_run {
    qn_device_info device;
    qn_ceilings ceilings;
    qn_attention_shape shape; /* but for seq_len and causal, which are each row's */
    qn_measure_options options;
} qn_attention_run;

void qn_report_title(const qn_attention_run *run);
void qn_report_head(const qn_attention_run *run, bool causal);
void qn_report_pass(const qn_attention_problem *problem, const qn_pass *pass);
void qn_report_legend(const qn_attention_run *run);

/* A row of "results"; NULL without memory. */
json_t *qn_report_row(const qn_attention_problem *problem, const qn_pass *pass, int64_t repeats);

/* {bench, version, device, arch, dtype, threads, batch, heads, kv_heads, head_dim, window,
 *  deterministic, repeats, cleared_bytes, error_rows, ceilings: {flops_per_s, flops_how,
 *  bytes_per_s, bytes_how}, results: [{batch, heads, kv_heads, head_dim, window, seq_len, pass,
 *  causal, flops, naive, fused, fused_stats}]}, where each variant is {run, workspace_bytes, and
 * if it ran: seconds (median), times, flops_per_s, max_error, plain_error, floor_seconds,
 * floor_flops, floor_bytes}. plain_error and floor_seconds are null where there is none. */
qn_status qn_report_write(const char *path, const qn_attention_run *run, json_t *rows);

#endif
