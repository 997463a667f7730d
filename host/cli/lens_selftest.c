#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/selftest_json.h"
#include "quern/files.h"
#include "quern/planted.h"

static const char doc[] =
    "Is the lens honest? Trains small models on tasks whose answer is known and checks that the "
    "lens says what was planted. Exit code 1 when a check fails.\n\n"
    "  T1  induction: tokens that repeat at a random period\n"
    "  T2  the trap of position: the same at one period, which needs no induction\n"
    "  T3  synonyms: keys that are interchangeable\n"
    "  T4  noise: nothing to learn\n"
    "  T5  invariants of what the lens measures"
    "\v"
    "Examples:\n"
    "  quern lens selftest\n"
    "  quern lens selftest --seed 2 --only T1,T4 --json verdicts.json\n"
    "  quern lens selftest --keep planted   (then: quern inspect --run planted/t1/run)";

enum { KEY_SEED = 0x1000, KEY_ONLY, KEY_KEEP, KEY_JSON, KEY_BACKEND, KEY_THREADS };

static const struct argp_option options[] = {
    {"seed", KEY_SEED, "N", 0, "of the tasks and of the models (default 1)", 0},
    {"only", KEY_ONLY, "T1,T3", 0, "these experiments (default: all)", 0},
    {"keep", KEY_KEEP, "DIR", 0,
     "leave data and runs there, in a folder to make (default: a temporary one)", 0},
    {"json", KEY_JSON, "FILE", 0, "write the verdicts there too", 0},
    {"backend", KEY_BACKEND, "NAME", 0, "cpu, cuda or auto (default cpu)", 0},
    {"threads", KEY_THREADS, "N", 0,
     "CPU threads (default 1, the fastest for models as small as these)", 0},
    {0}};

typedef struct arguments {
    qn_planted_options planted;
    const char *keep, *json;
} arguments;

/* "T1,T3": sets which run. */
static bool parse_experiments(const char *text, bool *run) {
    memset(run, 0, QN_PLANTED_EXPERIMENTS * sizeof *run);
    for (const char *p = text;; p += 3) {
        const int number = p[0] == 'T' ? p[1] - '0' : 0;
        if (number < 1 || number > QN_PLANTED_EXPERIMENTS) return false;
        run[number - 1] = true;
        if (!p[2]) return true;
        if (p[2] != ',') return false;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    arguments *a = state->input;
    switch (key) {
    case KEY_SEED:
        a->planted.seed = (uint64_t)qn_arg_int(state, "--seed", arg, 0, (int64_t)1 << 53);
        break;
    case KEY_ONLY:
        if (!parse_experiments(arg, a->planted.run))
            argp_error(state, "--only is \"%s\", expected some of T1,T2,T3,T4,T5", arg);
        break;
    case KEY_KEEP:
        a->keep = arg;
        break;
    case KEY_JSON:
        a->json = arg;
        break;
    case KEY_BACKEND:
        a->planted.backend = arg;
        break;
    case KEY_THREADS:
        a->planted.threads = qn_arg_int(state, "--threads", arg, 0, 4096);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- the self-test, seen from the terminal ----------------------------------------------- */

typedef struct watcher {
    qn_progress progress;
    qn_interrupt interrupt;
} watcher;

static bool should_stop(void *context) {
    return qn_interrupt_came(&((watcher *)context)->interrupt);
}

/* The share of a peak says nothing of models this small, so none is measured. */
static void on_training(void *context, const char *name, const qn_train_options *train) {
    watcher *w = context;
    char message[128];
    snprintf(message, sizeof message, "training %s: %lld steps", name, (long long)train->steps);
    w->progress = (qn_progress){
        .terminal = w->progress.terminal, .val_loss = (double)NAN, .bits_per_byte = (double)NAN};
    if (w->progress.terminal) qn_progress_note(&w->progress, message);
}

static void on_step(void *context, const qn_step_report *report) {
    qn_progress_show(&((watcher *)context)->progress, report);
}

static void describe_bounds(const qn_planted_check *c, char *text, size_t size) {
    if (c->least == c->most)
        snprintf(text, size, "%.4g", c->least);
    else if (isinf(c->most))
        snprintf(text, size, "at least %.4g", c->least);
    else if (isinf(c->least))
        snprintf(text, size, "at most %.4g", c->most);
    else
        snprintf(text, size, "%.4g to %.4g", c->least, c->most);
}

static void on_check(void *context, const qn_planted_check *c) {
    char bounds[64];
    qn_progress_close(&((watcher *)context)->progress);
    describe_bounds(c, bounds, sizeof bounds);
    printf("%s  T%d  %-72s %10.4g  (%s)\n", c->passed ? "pass" : "FAIL", c->experiment, c->what,
           c->measured, bounds);
    fflush(stdout);
}

static qn_status run(const arguments *a, const char *folder) {
    watcher watcher = {.progress = {.terminal = isatty(STDERR_FILENO)}};
    qn_planted_options planted = a->planted;
    qn_planted_result result;
    planted.folder = folder;
    QN_TRY(qn_interrupt_watch(&watcher.interrupt));
    const qn_planted_hooks hooks = {&watcher, should_stop, on_training, on_step, on_check};
    qn_status status = qn_planted_run(&planted, &hooks, &result);
    qn_interrupt_unwatch(&watcher.interrupt);
    qn_progress_close(&watcher.progress);
    if (!status && a->json) status = qn_selftest_write_json(a->json, planted.seed, &result);
    if (!status) {
        printf("%lld of %lld checks hold\n", (long long)(result.count - result.failed),
               (long long)result.count);
    }
    if (!status && result.failed)
        status = qn_error(QN_CODE_INVALID, "%lld checks failed", (long long)result.failed);
    qn_planted_free(&result);
    return status;
}

/* ---- its folder ---------------------------------------------------------------------------- */

static qn_status run_in_temporary(const arguments *a) {
    const char *parent = getenv("TMPDIR");
    char *folder = qn_path("%s/quern-selftest-XXXXXX", parent && *parent ? parent : "/tmp");
    if (!folder) return qn_error(QN_CODE_MEMORY, "no memory for a path");
    qn_status status = mkdtemp(folder) ? QN_OK
                                       : qn_error(QN_CODE_IO,
                                                  "%s: cannot make the folder; set TMPDIR, or "
                                                  "name one with --keep",
                                                  folder);
    if (!status) {
        status = run(a, folder);
        qn_status removed = qn_dir_remove(folder);
        if (status)
            qn_status_free(removed);
        else
            status = removed;
    }
    free(folder);
    return status;
}

static qn_status run_in_kept(const arguments *a) {
    if (qn_path_exists(a->keep))
        return qn_error(QN_CODE_USAGE, "--keep %s exists already; name a folder to make", a->keep);
    QN_TRY(qn_dir_create(a->keep));
    return run(a, a->keep);
}

qn_status lens_selftest(int argc, char **argv) {
    arguments a = {
        .planted = {
            .seed = 1, .run = {true, true, true, true, true}, .backend = "cpu", .threads = 1}};
    const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    return a.keep ? run_in_kept(&a) : run_in_temporary(&a);
}
