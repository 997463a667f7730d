#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

static void signal_set(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

/* The only thread that takes the two signals: they are blocked everywhere else. */
static void *watch(void *context) {
    qn_interrupt *interrupt = context;
    sigset_t set;
    signal_set(&set);
    for (int signal; !sigwait(&set, &signal);) {
        if (!interrupt->signal) {
            interrupt->signal = signal;
        } else if (signal == SIGINT) {
            pthread_sigmask(SIG_UNBLOCK, &set, NULL);
            raise(SIGINT);
        }
    }
    return NULL;
}

qn_status qn_interrupt_watch(qn_interrupt *interrupt) {
    sigset_t set;
    signal_set(&set);
    interrupt->signal = 0;
    int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (!error) error = pthread_create(&interrupt->watcher, NULL, watch, interrupt);
    if (!error) return QN_OK;
    return qn_error(QN_CODE_IO, "cannot watch for signals: %s", strerror(error));
}

void qn_interrupt_unwatch(qn_interrupt *interrupt) {
    pthread_cancel(interrupt->watcher);
    pthread_join(interrupt->watcher, NULL);
    sigset_t set;
    signal_set(&set);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
