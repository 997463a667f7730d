// transfer.h: what bulk copies of bytes and of tensors have in common. For the layer's own
// files.
#ifndef QUERN_TESTS_SIMT_TRANSFER_H
#define QUERN_TESTS_SIMT_TRANSFER_H

#include <vector>

#include "simt/hopper_state.h"

namespace simt {

// Bytes that lie side by side in both memories. Each byte of shared memory is in one piece.
struct Piece {
    uint8_t *global; // null: outside the tensor, zero
    uint8_t *shared;
    uint32_t bytes;
};
using Pieces = std::vector<Piece>;

enum class Combine { kReplace, kAddF32, kAddBf16 };

void load(const Pieces &pieces, uint32_t mbarrier, const char *operation, Where where);
void store(const Pieces &pieces, Combine combine, const char *operation, Where where);

// Fails when the thread exits with stores that may still have to read shared memory.
void check_stores_done(const Thread &thread);

} // namespace simt

#endif
