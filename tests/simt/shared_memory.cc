#include "simt/shared_memory.h"

#include <cstring>
#include <new>
#include <sys/mman.h>

#include "simt/report.h"
#include "simt/shared_window.h"
#include "simt/text.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

namespace simt {

static constexpr uint32_t kFirstAddress = 0x400; // below: reserved by the system
static constexpr uint32_t kRedZone = 64;         // between variables
static constexpr uint32_t kStaticLimit = 48 * 1024;

// ---- windows ---------------------------------------------------------------------------

static uint8_t *map_arenas() {
    size_t size = kArenaSize * (kArenas + 1); // one more, to align
    void *p = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    return (uint8_t *)(((uintptr_t)p + kArenaSize - 1) / kArenaSize * kArenaSize);
}

uint8_t *arenas() {
    static uint8_t *const memory = map_arenas();
    return memory;
}

// NaNs in every floating-point format.
static void open_bytes(uint8_t *p, size_t n) {
    ASAN_UNPOISON_MEMORY_REGION(p, n);
    memset(p, 0xff, n);
}

void open_window(Block &block, int arena) {
    block.arena = arena;
    block.shared = arenas() + kArenaSize * (size_t)arena;
    block.dynamic_base = kFirstAddress + machine->config.shared_skew;
    block.dynamic_size = machine->shared_bytes;
    block.static_bottom = kArenaSize;
    block.static_size = 0;
    block.statics.clear();
    ASAN_POISON_MEMORY_REGION(block.shared, kArenaSize);
    open_bytes(block.shared + block.dynamic_base, block.dynamic_size);
}

bool in_window(const Block &block, uint32_t address, size_t n) {
    uint64_t end = (uint64_t)address + n;
    if (address >= block.dynamic_base && end <= block.dynamic_base + block.dynamic_size)
        return true;
    for (const StaticShared &s : block.statics)
        if (address >= s.address && end <= s.address + s.size) return true;
    return false;
}

uint8_t *shared_bytes(const Block &block, uint32_t address, size_t n, size_t alignment,
                      const char *operation, Where where) {
    if (!in_window(block, address, n))
        fail_at(where, operation,
                format("%zu bytes at shared address 0x%x are out of bounds: dynamic shared memory "
                       "is 0x%x to 0x%x, static variables have %u bytes",
                       n, address, block.dynamic_base, block.dynamic_base + block.dynamic_size,
                       block.static_size));
    if (address % alignment)
        fail_at(where, operation,
                format("shared address 0x%x is not a multiple of %zu", address, alignment));
    return block.shared + address;
}

// ---- what kernels call -----------------------------------------------------------------

void *dynamic_shared() {
    Block &block = *self().block;
    return block.shared + block.dynamic_base;
}

static void *new_static(Block &block, const void *key, size_t size, size_t alignment, Where where) {
    if (block.static_size + size > kStaticLimit)
        fail_at(where, "static shared memory",
                format("more than %u bytes of static variables", kStaticLimit));
    if (block.static_size + size + block.dynamic_size > machine->config.shared_limit)
        fail_at(where, "static shared memory",
                format("%zu static and %u dynamic bytes are more than the %u a block may have",
                       block.static_size + size, block.dynamic_size, machine->config.shared_limit));
    uint32_t address = block.static_bottom - kRedZone - (uint32_t)size;
    address -= address % (uint32_t)alignment;
    block.static_bottom = address;
    block.static_size += (uint32_t)size;
    block.statics.push_back({key, address, (uint32_t)size});
    open_bytes(block.shared + address, size);
    return block.shared + address;
}

void *static_shared(const void *key, size_t size, size_t alignment, Where where) {
    Block &block = *self().block;
    for (const StaticShared &s : block.statics)
        if (s.key == key) return block.shared + s.address;
    return new_static(block, key, size, alignment, where);
}

uint32_t shared_address(const void *p, Where where) {
    const Block &block = *self().block;
    size_t offset = (size_t)((const uint8_t *)p - block.shared);
    if (offset > kArenaSize) // one past the end is an address too
        fail_at(where, "shared_address", "the pointer is not into the block's shared memory");
    return (uint32_t)offset;
}

} // namespace simt
