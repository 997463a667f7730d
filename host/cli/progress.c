#include "cli/progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "quern/backend.h"
#include "quern/clock.h"

void qn_format_duration(double seconds, char *text, size_t size) {
    const long long s = llround(seconds);
    if (s >= 3600) {
        snprintf(text, size, "%lldh%02lldm", s / 3600, s / 60 % 60);
    } else if (s >= 60) {
        snprintf(text, size, "%lldm%02llds", s / 60, s % 60);
    } else {
        snprintf(text, size, "%llds", s);
    }
}

qn_status qn_progress_open(const qn_train_options *options, qn_progress *out) {
    *out = (qn_progress){.terminal = isatty(STDERR_FILENO), .val_loss = NAN, .bits_per_byte = NAN};
    if (!out->terminal) return QN_OK;
    qn_backend *backend;
    char *note; /* training tells it */
    QN_TRY(qn_backend_open(options->backend, (int)options->threads, &backend, &note));
    free(note);
    qn_status status =
        qn_measure_ceiling(backend, (qn_precision)options->precision, 0.2, &out->peak);
    backend->ops->close(backend);
    return status;
}

static double seconds_left(qn_progress *p, const qn_step_report *r) {
    if (!p->begun) {
        p->begun = qn_clock();
        p->first_step = r->step;
        return (double)(r->steps - r->step) * r->seconds / (double)r->step;
    }
    const double per_step = (qn_clock() - p->begun) / (double)(r->step - p->first_step);
    return per_step * (double)(r->steps - r->step);
}

void qn_progress_show(qn_progress *p, const qn_step_report *r) {
    if (!p->terminal) return;
    if (r->evaluated) {
        p->val_loss = r->val_loss;
        p->bits_per_byte = r->bits_per_byte;
    }
    const double rate = p->tokens_per_s ? r->tokens_per_s / p->tokens_per_s : 1;
    p->tokens_per_s = p->tokens_per_s ? p->tokens_per_s * (0.9 + 0.1 * rate) : r->tokens_per_s;
    char left[32], val[64] = "", share[32] = "";
    qn_format_duration(seconds_left(p, r), left, sizeof left);
    if (isfinite(p->bits_per_byte)) {
        snprintf(val, sizeof val, "  val %.3f (%.3f bits/byte)", p->val_loss, p->bits_per_byte);
    } else if (isfinite(p->val_loss)) {
        snprintf(val, sizeof val, "  val %.3f", p->val_loss);
    }
    if (p->peak > 0) {
        const double flops = r->flops_per_s / r->tokens_per_s * p->tokens_per_s;
        snprintf(share, sizeof share, "  %.0f %% of peak", 100 * flops / p->peak);
    }
    fprintf(stderr, "\r\033[Kstep %lld/%lld  loss %.3f%s  %.0f tokens/s%s  |g| %.2f  %s left",
            (long long)r->step, (long long)r->steps, r->loss, val, p->tokens_per_s, share,
            r->grad_norm, left);
    if (r->evaluated) fputc('\n', stderr);
}

void qn_progress_note(qn_progress *p, const char *message) {
    fprintf(stderr, "%s%s\n", p->terminal ? "\r\033[K" : "", message);
}

void qn_progress_close(qn_progress *p) {
    if (p->terminal) fputs("\r\033[K", stderr);
}
