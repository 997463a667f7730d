#include "cli/train_flags.h"

#include <stdlib.h>
#include <string.h>

#include "quern/files.h"

/* argp keys: the option's number in the table, from KEY_OPTION on. */
enum { KEY_CONFIG = 0x2000, KEY_OPTION };

static error_t parse(int key, char *arg, struct argp_state *state) {
    qn_train_flags *flags = state->input;
    int count;
    const qn_option *table = qn_option_table(&count);
    if (key >= KEY_OPTION && key < KEY_OPTION + count) {
        flags->given[flags->n_given++] = (qn_flag){&table[key - KEY_OPTION], arg};
        return 0;
    }
    if (key != KEY_CONFIG) return ARGP_ERR_UNKNOWN;
    flags->config = arg;
    return 0;
}

static bool wanted(const char *const *names, const char *name) {
    if (!names) return true;
    while (*names && strcmp(*names, name)) names++;
    return *names != NULL;
}

static qn_status add_option(struct argp_option *to, const qn_option *option, int key) {
    const bool has_default = *option->default_text;
    char *help = has_default ? qn_path("%s (default %s)", option->help, option->default_text)
                             : qn_path("%s", option->help);
    *to = (struct argp_option){.name = option->name, .key = key, .arg = option->arg, .doc = help};
    return help ? QN_OK : qn_error(QN_CODE_MEMORY, "no memory for the help text");
}

qn_status qn_train_flags_open(qn_train_flags *flags, const char *const *names, int argc) {
    int count, n = 0;
    const qn_option *table = qn_option_table(&count);
    *flags = (qn_train_flags){.options = calloc((size_t)count + 2, sizeof *flags->options),
                              .given = calloc((size_t)argc + 1, sizeof *flags->given)};
    qn_status status = flags->options && flags->given
                           ? QN_OK
                           : qn_error(QN_CODE_MEMORY, "no memory for the table of options");
    for (int i = 0; i < count && !status; i++) {
        if (!wanted(names, table[i].name)) continue;
        status = add_option(&flags->options[n++], &table[i], KEY_OPTION + i);
    }
    if (status) {
        qn_train_flags_close(flags);
        return status;
    }
    flags->options[n] =
        (struct argp_option){.name = "config",
                             .key = KEY_CONFIG,
                             .arg = "FILE",
                             .doc = "JSON file with options of training as keys; flags win"};
    flags->argp = (struct argp){.options = flags->options, .parser = parse};
    return QN_OK;
}

void qn_train_flags_close(qn_train_flags *flags) {
    for (struct argp_option *o = flags->options; o && o->name; o++) {
        if (o->key >= KEY_OPTION) free((void *)(uintptr_t)o->doc);
    }
    free(flags->options);
    free(flags->given);
    *flags = (qn_train_flags){0};
}

const char *qn_train_flags_text(const qn_train_flags *flags, const char *name) {
    const char *text = NULL;
    for (int i = 0; i < flags->n_given; i++) {
        if (!strcmp(flags->given[i].option->name, name)) text = flags->given[i].text;
    }
    return text;
}

qn_status qn_train_flags_apply(const qn_train_flags *flags, qn_train_options *options) {
    if (flags->config) QN_TRY(qn_options_load(options, flags->config));
    for (int i = 0; i < flags->n_given; i++) {
        QN_TRY(
            qn_option_set(options, flags->given[i].option, flags->given[i].text, "command line"));
    }
    return QN_OK;
}
