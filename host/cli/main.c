/* main.c: finds the command and turns its status into an exit code. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "quern/version.h"

static const struct {
    const char *name;
    qn_status (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"prepare", cmd_prepare, "make a data folder: tokenizer and token shards out of text"},
    {"train", cmd_train, "train a model"},
    {"eval", cmd_eval, "loss and bits per byte of a trained model"},
    {"generate", cmd_generate, "let a trained model write"},
    {"plan", cmd_plan, "the memory that a training run would take"},
    {"inspect", cmd_inspect, "probe what heads and layers do, checkpoint by checkpoint"},
    {"info", cmd_info, "what a run, a model, a data folder or this machine is"},
    {"bench", cmd_bench, "measure attention or whole training steps"},
    {"lens", cmd_lens, "whether the lens says what was planted"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_usage(FILE *to) {
    fprintf(to,
            "quern %s: trains transformers and shows how attention learns\n\n"
            "Usage: quern COMMAND [OPTION...]\n\nCommands:\n",
            QN_VERSION);
    for (int i = 0; i < N_COMMANDS; i++) {
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(to, "\n`quern COMMAND --help` lists a command's options with their defaults.\n");
}

static int run_command(int which, int argc, char **argv) {
    char program[64];
    snprintf(program, sizeof program, "quern %s", commands[which].name);
    argv[0] = program;
    qn_status status = commands[which].run(argc, argv);
    if (!status) return 0;
    fprintf(stderr, "%s: %s\n", program, qn_message(status));
    const int code = qn_status_code(status) == QN_CODE_USAGE ? 2 : 1;
    qn_status_free(status);
    return code;
}

int main(int argc, char **argv) {
    argp_err_exit_status = 2;
    const char *name = argc > 1 ? argv[1] : "";
    for (int i = 0; i < N_COMMANDS; i++) {
        if (!strcmp(name, commands[i].name)) return run_command(i, argc - 1, argv + 1);
    }
    if (!strcmp(name, "--help") || !strcmp(name, "help")) {
        print_usage(stdout);
        return 0;
    }
    if (!strcmp(name, "--version")) {
        printf("quern %s (%s)\n", QN_VERSION, qn_commit());
        return 0;
    }
    if (*name) fprintf(stderr, "quern: \"%s\" is not a command\n\n", name);
    print_usage(stderr);
    return 2;
}
