#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/choice_flags.h"
#include "cli/commands.h"
#include "cli/inspect_table.h"
#include "cli/progress.h"
#include "cli/run_model.h"
#include "quern/clock.h"
#include "quern/files.h"
#include "quern/inspect.h"
#include "quern/options.h"

static const char doc[] =
    "Probes trained models: what the heads attend to, how q and k spread, how much of a score is "
    "position, what each layer knows of the next token, whether synonyms draw together.\n"
    "With --run, every checkpoint of --lens-probes and the newest of all, into the run's "
    "inspect.jsonl and pictures.jsonl, which scripts/report.py draws; the table is of the last. An "
    "inspection of one checkpoint or of some parts leaves these as they are. "
    "Ablation, a pass for every head, is of the last alone. "
    "docs/lens.md has every metric."
    "\v"
    "Examples:\n"
    "  quern inspect --run runs/first\n"
    "  quern inspect --run runs/first --checkpoint 512 --parts patterns,ablation --ablate 1.3\n"
    "  quern inspect --run runs/first --sentence \"The cat sat on the mat\"\n"
    "  quern inspect --model path/to/hf-folder --data data/austen --out found";

enum {
    KEY_DATA = 0x1000,
    KEY_OUT,
    KEY_PARTS,
    KEY_TOKENS,
    KEY_WORD_TOKENS,
    KEY_BATCH,
    KEY_SEQ,
    KEY_ABLATE,
    KEY_SENTENCE,
    KEY_WORDNET,
    KEY_SEED
};

static const struct argp_option options[] = {
    {"data", KEY_DATA, "DIR", 0, "data folder (default: the run's)", 2},
    {"out", KEY_OUT, "DIR", 0,
     "folder for inspect.jsonl and pictures.jsonl (default: the run; none with --checkpoint, "
     "--parts, --ablate or --model)",
     2},
    {"parts", KEY_PARTS, "LIST", 0,
     "what to measure: patterns, geometry, distance, ablation, logit-lens, similarity, synonyms, "
     "pictures (default all)",
     2},
    {"tokens", KEY_TOKENS, "N", 0, "held-out text that probes read (default 4096)", 2},
    {"word-tokens", KEY_WORD_TOKENS, "N", 0,
     "training text that the probe of synonyms reads (default 65536)", 2},
    {"batch-size", KEY_BATCH, "B", 0, "sequences at a time (default 8)", 2},
    {"seq-len", KEY_SEQ, "T", 0, "tokens of a sequence (default: the run's, at most 256)", 2},
    {"ablate", KEY_ABLATE, "L.H", 0, "leave out head H of layer L alone (default: each in turn)",
     2},
    {"sentence", KEY_SENTENCE, "TEXT", 0,
     "a sentence to draw attention on; may be repeated (default: three of quern's)", 2},
    {"wordnet", KEY_WORDNET, "DIR", 0, "WordNet's files (default /usr/share/wordnet)", 2},
    {"seed", KEY_SEED, "N", 0, "of random tokens and draws (default 1)", 2},
    {0}};

enum {
    MOST_SENTENCES = 16,
    ALL_PARTS = (1 << QN_N_INSPECT_PARTS) - 1,
    DEFAULT_SEQ_LEN = 256 /* scores of a probe are T²; nothing it says needs longer sequences */
};

typedef struct arguments {
    qn_model_choice choice;
    const char *data, *out;
    int64_t batch_size, seq_len;
    const char *sentences[MOST_SENTENCES];
    qn_inspect_options inspect;
    double began; /* seconds, of qn_clock */
    int shown;    /* length of the progress line; 0 where standard error is no terminal */
} arguments;

/* ---- flags ----------------------------------------------------------------------------------- */

static unsigned parse_parts(struct argp_state *state, const char *list) {
    unsigned parts = 0;
    for (const char *at = list; *at;) {
        const size_t length = strcspn(at, ",");
        int part = 0;
        while (qn_inspect_names[part] && (strlen(qn_inspect_names[part]) != length ||
                                          strncmp(qn_inspect_names[part], at, length)))
            part++;
        if (!qn_inspect_names[part])
            argp_error(state, "--parts has \"%.*s\", which is none; --help lists them", (int)length,
                       at);
        parts |= 1U << part;
        at += length + (at[length] == ',');
    }
    if (!parts) argp_error(state, "--parts is empty; expected names, --help lists them");
    return parts;
}

static void parse_head(struct argp_state *state, const char *text, qn_inspect_options *o) {
    char layer[24] = "";
    const char *dot = strchr(text, '.');
    if (!dot || (size_t)(dot - text) >= sizeof layer)
        argp_error(state, "--ablate is \"%s\", expected LAYER.HEAD, as in 1.3", text);
    memcpy(layer, text, (size_t)(dot - text));
    o->layer = qn_arg_int(state, "--ablate", layer, 0, INT32_MAX);
    o->head = qn_arg_int(state, "--ablate", dot + 1, 0, INT32_MAX);
}

static void add_sentence(struct argp_state *state, arguments *a, const char *text) {
    if (a->inspect.n_sentences == MOST_SENTENCES)
        argp_error(state, "--sentence: at most %d of them", MOST_SENTENCES);
    a->sentences[a->inspect.n_sentences++] = text;
    a->inspect.sentences = a->sentences;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
    arguments *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->choice;
        break;
    case KEY_DATA:
        a->data = arg;
        break;
    case KEY_OUT:
        a->out = arg;
        break;
    case KEY_PARTS:
        a->inspect.parts = parse_parts(state, arg);
        break;
    case KEY_TOKENS:
        a->inspect.tokens = qn_arg_int(state, "--tokens", arg, 1, INT64_MAX);
        break;
    case KEY_WORD_TOKENS:
        a->inspect.word_tokens = qn_arg_int(state, "--word-tokens", arg, 1, INT64_MAX);
        break;
    case KEY_BATCH:
        a->batch_size = qn_arg_int(state, "--batch-size", arg, 1, INT32_MAX);
        break;
    case KEY_SEQ:
        a->seq_len = qn_arg_int(state, "--seq-len", arg, 1, INT32_MAX);
        break;
    case KEY_ABLATE:
        parse_head(state, arg, &a->inspect);
        break;
    case KEY_SENTENCE:
        add_sentence(state, a, arg);
        break;
    case KEY_WORDNET:
        a->inspect.wordnet = arg;
        break;
    case KEY_SEED:
        a->inspect.seed = (uint64_t)qn_arg_int(state, "--seed", arg, 0, INT64_MAX);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- progress -------------------------------------------------------------------------------- */

static void clear_line(const arguments *a) {
    if (a->shown) fputs("\r\033[K", stderr);
}

static void show_part(void *context, int64_t step, const char *part, double done) {
    arguments *a = context;
    char left[32] = "?";
    if (!isatty(STDERR_FILENO)) return;
    if (done > 0)
        qn_format_duration((qn_clock() - a->began) * (1 - done) / done, left, sizeof left);
    clear_line(a);
    a->shown = fprintf(stderr, "%3.0f %%  step %lld  %s  %s left", 100 * done, (long long)step,
                       part, left);
}

static void note(void *context, const char *message) {
    clear_line(context);
    fprintf(stderr, "%s\n", message);
}

/* ---- the work -------------------------------------------------------------------------------- */

/* What the command line leaves open is the run's. */
static qn_status complete(const arguments *a, qn_train_options *run) {
    qn_options_default(run);
    run->data[0] = 0;
    run->seq_len = 0; /* of a model alone, as long as it knows */
    if (a->choice.run && !qn_path_exists(a->choice.run)) {
        return qn_error(QN_CODE_USAGE, "--run %s: there is no such folder", a->choice.run);
    }
    if (a->choice.run) {
        char *path = qn_path("%s/run.json", a->choice.run);
        if (!path) return qn_error(QN_CODE_MEMORY, "no memory for a path");
        qn_status status = qn_options_load(run, path);
        free(path);
        if (status) return status;
    }
    if (a->data) QN_TRY(qn_option_set(run, qn_option_find("data"), a->data, "command line"));
    if (run->seq_len > DEFAULT_SEQ_LEN) run->seq_len = DEFAULT_SEQ_LEN;
    if (a->seq_len) run->seq_len = a->seq_len;
    return QN_OK;
}

/* Flags that would be without effect. */
static qn_status check(const arguments *a) {
    const qn_inspect_options *o = &a->inspect;
    const unsigned unprinted = 1U << QN_INSPECT_PICTURES | 1U << QN_INSPECT_SIMILARITY;
    if (!a->choice.run == !a->choice.model)
        return qn_error(QN_CODE_USAGE, "give either --run DIR or --model DIR");
    if (a->choice.model && a->choice.checkpoint >= 0)
        return qn_error(QN_CODE_USAGE, "--checkpoint %lld is one of a run, and --model is none",
                        (long long)a->choice.checkpoint);
    if (o->layer >= 0 && !(o->parts >> QN_INSPECT_ABLATION & 1))
        return qn_error(QN_CODE_USAGE, "--ablate %lld.%lld: --parts has no ablation",
                        (long long)o->layer, (long long)o->head);
    if (o->n_sentences && !(o->parts >> QN_INSPECT_PICTURES & 1))
        return qn_error(QN_CODE_USAGE, "--sentence: --parts has no pictures");
    if (!(o->parts & ~unprinted) && !a->out)
        return qn_error(QN_CODE_USAGE, "--parts has nothing that the table shows, and some parts "
                                       "alone are not written into the run: name a folder for "
                                       "them with --out DIR");
    return QN_OK;
}

static qn_status find_targets(arguments *a, qn_inspect_targets *out) {
    if (a->choice.run) {
        return qn_inspect_targets_find(a->choice.run, a->choice.checkpoint, note, a, out);
    }
    *out = (qn_inspect_targets){calloc(1, sizeof *out->items), 1};
    if (out->items) out->items[0].folder = strdup(a->choice.model);
    return out->items && out->items[0].folder ? QN_OK
                                              : qn_error(QN_CODE_MEMORY, "no memory for a path");
}

/* Where the figures are written; NULL: nowhere. */
static const char *out_folder(const arguments *a) {
    const qn_inspect_options *o = &a->inspect;
    if (a->out) return a->out;
    const bool whole = a->choice.checkpoint < 0 && o->parts == ALL_PARTS && o->layer < 0;
    return a->choice.run && whole ? a->choice.run : NULL;
}

static qn_status inspect(arguments *a, qn_model *model, const qn_dataset *dataset, const char *data,
                         const qn_inspect_targets *targets) {
    qn_inspector *inspector;
    qn_lens_figures last = {0};
    const char *out = out_folder(a);
    QN_TRY(qn_inspector_open(model, dataset, data, &a->inspect, &inspector));
    qn_status status = qn_inspect_all(inspector, model, targets, out, &last);
    clear_line(a);
    if (!status) {
        const qn_inspect_target *t = &targets->items[targets->count - 1];
        printf("%s", t->folder);
        if (a->choice.run) printf(" (step %lld)", (long long)t->step);
        printf("\n\n");
        qn_print_inspection(stdout, &last);
        if (out) printf("\n%s/inspect.jsonl, %s/pictures.jsonl\n", out, out);
    }
    qn_lens_figures_free(&last);
    qn_inspector_close(inspector);
    return status;
}

static qn_status open_and_inspect(arguments *a, const qn_train_options *run,
                                  const qn_inspect_targets *targets) {
    const qn_plan_options plan = {.mode = QN_PLAN_INSPECT,
                                  .batch_size = a->batch_size,
                                  .seq_len = run->seq_len,
                                  .grad_accum = 1,
                                  .documents = run->documents};
    qn_model_choice choice = a->choice;
    choice.longest = DEFAULT_SEQ_LEN;
    choice.run = NULL;
    choice.model = targets->items[targets->count - 1].folder;
    qn_opened_model opened;
    qn_dataset dataset;
    const bool has_data = run->data[0] != 0;
    if (has_data) QN_TRY(qn_dataset_open(run->data, &dataset));
    qn_status status = qn_open_model(&choice, &plan, &opened);
    if (!status) {
        status = inspect(a, opened.model, has_data ? &dataset : NULL, run->data, targets);
        qn_close_model(&opened);
    }
    if (has_data) qn_dataset_close(&dataset);
    return status;
}

qn_status cmd_inspect(int argc, char **argv) {
    arguments a = {.choice = QN_MODEL_CHOICE,
                   .batch_size = 8,
                   .began = qn_clock(),
                   .inspect = {.parts = ALL_PARTS,
                               .tokens = 4096,
                               .word_tokens = 65536,
                               .wordnet = "/usr/share/wordnet",
                               .layer = -1,
                               .head = -1,
                               .seed = 1,
                               .on_note = note,
                               .on_part = show_part,
                               .context = &a}};
    const struct argp_child children[] = {{&qn_choice_flags, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, NULL, doc, children, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    qn_train_options run;
    qn_inspect_targets targets;
    QN_TRY(check(&a));
    QN_TRY(complete(&a, &run));
    QN_TRY(find_targets(&a, &targets));
    qn_status status = open_and_inspect(&a, &run, &targets);
    qn_inspect_targets_free(&targets);
    return status;
}
