#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

static const char usage[] =
    "Usage: quern lens selftest [OPTION...]\n\n"
    "  selftest   trains on planted tasks and checks that the lens says what was planted\n\n"
    "`quern lens selftest --help` says more.\n\n"
    "Examples:\n"
    "  quern lens selftest\n";

qn_status cmd_lens(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    char program[] = "quern lens selftest";
    if (argc > 1) argv[1] = program;
    if (!strcmp(what, "selftest")) return lens_selftest(argc - 1, argv + 1);
    if (!strcmp(what, "--help")) {
        fputs(usage, stdout);
        return QN_OK;
    }
    return qn_error(QN_CODE_USAGE, "\"%s\" is nothing that the lens does; expected selftest", what);
}
