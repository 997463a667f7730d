#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/train_flags.h"
#include "quern/files.h"

static const char doc[] =
    "Trains a model on a data folder and leaves a run folder: config.json, run.json, log.jsonl and "
    "checkpoints that Hugging Face transformers opens."
    "\v"
    "Examples:\n"
    "  quern train --data data/austen --run runs/first\n"
    "  quern train --data data/austen --run runs/gpt2 --model gpt2-12m --seq-len 256 --lr 0.001\n"
    "  quern train --run runs/first --resume --steps 8000\n"
    "  quern train --config my.json --lr 0.003\n\n"
    "SIGINT and SIGTERM finish the step, save and leave; a second SIGINT leaves at once.";

typedef struct arguments {
    qn_train_flags flags;
    bool resume;
} arguments;

enum { KEY_RESUME = 0x1000 };

static const struct argp_option own_options[] = {
    {"resume", KEY_RESUME, NULL, 0, "continue the run in --run", 0}, {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    (void)arg;
    arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->flags;
        return 0;
    case KEY_RESUME:
        a->resume = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Defaults, then what a resumed run was started with, then the file, then the flags. */
static qn_status merge_options(const arguments *a, qn_train_options *options) {
    qn_options_default(options);
    if (a->resume) {
        qn_train_options given = *options; /* for the name of the run, which a file may hold */
        QN_TRY(qn_train_flags_apply(&a->flags, &given));
        char *path = qn_path("%s/run.json", given.run);
        if (!path) return qn_error(QN_CODE_MEMORY, "no memory for a path");
        qn_status status = qn_path_exists(path) ? qn_options_load(options, path) : QN_OK;
        free(path);
        if (status) return status;
    }
    return qn_train_flags_apply(&a->flags, options);
}

/* ---- the run, seen from the terminal ---------------------------------------------------- */

typedef struct watcher {
    qn_progress progress;
    qn_interrupt interrupt;
} watcher;

static bool should_stop(void *context) {
    return qn_interrupt_came(&((watcher *)context)->interrupt);
}

static void on_step(void *context, const qn_step_report *report) {
    qn_progress_show(&((watcher *)context)->progress, report);
}

static void on_note(void *context, const char *message) {
    qn_progress_note(&((watcher *)context)->progress, message);
}

static void print_result(const qn_train_options *options, const qn_train_result *result) {
    const qn_step_report *last = &result->last;
    char time[32];
    qn_format_duration(last->seconds, time, sizeof time);
    if (result->interrupted) {
        printf("stopped at step %lld of %lld and saved; `quern train --run %s --resume` goes on\n",
               (long long)last->step, (long long)options->steps, options->run);
    } else if (last->step) {
        printf("trained %lld steps in %s: loss %.4f, held out %.4f", (long long)last->step, time,
               last->loss, last->val_loss);
        if (isfinite(last->bits_per_byte)) printf(" (%.4f bits per byte)", last->bits_per_byte);
        printf("\n");
    } else {
        printf("nothing to do: the run has its %lld steps already\n", (long long)options->steps);
    }
    printf("checkpoint: %s/checkpoints/step-%lld\n", options->run, (long long)result->saved_step);
}

static qn_status train(const arguments *a) {
    watcher watcher;
    qn_train_options options;
    qn_train_result result;
    QN_TRY(merge_options(a, &options));
    QN_TRY(qn_interrupt_watch(&watcher.interrupt));
    const qn_train_hooks hooks = {&watcher, should_stop, on_step, on_note};
    qn_status status = qn_progress_open(&options, &watcher.progress);
    if (!status) status = qn_train(&options, a->resume, &hooks, &result);
    qn_progress_close(&watcher.progress);
    qn_interrupt_unwatch(&watcher.interrupt);
    if (!status) print_result(&options, &result);
    return status;
}

qn_status cmd_train(int argc, char **argv) {
    arguments a = {0};
    QN_TRY(qn_train_flags_open(&a.flags, NULL, argc));
    const struct argp_child children[] = {{&a.flags.argp, 0, NULL, 0}, {0}};
    const struct argp argp = {own_options, parse, NULL, doc, children, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    qn_status status = train(&a);
    qn_train_flags_close(&a.flags);
    return status;
}
