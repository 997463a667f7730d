/* prepare.h: what the command needs to know beside dataset.h. */
#ifndef QUERN_DATA_PREPARE_H
#define QUERN_DATA_PREPARE_H

#include <stdbool.h>

#include "quern/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Is out_dir a sound data folder, made with the same options from the same texts? */
qn_status qn_dataset_is_current(const qn_prepare_options *options, bool *current);

#ifdef __cplusplus
}
#endif
#endif
