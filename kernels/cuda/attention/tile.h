/* tile.h: tiles of bf16 rows in shared memory.
 *
 * A tile has ROWS rows of DIM elements, DIM a multiple of 64, without padding; it begins at a
 * multiple of 128 bytes. The 16-byte chunk c of row r lies at
 *
 *     r·2·DIM + 16·(c XOR (r mod 8))
 *
 * which leaves each aligned group of 8 chunks (128 bytes, all 32 banks once) where it is and
 * permutes it within. Shared memory serves 16-byte accesses 8 lanes at a time, so an access
 * is free of bank conflicts if the 8 chunks of each such phase differ mod 8:
 *   - ldmatrix, plain and transposed: a phase reads one 8×8 matrix, chunk c of 8 rows in
 *     sequence: c XOR 0…7 differ. Rows are 2·DIM = 0 mod 128 bytes apart, so nothing else
 *     moves the bank.
 *   - cp.async and 16-byte loads: a phase takes 8 chunks in sequence of one row, c = 8a…8a+7:
 *     the XOR with a constant permutes them.
 *   - 4-byte stores of accumulators: lanes 4g+t hit word t of chunk c of row g: 8 different
 *     chunks times 4 words are the 32 banks.
 *
 * Rows of any other length (D = 32, 80, 96, 112, 192, 224…) lie in tiles of the next DIM whose
 * columns from D on are zeros: they add nothing to a product. */
#ifndef QUERN_CUDA_ATTENTION_TILE_H
#define QUERN_CUDA_ATTENTION_TILE_H

#include "../prim/prim.h"
#include "params.h"

enum {
    TILE_ALIGN = 128, /* bytes */
    CHUNK_BYTES = 16, /* 8 elements */
    GROUP_CHUNKS = 8, /* 128 bytes: what the swizzle permutes within */
    GROUP_BYTES = 128,
};

template <int ROWS, int DIM> constexpr uint32_t tile_bytes() {
    static_assert(DIM % 64 == 0 && ROWS % 16 == 0, "whole groups of chunks, whole fragments");
    return ROWS * DIM * 2;
}

template <int DIM> QN_DEVICE uint32_t chunk_offset(int row, int chunk) {
    return row * (DIM * 2) + ((chunk ^ (row & 7)) * CHUNK_BYTES);
}

/* The first multiple of TILE_ALIGN in the dynamic shared memory, for which the launch adds
 * TILE_ALIGN bytes. */
QN_DEVICE uint8_t *aligned_shared() {
    uint8_t *memory = dynamic_shared();
    return memory + (0u - shared_address(memory)) % TILE_ALIGN;
}

/* ---- between global and shared memory ------------------------------------------ */

/* Rows of one head of one sequence. */
struct row_view {
    uint16_t *data;
    int64_t stride; /* elements from row to row */
};

QN_DEVICE row_view rows_of(const qn_attn_view &x, int64_t batch, int64_t head) {
    return {x.data + batch * x.batch + head * x.head, x.row};
}

/* Begins to copy rows [first, first + ROWS) to a tile: zeros in rows from n_rows on and in columns
 * from head_dim on; nothing past either is read. The caller commits and waits. All THREADS threads
 * of the block take part: 8 lanes copy 128 bytes of a row in sequence. */
template <int ROWS, int DIM, int THREADS>
QN_DEVICE void load_tile(uint32_t tile, row_view x, int32_t first, int32_t n_rows,
                         int32_t head_dim) {
    constexpr int ROWS_AT_ONCE = THREADS / GROUP_CHUNKS;
    static_assert(ROWS_AT_ONCE % 8 == 0 && ROWS % ROWS_AT_ONCE == 0, "whole steps");
    const int row = threadIdx.x / GROUP_CHUNKS, chunk = threadIdx.x % GROUP_CHUNKS;
    const uint32_t dst = tile + chunk_offset<DIM>(row, chunk);
    const uint16_t *src = x.data + (first + row) * x.stride + chunk * 8;
    const int32_t left = n_rows - first - row;
#pragma unroll
    for (int r = 0; r < ROWS; r += ROWS_AT_ONCE) {
#pragma unroll
        for (int c = 0; c < DIM / 8; c += GROUP_CHUNKS)
            cp_async_16(dst + r * (DIM * 2) + c * CHUNK_BYTES, src + c * 8,
                        r < left && (chunk + c) * 8 < head_dim);
        src += ROWS_AT_ONCE * x.stride;
    }
}

/* Writes a tile's rows to [first, first + ROWS), but none from n_rows on and no column from
 * head_dim on; 16 bytes a lane, lanes in the order of load_tile. */
template <int ROWS, int DIM, int THREADS>
QN_DEVICE void store_tile(row_view x, const uint8_t *tile, int32_t first, int32_t n_rows,
                          int32_t head_dim) {
    const int chunk = threadIdx.x % GROUP_CHUNKS;
#pragma unroll
    for (int r = 0; r < ROWS; r += THREADS / GROUP_CHUNKS) {
        const int row = r + threadIdx.x / GROUP_CHUNKS;
        uint16_t *const dst = x.data + (int64_t)(first + row) * x.stride;
#pragma unroll
        for (int c = chunk; c < DIM / 8; c += GROUP_CHUNKS)
            if (first + row < n_rows && c * 8 < head_dim)
                *(uint4 *)(dst + c * 8) = *(const uint4 *)(tile + chunk_offset<DIM>(row, c));
    }
}

#endif
