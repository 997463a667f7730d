#include "simt/wgmma_descriptor.h"

#include "simt/report.h"
#include "simt/swizzle.h"
#include "simt/text.h"

namespace simt {

static constexpr uint64_t kReserved =
    0x3ff1c000c000c000u; // bits 14, 15, 30, 31, 46 to 48, 52 to 61
static constexpr uint32_t kSpans[] = {0, 128, 64, 32};

static uint32_t field(uint64_t bits, int at) { return (uint32_t)(bits >> at & 0x3fff) << 4; }

WgmmaDescriptor wgmma_descriptor_of(uint64_t bits, bool mn_major, Where where) {
    WgmmaDescriptor d = {field(bits, 0), field(bits, 16), field(bits, 32), kSpans[bits >> 62],
                         mn_major};
    if (bits & kReserved)
        fail_at(where, "wgmma",
                format("reserved bits are set in descriptor 0x%llx", (unsigned long long)bits));
    if (bits >> 49 & 7)
        fail_at(where, "wgmma",
                format("base offset %d in a descriptor; tiles are expected to begin at a multiple "
                       "of 8 times their swizzle",
                       (int)(bits >> 49 & 7)));
    if (d.span && d.start % (8 * d.span) >= d.span)
        fail_at(where, "wgmma",
                format("the tile at 0x%x begins inside the %u bytes after which its swizzle "
                       "repeats, and the descriptor's base offset is 0",
                       d.start, 8 * d.span));
    return d;
}

// In bytes, with rows of 16 bytes, or of the span where the operand is swizzled. Blocks are 8
// rows; `across` counts bytes along a row.
uint32_t address_of_eight(const WgmmaDescriptor &d, uint32_t mn, uint32_t k) {
    uint32_t across = 2 * (d.mn_major ? mn : k), along = d.mn_major ? k : mn;
    uint32_t row = d.span ? d.span : 16;
    bool stride_is_across = d.mn_major && !d.span;
    uint32_t next_row_of_blocks = stride_is_across ? d.leading : d.stride;
    uint32_t next_block = stride_is_across ? d.stride : d.leading;
    uint32_t plain = along % 8 * row + along / 8 * next_row_of_blocks;
    // A swizzled K-major operand is one block wide: its 32 bytes of k lie side by side.
    bool one_block = d.span && !d.mn_major;
    plain += one_block ? across : across % row + across / row * next_block;
    return swizzled(d.start + plain, d.span);
}

} // namespace simt
