/* train_flags.h: the options of training as flags of a command. */
#ifndef QUERN_CLI_TRAIN_FLAGS_H
#define QUERN_CLI_TRAIN_FLAGS_H

#include <argp.h>

#include "quern/options.h"

typedef struct qn_flag {
    const qn_option *option;
    const char *text;
} qn_flag;

/* A parser for argp's `children`; the command hands it to argp's child_inputs[0] as itself. */
typedef struct qn_train_flags {
    struct argp argp;
    struct argp_option *options;
    qn_flag *given; /* in the order of the command line; later ones win */
    int n_given;
    const char *config; /* --config FILE */
} qn_train_flags;

/* Flags for the options of these names (ended by NULL; NULL: all), for a command line of at
 * most argc words. */
qn_status qn_train_flags_open(qn_train_flags *flags, const char *const *names, int argc);
void qn_train_flags_close(qn_train_flags *flags);

/* The text given for an option, or NULL. */
const char *qn_train_flags_text(const qn_train_flags *flags, const char *name);

/* Sets what --config and then the flags say; everything else stays. */
qn_status qn_train_flags_apply(const qn_train_flags *flags, qn_train_options *options);

#endif
