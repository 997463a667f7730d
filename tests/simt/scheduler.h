// scheduler.h: which thread runs next. Threads run until they suspend themselves.
#ifndef QUERN_TESTS_SIMT_SCHEDULER_H
#define QUERN_TESTS_SIMT_SCHEDULER_H

#include <string>

#include "simt/machine.h"

namespace simt {

// Lets a thread run, now or later. No effect on one that is queued already.
void make_ready(Thread &thread);

// The running thread waits until another one, or asynchronous work, makes it ready.
void suspend(const Wait &wait);

// The same until `satisfied` says so; it is asked again after every release and when
// nothing else can run.
void suspend_until(const Wait &wait, bool (*satisfied)(const Thread &));
void ask_polling();

// Others may run before the thread goes on.
void yield(Where where);
// A yield in some of the cases, so that seeds differ in more than the order of waking.
void perhaps_yield(Where where);

// What the fiber of a thread calls: its body, then others.
[[noreturn]] void run_thread(void (*body)());

// Ends the launch, which throws the message as an Error.
[[noreturn]] void fail(const std::string &message);
// The same where the stack cannot be unwound.
[[noreturn]] void fail_without_unwinding(const std::string &message);

// Runs ready threads until a block ends or the launch fails. False when none could run.
bool run_threads();

} // namespace simt

#endif
