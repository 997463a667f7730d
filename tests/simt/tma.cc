#include "simt/tma.h"

#include <algorithm>

#include "simt/report.h"
#include "simt/shared_window.h"
#include "simt/swizzle.h"
#include "simt/tensor_layout.h"
#include "simt/text.h"
#include "simt/transfer.h"

namespace simt {

static constexpr uint32_t kUnit = 16; // bytes that a swizzle keeps together

static TensorLayout checked_layout(const TensorMap *map, int rank, uint32_t shared,
                                   const char *operation, Where where) {
    TensorLayout layout;
    if ((uintptr_t)map % 64 || !read_layout(*map, layout))
        fail_at(where, operation, "the tensor map was not encoded, or is not aligned to 64 bytes");
    if (layout.rank != rank)
        fail_at(where, operation, format("rank %d, but the map's is %d", rank, layout.rank));
    uint32_t row = (uint32_t)layout.box[0] * layout.element_bytes;
    if (layout.span && row != layout.span)
        fail_at(where, operation,
                format("rows of %u bytes under a swizzle of %u: no manual says how they lie in "
                       "shared memory",
                       row, layout.span));
    uint32_t alignment = std::max(128u, 8u * layout.span);
    shared_bytes(*self().block, shared, bytes_of_box(layout), alignment, operation, where);
    return layout;
}

// ---- the box, piece by piece ------------------------------------------------------------------

static void append(Pieces &pieces, Piece piece) {
    if (!piece.bytes) return;
    if (!pieces.empty()) {
        Piece &last = pieces.back();
        bool follows = last.shared + last.bytes == piece.shared;
        if (follows && (piece.global ? last.global && last.global + last.bytes == piece.global
                                     : !last.global)) {
            last.bytes += piece.bytes;
            return;
        }
    }
    pieces.push_back(piece);
}

// A row of the box: `global` is where its first element would be, null when the whole row lies
// outside; elements from `begin` to `end` of it are in the tensor.
struct Row {
    uint8_t *global;
    uint32_t shared; // address
    uint32_t bytes, begin, end;
};

// Appends a unit of 16 bytes: what precedes the tensor in it, what is in it, what follows.
static void append_unit(Pieces &pieces, const Row &row, uint32_t offset, uint8_t *shared) {
    uint32_t begin = std::clamp(row.begin, offset, offset + kUnit) - offset;
    uint32_t end = std::clamp(row.end, offset, offset + kUnit) - offset;
    append(pieces, {nullptr, shared, begin});
    append(pieces, {row.global + offset + begin, shared + begin, end - begin});
    append(pieces, {nullptr, shared + end, kUnit - end});
}

static Row row_of(const TensorLayout &t, const int64_t (&first)[kMostDims], uint32_t shared) {
    Row row = {t.base, shared, (uint32_t)t.box[0] * t.element_bytes, 0, 0};
    for (int i = 1; i < kMostDims; i++)
        if (first[i] < 0 || first[i] >= (int64_t)t.dims[i]) return row;
    int64_t size = t.element_bytes, limit = row.bytes;
    row.begin = (uint32_t)std::clamp(-first[0] * size, (int64_t)0, limit);
    row.end =
        (uint32_t)std::clamp(((int64_t)t.dims[0] - first[0]) * size, (int64_t)row.begin, limit);
    for (int i = 0; i < kMostDims; i++) row.global += first[i] * (int64_t)t.strides[i];
    return row;
}

static Pieces pieces_of_box(const TensorLayout &t, uint32_t shared, const int32_t *at) {
    Pieces pieces;
    uint8_t *memory = self().block->shared;
    uint32_t n_rows = (uint32_t)t.box[1] * t.box[2] * t.box[3] * t.box[4];
    for (uint32_t r = 0; r < n_rows; r++) {
        int64_t first[kMostDims] = {at[0]};
        for (uint32_t i = 1, rest = r; i < kMostDims; rest /= t.box[i], i++)
            first[i] = (i < t.rank ? at[i] : 0) + (int64_t)(rest % t.box[i]);
        Row row = row_of(t, first, shared);
        for (uint32_t offset = 0; offset < row.bytes; offset += kUnit)
            append_unit(pieces, row, offset, memory + swizzled(shared + offset, t.span));
        shared += row.bytes;
    }
    return pieces;
}

// ---- what kernels call
// ---------------------------------------------------------------------------

void tma_load(uint32_t destination, const TensorMap *map, uint32_t mbarrier, const int32_t *at,
              int rank, Where where) {
    TensorLayout layout = checked_layout(map, rank, destination, "tma_load", where);
    load(pieces_of_box(layout, destination, at), mbarrier, "tma_load", where);
}

void tma_store(const TensorMap *map, uint32_t source, const int32_t *at, int rank, Where where) {
    TensorLayout layout = checked_layout(map, rank, source, "tma_store", where);
    store(pieces_of_box(layout, source, at), Combine::kReplace, "tma_store", where);
}

void tma_reduce_add(const TensorMap *map, uint32_t source, const int32_t *at, int rank,
                    Where where) {
    TensorLayout layout = checked_layout(map, rank, source, "tma_reduce_add", where);
    Combine combine = layout.element_bytes == 4 ? Combine::kAddF32 : Combine::kAddBf16;
    store(pieces_of_box(layout, source, at), combine, "tma_reduce_add", where);
}

} // namespace simt
