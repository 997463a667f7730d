// async_proxy.h: bulk copies and wgmma access memory through a proxy of their own. What threads
// wrote reaches it by fence_proxy_async, what it did reaches threads by the completion that
// they wait for. (PTX ISA, memory consistency model, proxies.)
#ifndef QUERN_TESTS_SIMT_ASYNC_PROXY_H
#define QUERN_TESTS_SIMT_ASYNC_PROXY_H

#include "simt/hopper_state.h"
#include "simt/race.h"

namespace simt {

// What the async proxy is known to have done, and what is known to have reached it, stands in
// the vector clocks a second time, as of a block with this bit in its serial.
constexpr uint32_t kAsyncBook = 0x80000000u;

// All that the thread knows of has reached the async proxy.
void publish_to_async_proxy(Thread &thread);

// An operation of an engine. The engine knows what those who issue it know then.
class AsyncOperation {
  public:
    AsyncOperation(Engine &engine, const std::vector<Thread *> &issuers, Where where);
    void check(const void *address, size_t n, Access access) const;
    uint32_t epoch() const { return epoch_; }

  private:
    Thread &thread_;
    uint32_t agent_, epoch_;
    Knowledge known_;
    Where where_;
};

// The operations of the engine up to that epoch are over.
void add_completion(KnowledgeSum &sum, const Block &block, const Engine &engine, uint32_t epoch);
void learn_completion(const std::vector<Thread *> &threads, const Engine &engine, uint32_t epoch);

} // namespace simt

#endif
