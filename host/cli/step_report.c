#include "cli/step_report.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quern/files.h"

/* ---- what follows from the figures ----------------------------------------------------------- */

static double share(const qn_step_bench *r) {
    return r->tokens_per_s * r->flops_per_token / r->gemm_flops_per_s;
}

static double utilisation(const qn_step_bench *r) {
    return r->tokens_per_s * r->flops_per_token / r->peak_flops_per_s;
}

/* The least time in which the work of an operation can be done. */
static double floor_seconds(const qn_profile_entry *e, const qn_step_bench *r) {
    return fmax(e->flops / r->gemm_flops_per_s, e->bytes / r->copy_bytes_per_s);
}

static double time_in_operations(const qn_step_bench *r) {
    double seconds = 0;
    for (int i = 0; i < r->n_operations; i++) seconds += r->operations[i].seconds;
    return seconds;
}

static bool is_traced(const qn_step_bench *r) { return r->traced_seconds > 0; }

/* The share of a step in which nothing runs on a GPU. Without a trace it is estimated from other
 * steps, whose operations lie between events: the difference can fall below 0, and is too small
 * where operations are so short that the GPU waits for the host inside of them. */
static double idle_share(const qn_step_bench *r) {
    if (is_traced(r)) return r->traced_idle;
    return fmax(0, 1 - time_in_operations(r) / (double)r->profiled_steps / r->step_seconds);
}

static const char *idle_source(const qn_step_bench *r) {
    return is_traced(r) ? "traced" : "estimated";
}

/* Whether the kernel is of that operation; NULL: of none. */
static bool is_of(const qn_step_bench *r, const qn_trace_row *kernel, const char *op) {
    if (op) return kernel->op && strcmp(kernel->op, op) == 0;
    for (int i = 0; i < r->n_operations; i++)
        if (is_of(r, kernel, r->operations[i].op)) return false;
    return true;
}

/* ---- printing -------------------------------------------------------------------------------- */

void qn_step_print_figures(const qn_step_bench *r) {
    const qn_train_options *o = r->options;
    printf("%s, %s, batch %lld × %lld × %lld micro-steps, on %s\n", o->model, r->precision,
           (long long)o->batch_size, (long long)o->seq_len, (long long)o->grad_accum, r->device);
    printf("  step        %10.1f ms (median of %lld; best %.1f)\n", 1e3 * r->step_seconds,
           (long long)r->steps, 1e3 * r->best_seconds);
    printf("  tokens/s    %10.0f\n", r->tokens_per_s);
    printf("  operations  %10.1f GFLOP/s (%.1f MFLOP a token)\n",
           1e-9 * r->tokens_per_s * r->flops_per_token, 1e-6 * r->flops_per_token);
    printf("  ceiling     %10.1f GFLOP/s (matrix product %lld×%lld×%lld, same run",
           1e-9 * r->gemm_flops_per_s, (long long)r->gemm_m, (long long)r->gemm_n,
           (long long)r->gemm_k);
    if (r->gemm_m < r->wanted_m)
        printf("; memory is short for the model's, of %lld rows", (long long)r->wanted_m);
    printf(")\n  share       %10.2f of the ceiling\n", share(r));
    if (r->peak_flops_per_s > 0) {
        printf("  utilisation %10.1f %% of the data sheet's %.0f TFLOP/s\n", 100 * utilisation(r),
               1e-12 * r->peak_flops_per_s);
    }
    printf("  bandwidth   %10.1f GB/s (copy, same run)\n\n", 1e-9 * r->copy_bytes_per_s);
}

enum { INDENT = 4 }; /* of a kernel under its operation */

/* Of the column of names. */
static int name_width(const qn_step_bench *r) {
    size_t width = 20;
    for (int i = 0; i < r->kernels.n_rows; i++) {
        const size_t length = strlen(r->kernels.rows[i].kernel) + INDENT;
        if (length > width) width = length;
    }
    return width < 64 ? (int)width : 64;
}

static void print_kernels(const qn_step_bench *r, const char *op, int width) {
    for (int i = 0; i < r->kernels.n_rows; i++) {
        const qn_trace_row *k = &r->kernels.rows[i];
        if (!is_of(r, k, op)) continue;
        printf("  %*s%-*s %8.0f %10.3f\n", INDENT, "", width - INDENT, k->kernel,
               (double)k->launches / (double)r->profiled_steps,
               1e3 * k->seconds / (double)r->profiled_steps);
    }
}

static void print_operation(const qn_step_bench *r, const qn_profile_entry *e, int width) {
    const double steps = (double)r->profiled_steps, least = floor_seconds(e, r);
    printf("  %-*s %8.0f %10.2f %6.1f%% %10.3f %9.2f", width, e->op, (double)e->calls / steps,
           1e3 * e->seconds / steps, 100 * e->seconds / time_in_operations(r), 1e3 * least / steps,
           least / e->seconds);
    if (e->flops > 0) printf(" %10.1f", 1e-9 * e->flops / e->seconds);
    printf("\n");
}

static bool has_other_kernels(const qn_step_bench *r) {
    for (int i = 0; i < r->kernels.n_rows; i++)
        if (is_of(r, &r->kernels.rows[i], NULL)) return true;
    return false;
}

static void print_idle(const qn_step_bench *r) {
    printf("  idle %.1f %% of a step (", 100 * idle_share(r));
    if (is_traced(r))
        printf("traced: a whole step takes %.1f ms under the trace)\n", 1e3 * r->traced_seconds);
    else
        printf("estimated from events)\n");
}

void qn_step_print_operations(const qn_step_bench *r) {
    const int width = name_width(r);
    printf("  %-*s %8s %10s %7s %10s %9s %10s\n", width, "operation", "calls", "ms/step", "share",
           "floor ms", "of time", "GFLOP/s");
    for (int i = 0; i < r->n_operations; i++) {
        print_operation(r, &r->operations[i], width);
        print_kernels(r, r->operations[i].op, width);
    }
    if (has_other_kernels(r)) {
        printf("  outside of operations\n");
        print_kernels(r, NULL, width);
    }
    if (r->is_gpu) print_idle(r);
    if (r->note[0]) printf("  no trace of kernels: %s\n", r->note);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* null for what was not found. */
static json_t *real_if(bool found, double value) { return found ? json_real(value) : json_null(); }
static json_t *text_if(bool found, const char *text) {
    return found ? json_string(text) : json_null();
}

static json_t *json_of_kernels(const qn_step_bench *r, const char *op) {
    json_t *list = json_array();
    const double steps = (double)r->profiled_steps;
    for (int i = 0; i < r->kernels.n_rows; i++) {
        const qn_trace_row *k = &r->kernels.rows[i];
        if (!is_of(r, k, op)) continue;
        json_array_append_new(list, json_pack("{s:s, s:f, s:f}", "kernel", k->kernel, "launches",
                                              (double)k->launches / steps, "seconds",
                                              k->seconds / steps));
    }
    return list;
}

static json_t *json_of_operations(const qn_step_bench *r) {
    json_t *list = json_array();
    const double steps = (double)r->profiled_steps;
    for (int i = 0; i < r->n_operations; i++) {
        const qn_profile_entry *e = &r->operations[i];
        json_array_append_new(
            list, json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:o}", "op", e->op, "calls",
                            (double)e->calls / steps, "seconds", e->seconds / steps, "flops",
                            e->flops / steps, "bytes", e->bytes / steps, "floor_seconds",
                            floor_seconds(e, r) / steps, "kernels", json_of_kernels(r, e->op)));
    }
    return list;
}

static json_t *json_of_run(const qn_step_bench *r) {
    const qn_train_options *o = r->options;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "bench", "step", "version",
                     QN_VERSION, "device", r->device, "model", o->model, "precision", r->precision,
                     "batch_size", (json_int_t)o->batch_size, "seq_len", (json_int_t)o->seq_len,
                     "grad_accum", (json_int_t)o->grad_accum);
}

static json_t *json_of_figures(const qn_step_bench *r) {
    return json_pack("{s:f, s:f, s:f, s:f, s:[I,I,I], s:f, s:f, s:f, s:o}", "step_seconds",
                     r->step_seconds, "tokens_per_s", r->tokens_per_s, "flops_per_token",
                     r->flops_per_token, "gemm_flops_per_s", r->gemm_flops_per_s, "gemm_shape",
                     (json_int_t)r->gemm_m, (json_int_t)r->gemm_n, (json_int_t)r->gemm_k, "share",
                     share(r), "copy_bytes_per_s", r->copy_bytes_per_s, "peak_flops_per_s",
                     r->peak_flops_per_s, "utilisation",
                     real_if(r->peak_flops_per_s > 0, utilisation(r)));
}

static json_t *json_of_breakdown(const qn_step_bench *r) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "idle", real_if(r->is_gpu, idle_share(r)),
                     "idle_source", text_if(r->is_gpu, idle_source(r)), "traced_step_seconds",
                     real_if(is_traced(r), r->traced_seconds), "trace_note",
                     text_if(r->note[0], r->note), "operations", json_of_operations(r),
                     "other_kernels", json_of_kernels(r, NULL));
}

/* Takes what it adds. */
static bool add_members(json_t *to, json_t *members) {
    const bool added = members && json_object_update(to, members) == 0;
    json_decref(members);
    return added;
}

static char *text_of(const qn_step_bench *r) {
    json_t *root = json_object();
    char *text = NULL;
    if (add_members(root, json_of_run(r)) && add_members(root, json_of_figures(r)) &&
        add_members(root, json_of_breakdown(r)))
        text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(root);
    return text;
}

qn_status qn_step_write_json(const qn_step_bench *r, const char *path) {
    char *text = text_of(r);
    if (!text) {
        return qn_error(QN_CODE_USAGE,
                        "%s: the name of the model or of the device is not UTF-8, which JSON "
                        "needs (or memory ran out)",
                        path);
    }
    qn_status status = qn_file_write(path, text, strlen(text));
    free(text);
    return status;
}
