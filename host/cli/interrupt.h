/* interrupt.h: SIGINT and SIGTERM as a wish to stop after the step under way. */
#ifndef QUERN_CLI_INTERRUPT_H
#define QUERN_CLI_INTERRUPT_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_interrupt {
    int signal; /* the first that came, 0: none; both threads reach it atomically */
    pthread_t watcher;
    sigset_t before; /* what was blocked before */
} qn_interrupt;

/* Begins to watch: the first SIGINT or SIGTERM is kept, a second SIGINT ends the process at
 * once, as it would have without us. To be called before other threads start. When it fails,
 * signals act as before. */
qn_status qn_interrupt_watch(qn_interrupt *interrupt);
/* Ends a watch that began; signals act as before. */
void qn_interrupt_unwatch(qn_interrupt *interrupt);

/* Whether a signal came. */
bool qn_interrupt_came(const qn_interrupt *interrupt);

#ifdef __cplusplus
}
#endif
#endif
