/* commands.h: the commands of the program, one file each. argv[0] is the command's
 * name; a failed status is printed by main, which alone decides the exit code. */
#ifndef QUERN_CLI_COMMANDS_H
#define QUERN_CLI_COMMANDS_H

#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

qn_status cmd_prepare(int argc, char **argv);
qn_status cmd_train(int argc, char **argv);
qn_status cmd_eval(int argc, char **argv);
qn_status cmd_generate(int argc, char **argv);
qn_status cmd_inspect(int argc, char **argv);
qn_status cmd_plan(int argc, char **argv);
qn_status cmd_info(int argc, char **argv);
qn_status cmd_bench(int argc, char **argv);
qn_status bench_attention(int argc, char **argv);
qn_status bench_step(int argc, char **argv);
qn_status cmd_lens(int argc, char **argv);
qn_status lens_selftest(int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
