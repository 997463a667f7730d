#include "simt/async.h"

#include "simt/machine.h"

namespace simt {

bool AsyncQueue::completes_at_issue() {
    AsyncMode mode = machine->config.async;
    return mode == AsyncMode::kEager || (mode == AsyncMode::kRandom && machine->random.one_in(2));
}

void AsyncQueue::complete(AsyncWork &work) {
    work.pending = false;
    work.complete();
}

// Removes one from the queue. True when it still had to be completed.
bool AsyncQueue::complete_at(size_t i) {
    AsyncTicket ticket = pending_[i];
    pending_.erase(pending_.begin() + (ptrdiff_t)i);
    if (!ticket->pending) return false;
    complete(*ticket);
    return true;
}

void AsyncQueue::complete_perhaps() {
    if (!pending_.empty() && machine->random.one_in(8))
        complete_at(machine->random.below(pending_.size()));
}

bool AsyncQueue::complete_when_idle() {
    while (!pending_.empty()) {
        size_t i = 0;
        if (machine->config.async == AsyncMode::kRandom) i = machine->random.below(pending_.size());
        if (machine->config.async == AsyncMode::kLatest) i = pending_.size() - 1;
        if (complete_at(i)) return true;
    }
    return false;
}

} // namespace simt
