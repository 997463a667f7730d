#include "cli/choice_flags.h"

#include "cli/arguments.h"
#include "cli/run_model.h"

enum { KEY_RUN = 0x3000, KEY_MODEL, KEY_CHECKPOINT, KEY_BACKEND, KEY_THREADS };

static const struct argp_option options[] = {
    {"run", KEY_RUN, "DIR", 0, "run folder", 1},
    {"model", KEY_MODEL, "DIR", 0,
     "or a folder with config.json, weights and, to generate, tokenizer.model", 1},
    {"checkpoint", KEY_CHECKPOINT, "STEP", 0, "of the run (default: the newest)", 1},
    {"backend", KEY_BACKEND, "NAME", 0,
     "cpu, cuda, or auto for a GPU where there is one (default auto)", 3},
    {"threads", KEY_THREADS, "N", 0, "CPU threads; 0: one a core (default 0)", 3},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
    qn_model_choice *choice = state->input;
    switch (key) {
    case KEY_RUN:
        choice->run = arg;
        break;
    case KEY_MODEL:
        choice->model = arg;
        break;
    case KEY_CHECKPOINT:
        choice->checkpoint = qn_arg_int(state, "--checkpoint", arg, 0, INT64_MAX);
        break;
    case KEY_BACKEND:
        choice->backend = arg;
        break;
    case KEY_THREADS:
        choice->threads = (int)qn_arg_int(state, "--threads", arg, 0, 4096);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp qn_choice_flags = {.options = options, .parser = parse};
