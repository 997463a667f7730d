#include "simt/clocks.h"

#include <algorithm>

#include "simt/machine.h"
#include "simt/race.h"

namespace simt {

// ---- sums ----------------------------------------------------------------------------

KnowledgeSum::Entry &KnowledgeSum::entry(uint32_t block) {
    auto at = std::lower_bound(entries_.begin(), entries_.end(), block,
                               [](const Entry &e, uint32_t b) { return e.block < b; });
    if (at == entries_.end() || at->block != block)
        at = entries_.insert(at, Entry{block, nullptr, nullptr});
    return *at;
}

Epochs &KnowledgeSum::writable(Entry &entry) {
    if (!entry.own) {
        entry.own =
            entry.shared ? std::make_shared<Epochs>(*entry.shared) : std::make_shared<Epochs>();
        entry.shared = nullptr;
    }
    return *entry.own;
}

void KnowledgeSum::add(const Knowledge &known) {
    if (!known || known == last_) return;
    last_ = known;
    for (const KnownBlock &k : *known) {
        Entry &e = entry(k.block);
        if (e.shared == k.epochs) continue;
        if (!e.shared && !e.own) {
            e.shared = k.epochs;
            continue;
        }
        Epochs &sum = writable(e);
        if (sum.size() < k.epochs->size()) sum.resize(k.epochs->size());
        for (size_t i = 0; i < k.epochs->size(); i++) sum[i] = std::max(sum[i], (*k.epochs)[i]);
    }
}

void KnowledgeSum::add_epoch(uint32_t block, uint32_t agent, uint32_t epoch) {
    Epochs &sum = writable(entry(block));
    if (sum.size() <= agent) sum.resize(agent + 1);
    sum[agent] = std::max(sum[agent], epoch);
}

void KnowledgeSum::add_thread(const Thread &thread) {
    const ThreadClock &clock = thread.clock;
    add(clock.known);
    add_epoch(thread.block->serial, (uint32_t)thread.linear, clock.now);
    if (clock.copier) add_epoch(thread.block->serial, clock.copier, clock.copies_known);
}

Knowledge KnowledgeSum::result() const {
    auto known = std::make_shared<std::vector<KnownBlock>>();
    for (const Entry &e : entries_) {
        if (e.own)
            known->push_back({e.block, std::make_shared<const Epochs>(*e.own)});
        else if (e.shared)
            known->push_back({e.block, e.shared});
    }
    return known;
}

uint32_t known_epoch(const Knowledge &known, uint32_t block, uint32_t agent) {
    if (!known) return 0;
    auto at = std::lower_bound(known->begin(), known->end(), block,
                               [](const KnownBlock &k, uint32_t b) { return k.block < b; });
    if (at == known->end() || at->block != block || agent >= at->epochs->size()) return 0;
    return (*at->epochs)[agent];
}

// ---- synchronising ---------------------------------------------------------------------

void release(Thread &thread, KnowledgeSum &into) {
    if (!race_enabled()) return;
    into.add_thread(thread);
    thread.clock.now++;
}

void acquire(Thread &thread, const Knowledge &from) {
    if (!race_enabled() || !from) return;
    KnowledgeSum sum;
    sum.add(thread.clock.known);
    sum.add(from);
    thread.clock.known = sum.result();
}

void learn(const std::vector<Thread *> &threads, KnowledgeSum &sum) {
    if (!race_enabled()) return;
    Knowledge known = sum.result();
    for (Thread *thread : threads) thread->clock.known = known;
    sum = KnowledgeSum();
}

} // namespace simt
