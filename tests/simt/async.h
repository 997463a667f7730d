// async.h: work that takes effect some time after it was issued. What issues it keeps the
// ticket, and demands completion when the kernel waits.
#ifndef QUERN_TESTS_SIMT_ASYNC_H
#define QUERN_TESTS_SIMT_ASYNC_H

#include <cstddef>
#include <deque>
#include <memory>

namespace simt {

class AsyncWork {
  public:
    virtual ~AsyncWork() = default;
    virtual void complete() = 0; // reads its sources, writes its destinations
    bool pending = true;
};

// Null for work that took effect as it was issued.
using AsyncTicket = std::shared_ptr<AsyncWork>;

class AsyncQueue {
  public:
    // By the launch's AsyncMode completes the work now or keeps it. `poison` is called when
    // it stays in flight.
    template <typename Work, typename Poison>
    AsyncTicket issue(std::shared_ptr<Work> work, Poison poison) {
        if (completes_at_issue()) {
            complete(*work);
            return nullptr;
        }
        poison();
        while (!pending_.empty() && !pending_.front()->pending) pending_.pop_front();
        pending_.push_back(work);
        return work;
    }

    void demand(const AsyncTicket &ticket) {
        if (ticket && ticket->pending) complete(*ticket);
    }
    // Called between any two steps of threads, in random mode.
    void complete_perhaps();
    // Called when no thread can run. False when nothing is in flight.
    bool complete_when_idle();

  private:
    static bool completes_at_issue();
    static void complete(AsyncWork &work);
    bool complete_at(size_t i);

    std::deque<AsyncTicket> pending_; // some may have been completed on demand
};

} // namespace simt

#endif
