#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/choice_flags.h"
#include "cli/commands.h"
#include "cli/run_model.h"
#include "cli/token_writer.h"
#include "quern/train.h"

static const char doc[] =
    "Lets a trained model continue a prompt, token by token with a KV cache."
    "\v"
    "Examples:\n"
    "  quern generate --run runs/first --prompt \"It is a truth\"\n"
    "  quern generate --run runs/first --max-tokens 500 --temperature 0.8 --top-p 0.9\n"
    "  quern generate --model path/to/hf-folder --prompt \"Once\" --temperature 0";

enum { KEY_MAX = 0x1000, KEY_TEMPERATURE, KEY_TOP_K, KEY_TOP_P, KEY_SEED, KEY_PROMPT, KEY_CONTEXT };

static const struct argp_option options[] = {
    {"prompt", KEY_PROMPT, "TEXT", 0, "text to continue (default: the beginning of a document)", 2},
    {"max-tokens", KEY_MAX, "N", 0, "tokens to write (default 200)", 2},
    {"temperature", KEY_TEMPERATURE, "X", 0, "0: always the most probable token (default 0.8)", 2},
    {"top-k", KEY_TOP_K, "N", 0, "draw from the N most probable tokens; 0: all (default 0)", 2},
    {"top-p", KEY_TOP_P, "X", 0,
     "draw from the fewest tokens that have this much probability (default 0.95)", 2},
    {"seed", KEY_SEED, "N", 0, "another seed, another text (default 1)", 2},
    {"context", KEY_CONTEXT, "N", 0,
     "positions of the KV cache (default: the model's, at most 2048)", 3},
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
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->choice;
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
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
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
    const int pieces = qn_tokenizer_vocab_size(*out);
    if (pieces < vocab_size) {
        fprintf(stderr,
                "%s has %d pieces, and the model a vocabulary of %lld: tokens from %d on "
                "are not drawn\n",
                path, pieces, (long long)vocab_size, pieces);
    }
    if (pieces <= vocab_size) return QN_OK;
    qn_tokenizer_close(*out);
    *out = NULL;
    return qn_error(QN_CODE_INVALID,
                    "%s has %d pieces, and the model a vocabulary of %lld; expected at most that "
                    "many: is it the tokenizer of another model?",
                    path, pieces, (long long)vocab_size);
}

static qn_status generate(const arguments *a, const qn_opened_model *opened) {
    const qn_config *config = &qn_model_plan(opened->model)->config;
    qn_sampling sampling = a->sampling;
    int32_t *prompt = NULL;
    size_t count;
    qn_tokenizer *tokenizer = NULL;
    qn_status status;
    QN_TRY_GOTO(status, done, open_tokenizer(opened->folder, config->vocab_size, &tokenizer));
    QN_TRY_GOTO(status, done, encode_prompt(tokenizer, a->prompt, &prompt, &count));
    qn_token_writer writer = {.tokenizer = tokenizer, .out = stdout};
    sampling.n_tokens = qn_tokenizer_vocab_size(tokenizer);
    fputs(a->prompt, stdout);
    status = qn_generate(opened->model, prompt, (int64_t)count, a->max_tokens, &sampling,
                         qn_token_write, &writer);
    if (!status) status = writer.status;
    putchar('\n');
done:
    free(prompt);
    qn_tokenizer_close(tokenizer);
    return status;
}

qn_status cmd_generate(int argc, char **argv) {
    arguments a = {.choice = QN_MODEL_CHOICE,
                   .prompt = "",
                   .max_tokens = 200,
                   .sampling = {.temperature = 0.8, .top_p = 0.95, .seed = 1}};
    const struct argp_child children[] = {{&qn_choice_flags, 0, NULL, 0}, {0}};
    const struct argp argp = {options, parse, NULL, doc, children, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    const qn_plan_options plan = {
        .mode = QN_PLAN_GENERATE, .batch_size = 1, .seq_len = a.context, .grad_accum = 1};
    qn_opened_model opened;
    QN_TRY(qn_open_model(&a.choice, &plan, &opened));
    qn_status status = generate(&a, &opened);
    qn_close_model(&opened);
    return status;
}
