// clocks.h: vector clocks (Mattern 1989). Every agent (a thread, or an asynchronous engine of
// its block) counts epochs; what a thread knows of the others' epochs is what happened before.
#ifndef QUERN_TESTS_SIMT_CLOCKS_H
#define QUERN_TESTS_SIMT_CLOCKS_H

#include <cstdint>
#include <memory>
#include <vector>

namespace simt {

struct Thread;

using Epochs = std::vector<uint32_t>; // by agent; agents past the end are at 0

// The epochs known, a block an entry, by ascending serial of the blocks. Shared between
// threads and never changed.
struct KnownBlock {
    uint32_t block;
    std::shared_ptr<const Epochs> epochs;
};
using Knowledge = std::shared_ptr<const std::vector<KnownBlock>>;

struct ThreadClock {
    uint32_t now = 1; // the thread's epoch
    Knowledge known;  // of others, as of its last acquire

    // Its cp.async copies are an agent of their own, and each copy an epoch.
    uint32_t copier = 0; // the agent's number; 0: none yet
    uint32_t copies_issued = 0, copies_known = 0;

    // __threadfence: what a relaxed atomic after it publishes, and what relaxed atomics read.
    Knowledge fenced, read_by_atomics;
};

// The least knowledge that contains several.
class KnowledgeSum {
  public:
    void add(const Knowledge &known);
    // All that happened before now in the thread. The caller starts a new epoch of it.
    void add_thread(const Thread &thread);
    void add_epoch(uint32_t block, uint32_t agent, uint32_t epoch);
    Knowledge result() const;

  private:
    struct Entry {
        uint32_t block;
        std::shared_ptr<const Epochs> shared; // until `own` exists
        std::shared_ptr<Epochs> own;
    };
    Entry &entry(uint32_t block);
    static Epochs &writable(Entry &entry);

    std::vector<Entry> entries_;
    Knowledge last_;
};

uint32_t known_epoch(const Knowledge &known, uint32_t block, uint32_t agent);

// ---- what synchronising operations call; nothing outside the race build -------------------

// One side publishes, and starts a new epoch; the other learns.
void release(Thread &thread, KnowledgeSum &into);
void acquire(Thread &thread, const Knowledge &from);

// The threads, which all published into the sum, learn what it holds. It becomes empty.
void learn(const std::vector<Thread *> &threads, KnowledgeSum &sum);

} // namespace simt

#endif
