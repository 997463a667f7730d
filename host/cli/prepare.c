#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "quern/clock.h"
#include "quern/dataset.h"

static const char doc[] =
    "Makes a data folder to train on: learns a tokenizer from the text, and writes the text as "
    "token shards, the last part of it held out for evaluation.\v"
    "The corpora come from Debian packages: scripts/corpus.sh fetches them, without root. "
    "austen is six novels (4 MB), classic adds bibles and commentaries (31 MB). Each FILE is "
    "UTF-8 and one document.\n\n"
    "DIR gets train_*.bin and val_*.bin (token shards in llm.c's layout), tokenizer.model "
    "(SentencePiece), tokenizer.json (Hugging Face) and data.json. A DIR that was made with the "
    "same options from the same text is left as it is.\n\n"
    "Examples:\n"
    "  quern prepare --corpus austen --out data/austen\n"
    "  quern prepare --text a.txt --text b.txt --vocab-size 8192 --out data/mine\n"
    "  quern prepare --out data/mine --force texts/*.txt";

enum { KEY_CORPUS_DIR = 0x1000, KEY_VOCAB, KEY_VAL, KEY_FORCE, KEY_THREADS };

static const struct argp_option options[] = {
    {"text", 't', "FILE", 0, "a text to train on; may be given again", 0},
    {"corpus", 'c', "NAME", 0, "instead of files: austen or classic", 0},
    {"corpus-dir", KEY_CORPUS_DIR, "DIR", 0, "where the corpora are (default: build/corpus)", 0},
    {"out", 'o', "DIR", 0, "the data folder to make", 0},
    {"vocab-size", KEY_VOCAB, "N", 0, "pieces of the tokenizer (default: 4096)", 0},
    {"val-fraction", KEY_VAL, "X", 0, "part of the text to hold out (default: 0.05)", 0},
    {"threads", KEY_THREADS, "N", 0, "threads (default: one a processor)", 0},
    {"force", KEY_FORCE, NULL, 0, "replace an earlier data folder at DIR", 0},
    {0}};

typedef struct arguments {
    qn_prepare_options prepare;
    const char **files;
    bool terminal; /* standard error is one: show progress */
    qn_interrupt interrupt;
} arguments;

static void add_file(arguments *a, const char *file, struct argp_state *state) {
    const char **files = realloc(a->files, (size_t)(a->prepare.n_files + 1) * sizeof *files);
    if (!files) argp_failure(state, 1, 0, "out of memory");
    files[a->prepare.n_files++] = file;
    a->files = files;
}

static void check_arguments(const arguments *a, struct argp_state *state) {
    const qn_prepare_options *p = &a->prepare;
    if (!p->corpus && p->n_files == 0) argp_error(state, "no text: give --corpus NAME or files");
    if (p->corpus && p->n_files > 0) argp_error(state, "give either --corpus or files, not both");
    if (!p->out_dir) argp_error(state, "give --out DIR");
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    arguments *a = state->input;
    qn_prepare_options *p = &a->prepare;
    switch (key) {
    case 't':
    case ARGP_KEY_ARG:
        add_file(a, arg, state);
        break;
    case 'c':
        p->corpus = arg;
        break;
    case KEY_CORPUS_DIR:
        p->corpus_dir = arg;
        break;
    case 'o':
        p->out_dir = arg;
        break;
    case KEY_VOCAB:
        p->vocab_size = (int)qn_arg_int(state, "--vocab-size", arg, 1, 1 << 20);
        break;
    case KEY_VAL:
        p->val_fraction = qn_arg_real(state, "--val-fraction", arg, 0, 0.5);
        break;
    case KEY_THREADS:
        p->n_threads = (int)qn_arg_int(state, "--threads", arg, 1, 1024);
        break;
    case KEY_FORCE:
        p->replace = 1;
        break;
    case ARGP_KEY_END:
        check_arguments(a, state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Nonzero, which stops the work, after SIGINT or SIGTERM. */
static int show_progress(void *context, const char *stage, double done) {
    arguments *a = context;
    if (a->terminal) fprintf(stderr, "\r\033[K%s %3.0f %%", stage, 100 * done);
    return qn_interrupt_came(&a->interrupt);
}

static qn_status print_summary(const char *dir, double seconds) {
    qn_dataset d;
    QN_TRY(qn_dataset_open(dir, &d));
    printf("%s: %lld tokens to train on, %lld held out; %.2f bytes per token; vocabulary %lld; "
           "%.1f s\n",
           dir, (long long)d.train_tokens, (long long)d.val_tokens,
           (double)(d.train_bytes + d.val_bytes) / (double)(d.train_tokens + d.val_tokens),
           (long long)d.vocab_size, seconds);
    qn_dataset_close(&d);
    return QN_OK;
}

static qn_status prepare(arguments *a) {
    double begun = qn_clock();
    QN_TRY(qn_interrupt_watch(&a->interrupt));
    qn_status status = qn_dataset_prepare(&a->prepare);
    qn_interrupt_unwatch(&a->interrupt);
    if (a->terminal) fprintf(stderr, "\r\033[K");
    QN_TRY(status);
    return print_summary(a->prepare.out_dir, qn_clock() - begun);
}

/* Does nothing where the folder is as it should be. */
static qn_status prepare_if_needed(arguments *a) {
    bool current = false;
    if (!a->prepare.replace) QN_TRY(qn_dataset_is_current(&a->prepare, &current));
    if (!current) return prepare(a);
    printf("%s is up to date\n", a->prepare.out_dir);
    return QN_OK;
}

qn_status cmd_prepare(int argc, char **argv) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    arguments a = {.prepare = {.corpus_dir = "build/corpus",
                               .vocab_size = 4096,
                               .val_fraction = 0.05,
                               .n_threads = processors < 1 ? 1 : (int)processors,
                               .progress = show_progress},
                   .terminal = isatty(STDERR_FILENO)};
    a.prepare.progress_context = &a;
    const struct argp argp = {options, parse, "[FILE...]", doc, NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    a.prepare.files = a.files;
    qn_status status = prepare_if_needed(&a);
    free(a.files);
    return status;
}
