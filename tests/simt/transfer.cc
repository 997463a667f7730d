#include "simt/transfer.h"

#include <cstring>

#include "simt/async_proxy.h"
#include "simt/bulk.h"
#include "simt/device_memory.h"
#include "simt/mbarrier_copies.h"
#include "simt/report.h"
#include "simt/scheduler.h"
#include "simt/text.h"

namespace simt {

static void check_global_bounds(const Pieces &pieces, const char *operation, Where where) {
    for (const Piece &piece : pieces)
        if (piece.global) check_device_bounds(piece.global, piece.bytes, operation, where);
}

static void check_global(const AsyncOperation &operation, const Pieces &pieces, Access access) {
    for (const Piece &piece : pieces)
        if (piece.global) operation.check(piece.global, piece.bytes, access);
}

static void check_shared(const AsyncOperation &operation, const Pieces &pieces, Access access) {
    for (const Piece &piece : pieces) operation.check(piece.shared, piece.bytes, access);
}

// ---- loads -----------------------------------------------------------------------------------

struct Load : AsyncWork {
    Pieces pieces;
    Mbarrier *mbarrier;
    const Block *block;
    uint32_t bytes = 0, epoch;

    void complete() override {
        for (const Piece &piece : pieces) {
            if (piece.global)
                memcpy(piece.shared, piece.global, piece.bytes);
            else
                memset(piece.shared, 0, piece.bytes);
        }
        complete_bytes(*mbarrier, *block, bytes, epoch);
    }
};

void load(const Pieces &pieces, uint32_t mbarrier, const char *operation, Where where) {
    Thread &thread = self();
    check_global_bounds(pieces, operation, where);
    auto work = std::make_shared<Load>();
    work->mbarrier = &mbarrier_of_copy(thread, mbarrier, operation, where);
    work->pieces = pieces;
    work->block = thread.block;
    for (const Piece &piece : pieces) work->bytes += piece.bytes;
    AsyncOperation agent(work->mbarrier->copies, {&thread}, where);
    work->epoch = agent.epoch();
    check_global(agent, pieces, Access::kRead);
    check_shared(agent, pieces, Access::kWrite);
    machine->async.issue(work, [&] {
        for (const Piece &piece : pieces) memset(piece.shared, 0xff, piece.bytes);
    });
    perhaps_yield(where);
}

// ---- stores and additions ----------------------------------------------------------------------

struct StoreRead : AsyncWork {
    Pieces pieces;
    std::vector<uint8_t> bytes; // those within the tensor, piece after piece

    void complete() override {
        for (const Piece &piece : pieces)
            if (piece.global) bytes.insert(bytes.end(), piece.shared, piece.shared + piece.bytes);
    }
};

static float of_bf16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

static uint16_t to_bf16(float x) { // to nearest, ties to even
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

static void add_f32(uint8_t *to, const uint8_t *from, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i += sizeof(float)) {
        float sum, x;
        memcpy(&sum, to + i, sizeof sum);
        memcpy(&x, from + i, sizeof x);
        sum += x;
        memcpy(to + i, &sum, sizeof sum);
    }
}

static void add_bf16(uint8_t *to, const uint8_t *from, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i += sizeof(uint16_t)) {
        uint16_t sum, x;
        memcpy(&sum, to + i, sizeof sum);
        memcpy(&x, from + i, sizeof x);
        sum = to_bf16(of_bf16(sum) + of_bf16(x));
        memcpy(to + i, &sum, sizeof sum);
    }
}

struct StoreWrite : AsyncWork {
    std::shared_ptr<StoreRead> read;
    Combine combine;

    void complete() override {
        machine->async.demand(read);
        const uint8_t *from = read->bytes.data();
        for (const Piece &piece : read->pieces) {
            if (!piece.global) continue;
            if (combine == Combine::kReplace) memcpy(piece.global, from, piece.bytes);
            if (combine == Combine::kAddF32) add_f32(piece.global, from, piece.bytes);
            if (combine == Combine::kAddBf16) add_bf16(piece.global, from, piece.bytes);
            from += piece.bytes;
        }
    }
};

static BulkStores &stores_of(const Thread &thread) {
    return hopper(*thread.block).stores[thread.linear];
}

static void check_races(Thread &thread, const Pieces &pieces, Combine combine, Where where) {
    BulkStores &stores = stores_of(thread);
    AsyncOperation reader(stores.reader, {&thread}, where);
    check_shared(reader, pieces, Access::kRead);
    AsyncOperation writer(stores.writer, {&thread}, where);
    check_global(writer, pieces, combine == Combine::kReplace ? Access::kWrite : Access::kAtomic);
}

static void poison_destination(const Pieces &pieces, Combine combine) {
    if (combine != Combine::kReplace) return;
    for (const Piece &piece : pieces)
        if (piece.global) memset(piece.global, 0xff, piece.bytes);
}

void store(const Pieces &pieces, Combine combine, const char *operation, Where where) {
    Thread &thread = self();
    check_global_bounds(pieces, operation, where);
    check_races(thread, pieces, combine, where);
    auto read = std::make_shared<StoreRead>();
    read->pieces = pieces;
    auto write = std::make_shared<StoreWrite>();
    write->read = read;
    write->combine = combine;
    BulkStore ticket;
    ticket.read = machine->async.issue(read, [] {});
    ticket.write = machine->async.issue(write, [&] { poison_destination(pieces, combine); });
    BulkStores &stores = stores_of(thread);
    ticket.epoch = stores.reader.epoch;
    stores.open.push_back(ticket);
    perhaps_yield(where);
}

// ---- groups
// ----------------------------------------------------------------------------------------

void bulk_commit() {
    BulkStores &stores = stores_of(self());
    stores.committed.push_back({std::move(stores.open), false});
    stores.open.clear();
}

void bulk_wait_read(int n, Where where) {
    Thread &thread = self();
    perhaps_yield(where);
    BulkStores &stores = stores_of(thread);
    for (size_t i = 0; i + (size_t)n < stores.committed.size(); i++) {
        BulkGroup &group = stores.committed[i];
        group.read_waited = true;
        for (const BulkStore &store : group.stores) {
            machine->async.demand(store.read);
            learn_completion({&thread}, stores.reader, store.epoch);
        }
    }
}

void bulk_wait(int n, Where where) {
    Thread &thread = self();
    bulk_wait_read(n, where);
    BulkStores &stores = stores_of(thread);
    while (stores.committed.size() > (size_t)n) {
        for (const BulkStore &store : stores.committed.front().stores) {
            machine->async.demand(store.write);
            learn_completion({&thread}, stores.writer, store.epoch);
        }
        stores.committed.pop_front();
    }
}

void check_stores_done(const Thread &thread) {
    const BulkStores &stores = stores_of(thread);
    size_t n = stores.open.size();
    if (n)
        fail(format("%zu bulk stores were not committed as the thread exits, in %s", n,
                    to_string(thread).c_str()));
    for (const BulkGroup &group : stores.committed)
        if (!group.read_waited) n += group.stores.size();
    if (n)
        fail(format("%zu bulk stores may still read shared memory as the thread exits, for want "
                    "of bulk_wait_read or bulk_wait, in %s",
                    n, to_string(thread).c_str()));
}

} // namespace simt
