#include "simt/scheduler.h"

#include <cstdlib>
#include <utility>

#include "simt/report.h"

namespace simt {

Registers *current;
Machine *machine;

// ---- the queue of ready threads ------------------------------------------------------

void make_ready(Thread &thread) {
    if (thread.queued || thread.done) return;
    thread.queued = true;
    machine->ready.push_back(&thread);
}

// Brings the thread to run next to the head of the queue. Half of the seeds prefer those that
// were woken last, so that a warp runs far ahead of the others.
static void choose_next() {
    Machine &m = *machine;
    size_t n = m.ready.size() - m.ready_head;
    size_t choice = m.ready_head + m.random.below(n);
    if (m.config.seed % 2 == 0 && !m.random.one_in(8)) choice = m.ready.size() - 1;
    std::swap(m.ready[choice], m.ready[m.ready_head]);
}

static bool fill_queue() {
    for (;;) {
        ask_polling();
        if (!machine->ready.empty()) return true;
        if (!machine->async.complete_when_idle()) return false;
    }
}

static Thread *next_ready() {
    Machine &m = *machine;
    if (m.config.async == AsyncMode::kRandom) m.async.complete_perhaps();
    if (m.ready_head == m.ready.size()) {
        m.ready.clear();
        m.ready_head = 0;
        if (!fill_queue()) return nullptr;
    }
    if (m.config.seed) choose_next();
    Thread *thread = m.ready[m.ready_head++];
    if (m.ready_head >= 4096) { // the part that has run
        m.ready.erase(m.ready.begin(), m.ready.begin() + (ptrdiff_t)m.ready_head);
        m.ready_head = 0;
    }
    thread->queued = false;
    return thread;
}

// ---- switching ---------------------------------------------------------------------------

[[noreturn]] static void leave_to_host() {
    Thread &thread = self();
    fiber_leave(thread.fiber, machine->host);
    abort();
}

// Unwinds a thread that failed, so that nothing on its stack leaks.
struct ThreadFailed {};

[[noreturn]] static void fail_deadlocked() {
    fail("deadlock: no thread can run" + waiting_threads());
}

void suspend(const Wait &wait) {
    Thread &thread = self();
    thread.wait = wait;
    Thread *next = next_ready();
    if (!next) fail_deadlocked();
    if (next != &thread) {
        current = next;
        fiber_switch(thread.fiber, next->fiber);
    }
    thread.wait = Wait();
}

void suspend_until(const Wait &wait, bool (*satisfied)(const Thread &)) {
    Thread &thread = self();
    thread.wait = wait;
    while (!satisfied(thread)) {
        thread.satisfied = satisfied;
        machine->polling.push_back(&thread);
        suspend(wait);
        thread.wait = wait;
    }
    thread.wait = Wait();
}

void ask_polling() {
    std::vector<Thread *> &polling = machine->polling;
    for (size_t i = 0; i < polling.size();) {
        if (polling[i]->satisfied(*polling[i])) {
            make_ready(*polling[i]);
            polling[i] = polling.back();
            polling.pop_back();
        } else {
            i++;
        }
    }
}

void yield(Where where) {
    make_ready(self());
    suspend(Wait{"its turn", where});
}

void perhaps_yield(Where where) {
    if (machine->config.seed && machine->random.one_in(4)) yield(where);
}

[[noreturn]] static void end_thread() {
    Thread &thread = self();
    thread.done = true;
    warp_of(thread).exited |= 1u << thread.lane;
    if (--thread.block->n_live == 0) leave_to_host();
    Thread *next = next_ready();
    if (!next) fail_deadlocked();
    current = next;
    fiber_leave(thread.fiber, next->fiber);
    abort();
}

void fail(const std::string &message) {
    if (!current) throw Error(message); // asynchronous work, completed while no thread runs
    machine->error = message;
    throw ThreadFailed();
}

void fail_without_unwinding(const std::string &message) {
    machine->error = message;
    leave_to_host();
}

void run_thread(void (*body)()) {
    try {
        body();
        end_thread();
    } catch (const ThreadFailed &) {
    }
    leave_to_host();
}

bool run_threads() {
    Thread *next = next_ready();
    if (!next) return false;
    current = next;
    fiber_switch(machine->host, next->fiber);
    current = nullptr;
    return true;
}

} // namespace simt
