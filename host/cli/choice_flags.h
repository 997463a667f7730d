/* choice_flags.h: which trained model, and where it runs: flags of eval and generate. */
#ifndef QUERN_CLI_CHOICE_FLAGS_H
#define QUERN_CLI_CHOICE_FLAGS_H

#include <argp.h>

/* --run, --model, --checkpoint, --backend and --threads, for argp's `children`; the command
 * hands it a qn_model_choice that is QN_MODEL_CHOICE. */
extern const struct argp qn_choice_flags;

#endif
