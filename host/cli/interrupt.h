/* interrupt.h: SIGINT and SIGTERM as a wish to stop after the step under way. */
#ifndef QUERN_CLI_INTERRUPT_H
#define QUERN_CLI_INTERRUPT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "quern/status.h"

typedef struct qn_interrupt {
    atomic_int signal; /* the first signal that came; 0: none */
    pthread_t watcher;
} qn_interrupt;

/* Begins to watch: the first SIGINT or SIGTERM sets `signal`, a second SIGINT ends the process
 * at once, as it would have without us. To be called before other threads start. */
qn_status qn_interrupt_watch(qn_interrupt *interrupt);
void qn_interrupt_unwatch(qn_interrupt *interrupt);

#endif
