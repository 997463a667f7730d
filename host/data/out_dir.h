/* out_dir.h: a folder that appears whole or not at all. */
#ifndef QUERN_DATA_OUT_DIR_H
#define QUERN_DATA_OUT_DIR_H

#include "quern/status.h"

typedef struct qn_out_dir {
    char *path;      /* where it shall appear */
    char *temporary; /* "<path>.tmp": write here */
    int lock;        /* descriptor of the temporary folder, which it locks */
    int replace;
} qn_out_dir;

/* Creates the temporary folder; one that a killed process left is removed, one that a
 * running process writes is an error. Fails where `path` cannot be used: it is not a
 * folder, or holds files that `is_ours` (by name) denies or, without `replace`, any. */
qn_status qn_out_dir_begin(const char *path, int replace, int (*is_ours)(const char *name),
                           qn_out_dir *out);
/* Makes the temporary folder appear as `path`. */
qn_status qn_out_dir_publish(qn_out_dir *out);
/* Removes the temporary folder, if it was not published, and frees `out`. */
void qn_out_dir_end(qn_out_dir *out);

#endif
