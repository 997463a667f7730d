#include "cli/interrupt.h"

#include <unistd.h>

#include <chrono>
#include <thread>

#include "harness/status.h"

namespace {

bool blocked(int signal) {
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, nullptr, &set);
    return sigismember(&set, signal);
}

void set_blocked(int how, int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(how, &set, nullptr);
}

// While it lives no thread can start: each would need a stack larger than the address space.
class NoThreads {
  public:
    NoThreads() {
        pthread_attr_t huge;
        pthread_getattr_default_np(&before_);
        pthread_attr_init(&huge);
        pthread_attr_setstacksize(&huge, (size_t)1 << 50);
        EXPECT_EQ(pthread_setattr_default_np(&huge), 0);
        pthread_attr_destroy(&huge);
    }
    ~NoThreads() { pthread_setattr_default_np(&before_); }

  private:
    pthread_attr_t before_;
};

} // namespace

TEST(Interrupt, KeepsASignalForTheOneWhoAsks) {
    qn_interrupt interrupt;
    ASSERT_OK(qn_interrupt_watch(&interrupt));
    EXPECT_TRUE(blocked(SIGINT) && blocked(SIGTERM));
    EXPECT_FALSE(qn_interrupt_came(&interrupt));
    kill(getpid(), SIGTERM);
    for (int i = 0; i < 5000 && !qn_interrupt_came(&interrupt); i++)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_TRUE(qn_interrupt_came(&interrupt));
    qn_interrupt_unwatch(&interrupt);
    EXPECT_FALSE(blocked(SIGINT) || blocked(SIGTERM));
}

TEST(Interrupt, WithoutAThreadSignalsActAsBefore) {
    qn_interrupt interrupt;
    {
        const NoThreads none;
        EXPECT_ERROR(qn_interrupt_watch(&interrupt), QN_CODE_IO, "thread", "SIGINT", "ulimit");
    }
    EXPECT_FALSE(blocked(SIGINT) || blocked(SIGTERM));
}

TEST(Interrupt, LeavesBlockedWhatWasBlocked) {
    qn_interrupt interrupt;
    set_blocked(SIG_BLOCK, SIGTERM);
    ASSERT_OK(qn_interrupt_watch(&interrupt));
    qn_interrupt_unwatch(&interrupt);
    EXPECT_TRUE(blocked(SIGTERM));
    EXPECT_FALSE(blocked(SIGINT));
    {
        const NoThreads none;
        EXPECT_ERROR(qn_interrupt_watch(&interrupt), QN_CODE_IO, "thread");
    }
    EXPECT_TRUE(blocked(SIGTERM));
    EXPECT_FALSE(blocked(SIGINT));
    set_blocked(SIG_UNBLOCK, SIGTERM);
}
