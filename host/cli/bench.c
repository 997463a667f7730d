#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

static const char usage[] =
    "Usage: quern bench attention|step [OPTION...]\n\n"
    "  attention   naive and fused attention side by side\n"
    "  step        whole training steps, and where their time goes\n\n"
    "`quern bench attention --help` and `quern bench step --help` say more.\n\n"
    "Examples:\n"
    "  quern bench attention\n"
    "  quern bench step --model gpt2-12m\n";

qn_status cmd_bench(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    char program[32];
    snprintf(program, sizeof program, "quern bench %s", what);
    if (argc > 1) argv[1] = program;
    if (!strcmp(what, "attention")) return bench_attention(argc - 1, argv + 1);
    if (!strcmp(what, "step")) return bench_step(argc - 1, argv + 1);
    if (!strcmp(what, "--help")) {
        fputs(usage, stdout);
        return QN_OK;
    }
    return qn_error(QN_CODE_USAGE, "\"%s\" is not a benchmark; expected attention or step", what);
}
