#include "simt/async_proxy.h"

namespace simt {

void publish_to_async_proxy(Thread &thread) {
    if (!race_enabled()) return;
    KnowledgeSum sum;
    release(thread, sum);
    Knowledge known = sum.result();
    auto reached = std::make_shared<std::vector<KnownBlock>>();
    for (const KnownBlock &k : *known)
        if (!(k.block & kAsyncBook)) reached->push_back({k.block | kAsyncBook, k.epochs});
    sum.add(reached);
    thread.clock.known = sum.result();
}

AsyncOperation::AsyncOperation(Engine &engine, const std::vector<Thread *> &issuers, Where where)
    : thread_(*issuers.front()), agent_(0), epoch_(++engine.epoch), where_(where) {
    if (!race_enabled()) return;
    if (!engine.agent) engine.agent = new_agent(*thread_.block);
    agent_ = engine.agent;
    KnowledgeSum sum;
    for (const Thread *issuer : issuers) sum.add_thread(*issuer);
    known_ = sum.result();
}

void AsyncOperation::check(const void *address, size_t n, Access access) const {
    check_async(thread_, {agent_, epoch_}, known_, address, n, access, where_);
}

void add_completion(KnowledgeSum &sum, const Block &block, const Engine &engine, uint32_t epoch) {
    if (!race_enabled() || !engine.agent) return;
    sum.add_epoch(block.serial, engine.agent, epoch);
    sum.add_epoch(block.serial | kAsyncBook, engine.agent, epoch);
}

void learn_completion(const std::vector<Thread *> &threads, const Engine &engine, uint32_t epoch) {
    if (!race_enabled() || !engine.agent) return;
    KnowledgeSum sum;
    add_completion(sum, *threads.front()->block, engine, epoch);
    Knowledge completion = sum.result();
    for (Thread *thread : threads) acquire(*thread, completion);
}

} // namespace simt
