#include "cli/interrupt.h"

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
        if (!qn_interrupt_came(interrupt)) {
            __atomic_store_n(&interrupt->signal, signal, __ATOMIC_RELEASE);
        } else if (signal == SIGINT) {
            pthread_sigmask(SIG_UNBLOCK, &set, NULL);
            raise(SIGINT);
        }
    }
    return NULL;
}

bool qn_interrupt_came(const qn_interrupt *interrupt) {
    return __atomic_load_n(&interrupt->signal, __ATOMIC_ACQUIRE) != 0;
}

qn_status qn_interrupt_watch(qn_interrupt *interrupt) {
    sigset_t set;
    signal_set(&set);
    interrupt->signal = 0;
    int error = pthread_sigmask(SIG_BLOCK, &set, &interrupt->before);
    if (error) return qn_error(QN_CODE_IO, "cannot block signals: %s", strerror(error));
    error = pthread_create(&interrupt->watcher, NULL, watch, interrupt);
    if (!error) return QN_OK;
    pthread_sigmask(SIG_SETMASK, &interrupt->before, NULL);
    return qn_error(QN_CODE_IO,
                    "cannot start the thread that watches for SIGINT and SIGTERM: %s; is there a "
                    "limit on threads or memory (ulimit -u, -v)?",
                    strerror(error));
}

void qn_interrupt_unwatch(qn_interrupt *interrupt) {
    pthread_cancel(interrupt->watcher);
    pthread_join(interrupt->watcher, NULL);
    pthread_sigmask(SIG_SETMASK, &interrupt->before, NULL);
}
