#include "cli/attention_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quern/files.h"

/* ---- the table ----------------------------------------------------------------------- */

void qn_report_title(const qn_attention_run *run) {
    const qn_attention_shape *s = &run->shape;
    const qn_ceilings *c = &run->ceilings;
    printf("attention on %s: %s, batch %lld, %lld query heads, %lld key heads, head dimension "
           "%lld%s\n",
           run->device.name, qn_dtype_name(run->device.storage[0]), (long long)s->batch,
           (long long)s->n_heads, (long long)s->n_kv_heads, (long long)s->head_dim,
           s->deterministic ? ", deterministic" : "");
    printf("ceilings: products %.2f TFLOP/s (%s), memory %.1f GB/s (%s)\n", 1e-12 * c->flops_per_s,
           c->flops_how, 1e-9 * c->bytes_per_s, c->bytes_how);
}

void qn_report_head(const qn_attention_run *run, bool causal) {
    printf("\n%s mask", causal ? "causal" : "full");
    if (run->shape.window) printf(", window %lld", (long long)run->shape.window);
    printf("\n%7s %-8s", "T", "pass");
    for (int v = QN_VARIANT_NAIVE; v <= QN_VARIANT_FUSED; v++)
        printf(" | %7s ms %8s %6s %10s %8s", v == QN_VARIANT_NAIVE ? "naive" : "fused", "TFLOP/s",
               "floor", "MiB", "error");
    printf(" | %8s %6s%s\n", "plain", "ratio", run->options.stats ? "  statistics" : "");
}

static void print_figures(const qn_figures *f, double flops) {
    const double mib = (double)f->workspace / (1 << 20);
    if (!f->run) {
        printf(" | %10s %8s %6s %10.0f %8s", "too large", "", "", mib, "");
        return;
    }
    printf(" | %10.3f %8.3f", 1e3 * f->seconds, 1e-12 * flops / f->seconds);
    if (f->floor.seconds > 0)
        printf(" %4.0f %%", 100 * f->floor.seconds / f->seconds);
    else
        printf(" %6s", "");
    printf(" %10.1f %8.1e", mib, f->error.largest);
}

void qn_report_pass(const qn_attention_problem *problem, const qn_pass *pass) {
    const qn_figures *naive = &pass->of[QN_VARIANT_NAIVE], *fused = &pass->of[QN_VARIANT_FUSED];
    const qn_figures *stats = &pass->of[QN_VARIANT_STATS];
    printf("%7lld %-8s", (long long)problem->shape.seq_len,
           pass->backward ? "backward" : "forward");
    print_figures(naive, pass->flops);
    print_figures(fused, pass->flops);
    if (problem->storage == QN_BF16)
        printf(" | %8.1e", fused->error.plain);
    else
        printf(" | %8s", "");
    if (naive->run)
        printf(" %6.2f", naive->seconds / fused->seconds);
    else
        printf(" %6s", "");
    if (stats->run) printf("  %+9.1f %%", 100 * (stats->seconds / fused->seconds - 1));
    printf("\n");
    fflush(stdout);
}

void qn_report_legend(const qn_attention_run *run) {
    printf("\nms: median of %lld calls, timed on the device", (long long)run->options.repeats);
    if (run->options.clear_bytes)
        printf(", each after clearing %zu MiB, so that no input waits in a cache",
               run->options.clear_bytes >> 20);
    printf("\nfloor: the least time by the ceilings, of the time taken; MiB: workspace\nerror: "
           "largest against float64 over %d sampled rows; plain: that of a plain bf16 computation\n"
           "ratio: naive time over fused\n",
           QN_ATTENTION_CHECK_ROWS);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static json_t *positive_or_null(double x) { return x > 0 ? json_real(x) : json_null(); }

static json_t *json_figures(const qn_figures *f, double flops, int64_t repeats) {
    if (!f->run)
        return json_pack("{s:b,s:I}", "run", 0, "workspace_bytes", (json_int_t)f->workspace);
    json_t *times = json_array();
    for (int64_t i = 0; i < repeats; i++) json_array_append_new(times, json_real(f->times[i]));
    return json_pack("{s:b,s:I,s:f,s:o,s:f,s:f,s:o,s:o,s:f,s:f}", "run", 1, "workspace_bytes",
                     (json_int_t)f->workspace, "seconds", f->seconds, "times", times, "flops_per_s",
                     flops / f->seconds, "max_error", f->error.largest, "plain_error",
                     positive_or_null(f->error.plain), "floor_seconds",
                     positive_or_null(f->floor.seconds), "floor_flops", f->floor.flops,
                     "floor_bytes", f->floor.bytes);
}

static json_t *json_shape(const qn_attention_shape *s) {
    return json_pack("{s:I,s:I,s:I,s:I,s:I}", "batch", (json_int_t)s->batch, "heads",
                     (json_int_t)s->n_heads, "kv_heads", (json_int_t)s->n_kv_heads, "head_dim",
                     (json_int_t)s->head_dim, "window", (json_int_t)s->window);
}

json_t *qn_report_row(const qn_attention_problem *problem, const qn_pass *pass, int64_t repeats) {
    json_t *row = json_shape(&problem->shape);
    json_t *more = json_pack(
        "{s:I,s:s,s:b,s:f,s:o,s:o}", "seq_len", (json_int_t)problem->shape.seq_len, "pass",
        pass->backward ? "backward" : "forward", "causal", problem->shape.causal, "flops",
        pass->flops, "naive", json_figures(&pass->of[QN_VARIANT_NAIVE], pass->flops, repeats),
        "fused", json_figures(&pass->of[QN_VARIANT_FUSED], pass->flops, repeats));
    const qn_figures *stats = &pass->of[QN_VARIANT_STATS];
    if (stats->run)
        json_object_set_new(more, "fused_stats", json_figures(stats, pass->flops, repeats));
    json_object_update(row, more);
    json_decref(more);
    return row;
}

static json_t *json_run(const qn_attention_run *run, json_t *rows) {
    const qn_ceilings *c = &run->ceilings;
    json_t *root = json_shape(&run->shape);
    json_t *ceilings =
        json_pack("{s:f,s:s,s:f,s:s}", "flops_per_s", c->flops_per_s, "flops_how", c->flops_how,
                  "bytes_per_s", c->bytes_per_s, "bytes_how", c->bytes_how);
    json_t *more = json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:b,s:I,s:I,s:i,s:o,s:O}", "bench",
                             "attention", "version", QN_VERSION, "device", run->device.name, "arch",
                             run->device.arch, "dtype", qn_dtype_name(run->device.storage[0]),
                             "threads", run->device.n_threads, "deterministic",
                             run->shape.deterministic, "repeats", (json_int_t)run->options.repeats,
                             "cleared_bytes", (json_int_t)run->options.clear_bytes, "error_rows",
                             QN_ATTENTION_CHECK_ROWS, "ceilings", ceilings, "results", rows);
    json_object_update(root, more);
    json_decref(more);
    return root;
}

qn_status qn_report_write(const char *path, const qn_attention_run *run, json_t *rows) {
    json_t *root = json_run(run, rows);
    char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(root);
    if (!text) return qn_error(QN_CODE_MEMORY, "%s: no memory for its text", path);
    qn_status status = qn_file_write(path, text, strlen(text));
    free(text);
    return status;
}
