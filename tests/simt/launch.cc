#include "simt/launch.h"

#include <algorithm>
#include <map>
#include <vector>

#include "simt/barrier.h"
#include "simt/config.h"
#include "simt/device_heap.h"
#include "simt/fault.h"
#include "simt/hopper_exit.h"
#include "simt/race.h"
#include "simt/report.h"
#include "simt/scheduler.h"
#include "simt/shared_window.h"
#include "simt/text.h"

namespace simt {

// ---- threads ---------------------------------------------------------------------------

static std::vector<std::unique_ptr<Thread>> &idle_threads() {
    static std::vector<std::unique_ptr<Thread>> pool; // whose stacks are used again
    return pool;
}

static Thread *take_thread() {
    if (idle_threads().empty()) {
        Thread *thread = new Thread();
        fiber_allocate(thread->fiber);
        return thread;
    }
    Thread *thread = idle_threads().back().release();
    idle_threads().pop_back();
    return thread;
}

static void check_copies_done(const Thread &thread) {
    size_t in_flight = thread.copies.open.size();
    for (const std::vector<Copy> &group : thread.copies.committed) in_flight += group.size();
    if (in_flight)
        fail(format("%zu cp.async copies are in flight as the thread exits, in %s", in_flight,
                    to_string(thread).c_str()));
}

static void run_kernel() {
    machine->body(machine->body_arguments);
    check_copies_done(self());
    check_hopper_done(self());
}

static void enter_thread() { run_thread(run_kernel); }

static Thread *start_thread(Block &block, int linear) {
    Thread *thread = take_thread();
    dim3 shape = machine->block;
    unsigned i = (unsigned)linear;
    thread->thread_index = {i % shape.x, i / shape.x % shape.y, i / (shape.x * shape.y)};
    thread->block_index = block.index;
    thread->block_shape = shape;
    thread->grid_shape = machine->grid;
    thread->block = &block;
    thread->linear = linear;
    thread->warp = linear / kWarpSize;
    thread->lane = linear % kWarpSize;
    thread->queued = thread->done = false;
    thread->wait = Wait();
    thread->copies = CopyGroups();
    thread->clock = ThreadClock();
    fiber_prepare(thread->fiber, enter_thread);
    make_ready(*thread);
    return thread;
}

// ---- blocks ----------------------------------------------------------------------------

static int free_arena() {
    for (int arena = 0;; arena++) {
        bool taken = false;
        for (const Block *b : machine->resident) taken |= b->arena == arena;
        if (!taken) return arena;
    }
}

static uint32_t lanes_of_warp(int n_threads, int warp) {
    int n = std::min(kWarpSize, n_threads - warp * kWarpSize);
    return n == kWarpSize ? ~0u : (1u << n) - 1;
}

static uint32_t last_stamp; // one for each block of the process

static void start_block(uint64_t serial) {
    dim3 grid = machine->grid, shape = machine->block;
    Block *block = new Block();
    block->serial = (uint32_t)serial;
    block->index = {(unsigned)(serial % grid.x), (unsigned)(serial / grid.x % grid.y),
                    (unsigned)(serial / ((uint64_t)grid.x * grid.y))};
    block->n_threads = block->n_live = (int)(shape.x * shape.y * shape.z);
    block->n_agents = (uint32_t)block->n_threads;
    block->stamp = ++last_stamp;
    open_window(*block, free_arena());
    machine->resident.push_back(block);
    for (int w = 0; w * kWarpSize < block->n_threads; w++)
        block->warps.push_back(Warp{lanes_of_warp(block->n_threads, w), 0, {}});
    for (int i = 0; i < block->n_threads; i++) block->threads.push_back(start_thread(*block, i));
}

static void remove_block(Block *block) {
    for (Thread *thread : block->threads) {
        thread->copies = CopyGroups();
        thread->clock = ThreadClock();
        idle_threads().emplace_back(thread);
    }
    delete block;
}

static void remove_finished_blocks() {
    std::vector<Block *> &resident = machine->resident;
    auto finished = std::partition(resident.begin(), resident.end(),
                                   [](const Block *block) { return block->n_live > 0; });
    std::for_each(finished, resident.end(), remove_block);
    resident.erase(finished, resident.end());
}

static void start_blocks() {
    Machine &m = *machine;
    size_t limit = (size_t)std::clamp(m.config.resident_blocks, 1, kArenas);
    while (m.n_started < m.n_blocks && m.resident.size() < limit) start_block(m.n_started++);
}

// ---- launches ---------------------------------------------------------------------------

static uint32_t n_launches; // of the process

static std::map<const void *, size_t> &allowed_shared() {
    static std::map<const void *, size_t> by_kernel;
    return by_kernel;
}

static size_t shared_of(const void *kernel) {
    const auto found = allowed_shared().find(kernel);
    return std::max(found == allowed_shared().end() ? 0 : found->second, (size_t)48 << 10);
}

static void check_launch(const char *kernel, size_t allowed, dim3 grid, dim3 block,
                         size_t shared_bytes) {
    uint64_t n_threads = (uint64_t)block.x * block.y * block.z;
    if (machine) throw Error(format("%s: launched from inside a kernel", kernel));
    if (!grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535 || grid.x > INT32_MAX)
        throw Error(format("%s: grid (%u,%u,%u); expected 1 to 2147483647 by 1 to 65535 by 1 to "
                           "65535",
                           kernel, grid.x, grid.y, grid.z));
    if (n_threads < 1 || n_threads > 1024 || block.z > 64)
        throw Error(format("%s: blocks of (%u,%u,%u); expected 1 to 1024 threads", kernel, block.x,
                           block.y, block.z));
    if (shared_bytes > config().shared_limit)
        throw Error(format("%s: %zu bytes of shared memory; expected at most %u", kernel,
                           shared_bytes, config().shared_limit));
    if (shared_bytes > allowed)
        throw Error(format("%s: %zu bytes of shared memory, and the kernel may have %zu; "
                           "QN_ALLOW_SHARED must come first",
                           kernel, shared_bytes, allowed));
    if (config().shared_skew % 16 || config().shared_skew > 1024)
        throw Error(format("shared memory skewed by %u bytes; expected a multiple of 16 up to "
                           "1024",
                           config().shared_skew));
}

static void run_blocks() {
    Machine &m = *machine;
    for (;;) {
        start_blocks();
        if (m.resident.empty()) break;
        if (!run_threads()) m.error = "deadlock: no thread can run" + waiting_threads();
        if (!m.error.empty()) return;
        remove_finished_blocks();
    }
    while (m.async.complete_when_idle()) {
    } // bulk stores may land after their block
}

// Everything that ends with the launch, whatever ends it.
class Running {
  public:
    explicit Running(Machine &m) {
        machine = &m;
        catch_faults();
    }
    ~Running() {
        release_faults();
        for (Block *block : machine->resident) remove_block(block);
        machine = nullptr;
        current = nullptr;
    }
};

static std::string errors_of_launch() {
    std::string error = machine->error, damage;
    if (error.empty() && heap_damaged(damage)) error = damage;
    std::string races = race_reports();
    if (!error.empty() && !races.empty()) error += "\n";
    return error + races;
}

static std::map<std::string, int64_t> &launches() {
    static std::map<std::string, int64_t> by_name;
    return by_name;
}

int64_t count_launches(const std::string &part) {
    int64_t count = 0;
    for (const auto &[name, n] : launches())
        if (name.find(part) != std::string::npos) count += n;
    return count;
}

void launch_grid(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                 void (*body)(void *), void *arguments) {
    check_launch(name, shared_of(kernel), grid, block, shared_bytes);
    launches()[name]++;
    Machine m = {};
    m.config = config();
    m.kernel = name;
    m.body = body;
    m.body_arguments = arguments;
    m.grid = grid;
    m.block = block;
    m.shared_bytes = (uint32_t)shared_bytes;
    m.n_blocks = (uint64_t)grid.x * grid.y * grid.z;
    m.serial = ++n_launches;
    m.random = Random(m.config.seed);
    fiber_adopt_caller(m.host);
    Running running(m);
    run_blocks();
    std::string error = errors_of_launch();
    if (!error.empty())
        throw Error(format("%s: ", name) + error + "\n  with " + describe(m.config));
}

int allow_shared(const void *kernel, size_t bytes) {
    if (!config().has_code) return 209;
    if (bytes > config().shared_limit) return 1;
    allowed_shared()[kernel] = bytes;
    return 0;
}

} // namespace simt
