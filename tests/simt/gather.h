// gather.h: how the lanes of a warp come together; beneath collectives and barriers.
#ifndef QUERN_TESTS_SIMT_GATHER_H
#define QUERN_TESTS_SIMT_GATHER_H

#include "simt/machine.h"

namespace simt {

// True for the last lane to arrive, which receives the others' arguments and lets them go on
// with resume(). Another lane returns false once it may go on.
bool gather(uint32_t mask, const char *operation, void *arguments, Where where,
            Gathering &complete);
void resume(const Gathering &complete);

// The lanes of a mask.
class LaneList {
  public:
    void push_back(Thread *thread) { threads_[n_++] = thread; }
    Thread *const *begin() const { return threads_; }
    Thread *const *end() const { return threads_ + n_; }
    size_t size() const { return n_; }

  private:
    Thread *threads_[kWarpSize];
    size_t n_ = 0;
};
LaneList threads_of(const Gathering &complete);

} // namespace simt

#endif
