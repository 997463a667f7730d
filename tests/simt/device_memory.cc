#include "simt/device_memory.h"

#include <cstring>
#include <map>
#include <new>
#include <sys/mman.h>

#include "simt/config.h"
#include "simt/device_heap.h"
#include "simt/report.h"
#include "simt/text.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

namespace simt {

static constexpr size_t kPage = 4096, kAlignment = 256;
static constexpr uint8_t kMargin = 0xa5; // fills the pages beside an allocation

struct Heap {
    uint8_t *begin, *next;                       // next: the first page never used
    std::map<uintptr_t, Allocation> allocations; // by the address of their end
    int n_made = 0;
};

uint8_t *heap_begin;

static Heap new_heap() {
    Heap heap;
    void *p =
        mmap(nullptr, kHeapSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    heap_begin = heap.next = (uint8_t *)p;
    return heap;
}

static Heap &heap() {
    static Heap the_heap = new_heap();
    return the_heap;
}

// ---- allocation ----------------------------------------------------------------------

// Ends as near the guard behind it as alignment allows.
static Allocation place(uint8_t *pages, size_t bytes) {
    size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    Allocation a;
    a.pages = pages;
    a.pages_size = (rounded + kPage - 1) / kPage * kPage;
    a.begin = pages + a.pages_size - rounded;
    a.size = bytes;
    return a;
}

void *device_allocate(size_t bytes) {
    Heap &h = heap();
    if (bytes == 0 || bytes > kHeapSize / 2) throw std::bad_alloc();
    Allocation a = place(h.next + kPage, bytes);
    if (a.pages_size + 2 * kPage > (size_t)(heap_begin + kHeapSize - h.next))
        throw std::bad_alloc();
    if (mprotect(a.pages, a.pages_size, PROT_READ | PROT_WRITE)) throw std::bad_alloc();
    h.next = a.pages + a.pages_size;
    a.number = ++h.n_made;
    if (kRaceBuild) a.shadow = std::make_unique<ShadowMemory>(bytes);
    memset(a.pages, kMargin, a.pages_size);
    memset(a.begin, 0xff, bytes);
    ASAN_POISON_MEMORY_REGION(a.pages, a.pages_size);
    ASAN_UNPOISON_MEMORY_REGION(a.begin, bytes);
    uint8_t *begin = a.begin;
    h.allocations.emplace((uintptr_t)begin + bytes, std::move(a));
    return begin;
}

void device_free(void *p) {
    if (!p) return;
    Allocation *a = find_allocation(p);
    if (!a || a->begin != p) throw Error(format("device_free: %p was not allocated", p));
    ASAN_UNPOISON_MEMORY_REGION(a->pages, a->pages_size);
    mmap(a->pages, a->pages_size, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    heap().allocations.erase((uintptr_t)a->begin + a->size);
}

// ---- looking up -----------------------------------------------------------------------

Allocation *find_allocation(const void *p) {
    auto at = heap().allocations.upper_bound((uintptr_t)p);
    if (at == heap().allocations.end() || at->second.begin > (const uint8_t *)p) return nullptr;
    return &at->second;
}

std::string place_in_heap(const void *address) {
    uint8_t *p = (uint8_t *)address;
    const Allocation *nearest = nullptr;
    size_t distance = SIZE_MAX;
    for (const auto &[end, a] : heap().allocations) {
        size_t away = p < a.begin ? (size_t)(a.begin - p) : (size_t)(p - a.begin);
        if (p >= a.begin + a.size) away = (size_t)(p - a.begin - a.size);
        if (away < distance) {
            distance = away;
            nearest = &a;
        }
    }
    if (!nearest) return "in device memory that was freed, or never allocated";
    return format("%zu bytes %s allocation %d, of %zu bytes", distance,
                  p < nearest->begin ? "before" : "after the end of", nearest->number,
                  nearest->size);
}

void check_device_bounds(const void *p, size_t n, const char *operation, Where where) {
    if (!in_device_heap(p)) return;
    const Allocation *a = find_allocation(p);
    if (a && (const uint8_t *)p + n <= a->begin + a->size) return;
    fail_at(where, operation,
            format("%zu bytes of device memory out of bounds: they begin %s", n,
                   a ? format("%zu bytes before the end of allocation %d, of %zu bytes",
                              (size_t)(a->begin + a->size - (const uint8_t *)p), a->number, a->size)
                           .c_str()
                     : place_in_heap(p).c_str()));
}

// ---- damage beside allocations -----------------------------------------------------------

static const uint8_t *first_change(const uint8_t *begin, const uint8_t *end) {
    for (const uint8_t *p = begin; p < end; p++)
        if (*p != kMargin) return p;
    return nullptr;
}

bool heap_damaged(std::string &description) {
    if (kAsanBuild) return false; // reports the store itself
    for (auto &[end, a] : heap().allocations) {
        uint8_t *behind = a.begin + a.size, *pages_end = a.pages + a.pages_size;
        const uint8_t *p = first_change(a.pages, a.begin);
        if (!p) p = first_change(behind, pages_end);
        if (!p) continue;
        description = "a store out of bounds: " + place_in_heap(p);
        memset(a.pages, kMargin, (size_t)(a.begin - a.pages));
        memset(behind, kMargin, (size_t)(pages_end - behind));
        return true;
    }
    return false;
}

} // namespace simt
