#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/run_model.h"
#include "quern/train.h"

static const char doc[] =
    "Lets a trained model continue a prompt, token by token with a KV cache."
    "\v"
    "Examples:\n"
    "  quern generate --run runs/first --prompt \"It is a truth\"\n"
    "  quern generate --run runs/first --max-tokens 500 --temperature 0.8 --top-p 0.9\n"
    "  quern generate --model path/to/hf-folder --prompt \"Once\" --temperature 0";

enum {
    KEY_CHECKPOINT = 0x1000,
    KEY_MAX,
    KEY_TEMPERATURE,
    KEY_TOP_K,
    KEY_TOP_P,
    KEY_SEED,
    KEY_RUN,
    KEY_MODEL,
    KEY_PROMPT,
    KEY_CONTEXT,
    KEY_BACKEND,
    KEY_THREADS
};

static const struct argp_option options[] = {
    {"run", KEY_RUN, "DIR", 0, "run folder", 1},
    {"model", KEY_MODEL, "DIR", 0, "or a folder with config.json, weights and tokenizer.model", 1},
    {"checkpoint", KEY_CHECKPOINT, "STEP", 0, "of the run (default: the newest)", 1},
    {"prompt", KEY_PROMPT, "TEXT", 0, "text to continue (default: the beginning of a document)", 2},
    {"max-tokens", KEY_MAX, "N", 0, "tokens to write (default 200)", 2},
    {"temperature", KEY_TEMPERATURE, "X", 0, "0: always the most probable token (default 0.8)", 2},
    {"top-k", KEY_TOP_K, "N", 0, "draw from the N most probable tokens; 0: all (default 0)", 2},
    {"top-p", KEY_TOP_P, "X", 0,
     "draw from the fewest tokens that have this much probability (default 0.95)", 2},
    {"seed", KEY_SEED, "N", 0, "another seed, another text (default 1)", 2},
    {"context", KEY_CONTEXT, "N", 0,
     "positions of the KV cache (default: the model's, at most 2048)", 3},
    {"backend", KEY_BACKEND, "NAME", 0, "auto or cpu (default auto)", 3},
    {"threads", KEY_THREADS, "N", 0, "CPU threads; 0: one a core (default 0)", 3},
    {0}};

typedef struct arguments {
    qn_model_choice choice;
    const char *prompt;
    int64_t max_tokens, context;
    qn_sampling sampling;
} arguments;

static error_t parse(int key, char *arg, struct argp_state *state) {
    arguments *a = state->input;
    switch (key) {
    case KEY_RUN:
        a->choice.run = arg;
        break;
    case KEY_MODEL:
        a->choice.model = arg;
        break;
    case KEY_CHECKPOINT:
        a->choice.checkpoint = qn_arg_int(state, "--checkpoint", arg, 0, INT64_MAX);
        break;
    case KEY_PROMPT:
        a->prompt = arg;
        break;
    case KEY_MAX:
        a->max_tokens = qn_arg_int(state, "--max-tokens", arg, 0, INT32_MAX);
        break;
    case KEY_TEMPERATURE:
        a->sampling.temperature = qn_arg_real(state, "--temperature", arg, 0, 100);
        break;
    case KEY_TOP_K:
        a->sampling.top_k = qn_arg_int(state, "--top-k", arg, 0, INT32_MAX);
        break;
    case KEY_TOP_P:
        a->sampling.top_p = qn_arg_real(state, "--top-p", arg, 1e-9, 1);
        break;
    case KEY_SEED:
        a->sampling.seed = (uint64_t)qn_arg_int(state, "--seed", arg, 0, INT64_MAX);
        break;
    case KEY_CONTEXT:
        a->context = qn_arg_int(state, "--context", arg, 2, INT32_MAX);
        break;
    case KEY_BACKEND:
        a->choice.backend = arg;
        break;
    case KEY_THREADS:
        a->choice.threads = (int)qn_arg_int(state, "--threads", arg, 0, 4096);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Prints tokens as they come; a piece can end inside a character, so text is decoded as a
 * whole and its new end printed. */
typedef struct writer {
    const qn_tokenizer *tokenizer;
    int32_t *ids;
    size_t count, printed;
    qn_status status;
} writer;

static bool write_token(void *context, int32_t token) {
    writer *w = context;
    if (token == qn_tokenizer_boundary_id(w->tokenizer)) return false;
    w->ids[w->count++] = token;
    char *text;
    size_t length;
    w->status = qn_tokenizer_decode(w->tokenizer, w->ids, w->count, &text, &length);
    if (w->status) return false;
    fwrite(text + w->printed, 1, length - w->printed, stdout);
    fflush(stdout);
    w->printed = length;
    free(text);
    return true;
}

/* The prompt behind a document's boundary. */
static qn_status encode_prompt(const qn_tokenizer *tokenizer, const char *prompt, int32_t **ids,
                               size_t *count) {
    int32_t *text;
    size_t n;
    QN_TRY(qn_tokenizer_encode(tokenizer, prompt, strlen(prompt), &text, &n));
    int32_t *all = malloc((n + 1) * sizeof *all);
    if (!all) {
        free(text);
        return qn_error(QN_CODE_MEMORY, "no memory for a prompt of %zu tokens", n);
    }
    all[0] = qn_tokenizer_boundary_id(tokenizer);
    if (n) memcpy(all + 1, text, n * sizeof *all);
    free(text);
    *ids = all;
    *count = n + 1;
    return QN_OK;
}

static qn_status open_tokenizer(const char *folder, int64_t vocab_size, qn_tokenizer **out) {
    char path[4096];
    snprintf(path, sizeof path, "%s/tokenizer.model", folder);
    QN_TRY(qn_tokenizer_open(path, out));
    if (qn_tokenizer_vocab_size(*out) <= vocab_size) return QN_OK;
    const int pieces = qn_tokenizer_vocab_size(*out);
    qn_tokenizer_close(*out);
    *out = NULL;
    return qn_error(QN_CODE_INVALID, "%s has %d pieces, and the model a vocabulary of %lld", path,
                    pieces, (long long)vocab_size);
}

static qn_status generate(const arguments *a, const qn_opened_model *opened) {
    const qn_config *config = &qn_model_plan(opened->model)->config;
    writer w = {0};
    int32_t *prompt = NULL;
    size_t count;
    qn_tokenizer *tokenizer = NULL;
    qn_status status;
    QN_TRY_GOTO(status, done, open_tokenizer(opened->folder, config->vocab_size, &tokenizer));
    QN_TRY_GOTO(status, done, encode_prompt(tokenizer, a->prompt, &prompt, &count));
    w.tokenizer = tokenizer;
    w.ids = malloc((size_t)(a->max_tokens + 1) * sizeof *w.ids);
    if (!w.ids) {
        status = qn_error(QN_CODE_MEMORY, "no memory for %lld tokens", (long long)a->max_tokens);
        goto done;
    }
    fputs(a->prompt, stdout);
    status = qn_generate(opened->model, prompt, (int64_t)count, a->max_tokens, &a->sampling,
                         write_token, &w);
    if (!status) status = w.status;
    putchar('\n');
done:
    free(w.ids);
    free(prompt);
    qn_tokenizer_close(tokenizer);
    return status;
}

qn_status cmd_generate(int argc, char **argv) {
    arguments a = {.choice = {.checkpoint = -1, .backend = "auto", .any_precision = true},
                   .prompt = "",
                   .max_tokens = 200,
                   .sampling = {.temperature = 0.8, .top_p = 0.95, .seed = 1}};
    const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    const qn_plan_options plan = {
        .mode = QN_PLAN_GENERATE, .batch_size = 1, .seq_len = a.context, .grad_accum = 1};
    qn_opened_model opened;
    QN_TRY(qn_open_model(&a.choice, &plan, &opened));
    qn_status status = generate(&a, &opened);
    qn_close_model(&opened);
    return status;
}
