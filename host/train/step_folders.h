/* step_folders.h: folders step-N in a parent folder. Each is written under another name, synced
 * and renamed, and renamed again before it is removed: whatever is called step-N is whole. */
#ifndef QUERN_TRAIN_STEP_FOLDERS_H
#define QUERN_TRAIN_STEP_FOLDERS_H

#include <stdint.h>

#include "quern/status.h"

/* The folder that becomes step-N, empty: its path, malloc'ed. */
qn_status qn_step_folder_begin(const char *parent, int64_t step, char **dir);
/* Publishes it if `written` is success, else removes it and gives that error back; frees `dir`. */
qn_status qn_step_folder_end(const char *parent, int64_t step, char *dir, qn_status written);

/* The N of all step-N, ascending, malloc'ed; none where there is no parent. */
qn_status qn_step_folders(const char *parent, int64_t **steps, int64_t *count);

/* Renames step-N to step-N<suffix>, which gives way. */
qn_status qn_step_folder_set_aside(const char *parent, int64_t step, const char *suffix);
/* One that is not there is fine. */
qn_status qn_step_folder_remove(const char *parent, int64_t step);
/* Removes what writes or removals that were cut off left. */
qn_status qn_step_folders_tidy(const char *parent);

#endif
