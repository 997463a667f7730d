#include "train/lens_log.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static void write_place(FILE *out, const char *name, int64_t place) {
    if (place < 0)
        fprintf(out, "\"%s\":null,", name);
    else
        fprintf(out, "\"%s\":%lld,", name, (long long)place);
}

static void write_number(FILE *out, const char *name, double value) {
    if (isfinite(value))
        fprintf(out, "\"%s\":%.9g,", name, value);
    else
        fprintf(out, "\"%s\":null,", name);
}

void qn_lens_write_figure(FILE *out, const qn_lens_figure *f, int64_t step, int64_t tokens) {
    fprintf(out, "{\"step\":%lld,\"tokens\":%lld,", (long long)step, (long long)tokens);
    write_place(out, "layer", f->layer);
    write_place(out, "head", f->head);
    fprintf(out, "\"metric\":\"%s\",", f->metric);
    write_number(out, "value", f->value);
    write_number(out, "baseline", f->baseline);
    fprintf(out, "\"n\":%lld", (long long)f->n);
    if (f->at >= 0) fprintf(out, ",\"at\":%lld", (long long)f->at);
    if (isfinite(f->error)) fprintf(out, ",\"error\":%.9g", f->error);
    fputs("}\n", out);
}

qn_status qn_lens_log_figures(const qn_lens_figure *figures, int64_t count, int64_t step,
                              int64_t tokens, qn_run_log *log) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return qn_error(QN_CODE_MEMORY, "%s: no memory for a sample", log->path);
    for (int64_t i = 0; i < count; i++) qn_lens_write_figure(out, &figures[i], step, tokens);
    bool failed = ferror(out);
    if (fclose(out)) failed = true;
    qn_status status = failed ? qn_error(QN_CODE_MEMORY, "%s: no memory for a sample", log->path)
                              : qn_run_log_write(log, text, length);
    free(text);
    return status;
}
