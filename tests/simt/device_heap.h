// device_heap.h: the allocations behind device memory. For the layer's own files.
#ifndef QUERN_TESTS_SIMT_DEVICE_HEAP_H
#define QUERN_TESTS_SIMT_DEVICE_HEAP_H

#include <cstdint>
#include <memory>
#include <string>

#include "simt/shadow.h"

namespace simt {

struct Allocation {
    int number; // in order of allocation, from 1
    uint8_t *begin;
    size_t size;
    uint8_t *pages; // that hold it, between two guards
    size_t pages_size;
    std::unique_ptr<ShadowMemory> shadow; // race build
};

// Device memory is taken from this range.
constexpr size_t kHeapSize = (size_t)16 << 30;
extern uint8_t *heap_begin; // null before the first allocation

inline bool in_device_heap(const void *p) {
    return heap_begin && (size_t)((const uint8_t *)p - heap_begin) < kHeapSize;
}

// The allocation that contains the byte, or null.
Allocation *find_allocation(const void *p);

// "8 bytes after allocation 3, of 4096 bytes".
std::string place_in_heap(const void *p);

// Whether a byte beside an allocation was changed; describes the first, and mends it.
bool heap_damaged(std::string &description);

} // namespace simt

#endif
