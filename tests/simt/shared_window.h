// shared_window.h: the arenas behind shared memory, and checks of what lies in them. For the
// layer's own files.
#ifndef QUERN_TESTS_SIMT_SHARED_WINDOW_H
#define QUERN_TESTS_SIMT_SHARED_WINDOW_H

#include "simt/machine.h"

namespace simt {

constexpr size_t kArenaSize = 256 * 1024;
constexpr int kArenas = 16; // one for each resident block

// All arenas, side by side.
uint8_t *arenas();
inline bool in_arenas(const void *p) {
    return (size_t)((const uint8_t *)p - arenas()) < kArenaSize * kArenas;
}

// Gives the block its window: dynamic memory of the launch's size, no static variables yet.
void open_window(Block &block, int arena);

// Whether all n bytes belong to dynamic memory or to one static variable.
bool in_window(const Block &block, uint32_t address, size_t n);

// The n bytes at an address, a multiple of `alignment`; fails when they are not the block's.
uint8_t *shared_bytes(const Block &block, uint32_t address, size_t n, size_t alignment,
                      const char *operation, Where where);

} // namespace simt

#endif
