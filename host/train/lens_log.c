#include "train/lens_log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void write_number(FILE *out, const char *name, double value) {
    if (isfinite(value))
        fprintf(out, "\"%s\":%.9g,", name, value);
    else
        fprintf(out, "\"%s\":null,", name);
}

static void write_figure(FILE *out, const qn_lens_figure *f, int64_t step, int64_t tokens) {
    fprintf(out, "{\"step\":%lld,\"tokens\":%lld,\"layer\":%lld,\"head\":%lld,\"metric\":\"%s\",",
            (long long)step, (long long)tokens, (long long)f->layer, (long long)f->head, f->metric);
    write_number(out, "value", f->value);
    write_number(out, "baseline", f->baseline);
    fprintf(out, "\"n\":%lld}", (long long)f->n);
}

qn_status qn_lens_log(qn_lens *lens, int64_t step, int64_t tokens, qn_run_log *log) {
    const qn_lens_figure *figures;
    int64_t count;
    QN_TRY(qn_lens_read(lens, &figures, &count));
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return qn_error(QN_CODE_MEMORY, "%s: no memory for a sample", log->path);
    for (int64_t i = 0; i < count; i++) {
        if (i) fputc('\n', out);
        write_figure(out, &figures[i], step, tokens);
    }
    const int failed = fclose(out);
    qn_status status = failed ? qn_error(QN_CODE_MEMORY, "%s: no memory for a sample", log->path)
                              : qn_run_log_append(log, text);
    free(text);
    return status;
}
