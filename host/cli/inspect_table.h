/* inspect_table.h: what an inspection found, for people. */
#ifndef QUERN_CLI_INSPECT_TABLE_H
#define QUERN_CLI_INSPECT_TABLE_H

#include <stdio.h>

#include "quern/lens.h"

/* A table of heads, one of depths, and what concerns the whole model; columns of metrics that were
 * not measured are left out. */
void qn_print_inspection(FILE *out, const qn_lens_figures *figures);

#endif
