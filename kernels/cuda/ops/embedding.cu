/* embedding.cu: rows of tables by index. Forward is a copy; backward sums rows that a sort has
 * brought together, so that a row of the table is written once, by one warp, in a fixed order. A
 * warp's work is a strip of 256 columns, 8 a lane. */
#include "embedding.h"
#include "vector.h"

enum { THREADS = 256, WARPS = THREADS / 32, RESIDENT = 8, STRIP = 32 * VECTOR };

static int64_t n_strips(int64_t columns) { return (columns + STRIP - 1) / STRIP; }

QN_DEVICE int lane_column() { return threadIdx.x % 32 * VECTOR; }

/* ---- forward ------------------------------------------------------------------------------ */

enum { ROWS = 4 }; /* of a warp at a time, so that enough bytes are under way */

QN_DEVICE vector8 look_up(const qn_tensor &table, const qn_tensor &index, int64_t n, int64_t column,
                          bool wide) {
    const int32_t row = ((const int32_t *)index.data)[n];
    if (row >= 0 && row < table.shape[0])
        return load_part((const bf16 *)table.data + row * table.stride[0], column, table.shape[1],
                         wide);
    return {{NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN}};
}

/* One warp: a strip of ROWS rows, then a grid further on. Bytes, of an element: 2 in, 2 more with
 * positions, 2 out; nothing in shared memory. */
__global__ void __launch_bounds__(THREADS)
    embedding_look_up(const __grid_constant__ qn_cuda_embedding e, int64_t strips, int64_t items) {
    const int64_t n_rows = e.out.shape[0], n_columns = e.out.shape[1];
    for (int64_t item = blockIdx.x * WARPS + threadIdx.x / 32; item < items;
         item += gridDim.x * WARPS) {
        const int64_t first = item / strips * ROWS, column = item % strips * STRIP + lane_column();
        if (column >= n_columns) continue;
        vector8 x[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            if (first + r < n_rows) x[r] = look_up(e.wte, e.tokens, first + r, column, e.wide);
        if (e.wpe.data) {
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                if (first + r < n_rows)
                    x[r] = add8(x[r], look_up(e.wpe, e.positions, first + r, column, e.wide));
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            if (first + r < n_rows)
                store_part((bf16 *)e.out.data + (first + r) * e.out.stride[0], column, n_columns,
                           e.wide, x[r]);
    }
}

int qn_cuda_launch_embedding(const qn_cuda_embedding *e, const qn_cuda_queue *queue) {
    const int64_t strips = n_strips(e->out.shape[1]);
    const int64_t items = (e->out.shape[0] + ROWS - 1) / ROWS * strips;
    QN_LAUNCH(embedding_look_up, dim3(qn_cuda_blocks(queue, items, WARPS, RESIDENT)), dim3(THREADS),
              0, queue->stream, *e, strips, items);
    return QN_LAUNCH_ERROR();
}

/* ---- backward: a piece of the sorted rows ------------------------------------------------- */

enum { PIECE = QN_EMBEDDING_PIECE, GROUP = 4 };
static_assert(PIECE == 32, "a lane reads the key of each row, and bits of a word stand for rows");

QN_DEVICE float *table_row(const qn_cuda_row_sums &s, uint32_t key) {
    return (float *)s.table.data + (int64_t)key * s.table.stride[0];
}

QN_DEVICE float *partial_row(const qn_cuda_row_sums &s, int64_t piece, bool goes_on) {
    return s.partials + (2 * piece + goes_on) * s.partial_stride;
}

/* A key that no row has stands for those before the first and after the last. */
QN_DEVICE uint32_t key_at(const qn_cuda_row_sums &s, int64_t i) {
    return i >= 0 && i < s.dout.shape[0] ? s.keys[i] : UINT32_MAX;
}

/* Keys and places of a piece, one a lane; bits stand for its rows. */
struct piece_rows {
    uint32_t key;
    int32_t place;
    int count;              /* rows whose key is in the table: the first ones */
    uint32_t last;          /* the last row of each key in this piece */
    uint32_t came, goes_on; /* of them, the one whose key began before; whose key does not end */
};

/* Whole warp. */
QN_DEVICE piece_rows read_piece(const qn_cuda_row_sums &s, int64_t piece) {
    const int64_t first = piece * PIECE, i = first + threadIdx.x % 32;
    const uint32_t before = key_at(s, first - 1), after = key_at(s, first + PIECE);
    piece_rows rows;
    rows.key = key_at(s, i);
    rows.place = i < s.dout.shape[0] ? s.places[i] : 0;
    const bool inside = rows.key < s.table.shape[0];
    const uint32_t next = __shfl_down_sync(0xffffffffu, rows.key, 1);
    const bool is_last = threadIdx.x % 32 == 31 || next != rows.key;
    rows.count = __popc(__ballot_sync(0xffffffffu, inside));
    rows.last = __ballot_sync(0xffffffffu, inside && is_last);
    const uint32_t first_key = __shfl_sync(0xffffffffu, rows.key, 0),
                   last_key = __shfl_sync(0xffffffffu, rows.key, 31);
    rows.came = before == first_key ? rows.last & (0u - rows.last) : 0;
    rows.goes_on = after == last_key ? rows.last & 1u << 31 & ~rows.came : 0;
    return rows;
}

/* Sums rows of one key in their order. What begins and ends in the piece is added to the table;
 * other sums are left for embedding_join. A group's loads are all under way before its first sum.
 * Whole warp. */
QN_DEVICE void sum_piece(const qn_cuda_row_sums &s, int64_t piece, int64_t column) {
    const piece_rows rows = read_piece(s, piece);
    const uint32_t whole = rows.last & ~rows.came & ~rows.goes_on;
    const int64_t n_columns = s.dout.shape[1];
    const bool active = column < n_columns;
    vector8 sum = {};
    for (int first = 0; first < rows.count; first += GROUP) {
        vector8 x[GROUP], old[GROUP];
        float *to[GROUP];
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
            const int row = first + g;
            const int64_t place = __shfl_sync(0xffffffffu, rows.place, row);
            to[g] = table_row(s, __shfl_sync(0xffffffffu, rows.key, row));
            x[g] = old[g] = {};
            if (active && row < rows.count)
                x[g] = load_part((const bf16 *)s.dout.data + place * s.dout.stride[0], column,
                                 n_columns, s.wide_dout);
            if (active && whole >> row & 1)
                old[g] = load_part(to[g], column, n_columns, s.wide_table);
        }
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
            const int row = first + g;
            sum = add8(sum, x[g]);
            if (!(rows.last >> row & 1)) continue;
            const bool is_whole = whole >> row & 1;
            if (!is_whole) to[g] = partial_row(s, piece, rows.goes_on >> row & 1);
            if (active)
                store_part(to[g], column, n_columns, !is_whole || s.wide_table, add8(old[g], sum));
            sum = {};
        }
    }
}

/* One warp: a strip of a piece, then a grid further on. Bytes, of an element of dout: 2 in, and 8
 * for each element of the table that changes, at most 1/2 for partial sums; no shared memory. */
__global__ void __launch_bounds__(THREADS)
    embedding_sum(const __grid_constant__ qn_cuda_row_sums s, int64_t strips, int64_t items) {
    for (int64_t item = blockIdx.x * WARPS + threadIdx.x / 32; item < items;
         item += gridDim.x * WARPS)
        sum_piece(s, item / strips, item % strips * STRIP + lane_column());
}

/* ---- backward: keys that several pieces have ---------------------------------------------- */

/* Whether a key begins in this piece and goes on in the next. */
QN_DEVICE bool begins(const qn_cuda_row_sums &s, int64_t piece) {
    const uint32_t key = key_at(s, piece * PIECE + PIECE - 1);
    return key < s.table.shape[0] && key == key_at(s, piece * PIECE + PIECE) &&
           key != key_at(s, piece * PIECE - 1);
}

/* The last piece that has the key with which piece `low` begins. */
QN_DEVICE int64_t last_piece(const qn_cuda_row_sums &s, int64_t low) {
    const uint32_t key = key_at(s, low * PIECE);
    int64_t high = (s.dout.shape[0] + PIECE - 1) / PIECE; /* begins with another key, or is none */
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (key_at(s, middle * PIECE) == key)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* One block: a strip of the key that goes on from a piece, if one does, then a grid further on. A
 * warp adds every eighth of its partial sums, the first warp those of the warps, which lie in
 * shared memory (8 KB). Bytes: each partial sum once in. */
__global__ void __launch_bounds__(THREADS)
    embedding_join(const __grid_constant__ qn_cuda_row_sums s, int64_t strips, int64_t items) {
    QN_SHARED(vector8, parts, [WARPS][32]);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64_t n_columns = s.dout.shape[1];
    for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
        const int64_t piece = item / strips, column = item % strips * STRIP + lane_column();
        if (!begins(s, piece)) continue;
        const int64_t last = last_piece(s, piece + 1);
        const bool active = column < n_columns;
        vector8 sum = {};
        if (active) {
#pragma unroll 4
            for (int64_t i = piece + 1 + warp; i <= last; i += WARPS)
                sum = add8(sum, load8(partial_row(s, i, false) + column));
        }
        parts[warp][lane] = sum;
        __syncthreads(); /* the sums of all warps are there */
        if (warp == 0 && active) {
            sum = load8(partial_row(s, piece, true) + column);
            for (int w = 0; w < WARPS; w++) sum = add8(sum, parts[w][lane]);
            float *to = table_row(s, s.keys[piece * PIECE + PIECE - 1]);
            const vector8 old = load_part(to, column, n_columns, s.wide_table);
            store_part(to, column, n_columns, s.wide_table, add8(old, sum));
        }
        __syncthreads(); /* they have been read */
    }
}

int qn_cuda_launch_row_sums(const qn_cuda_row_sums *s, const qn_cuda_queue *queue) {
    const int64_t strips = n_strips(s->dout.shape[1]);
    const int64_t items = (s->dout.shape[0] + PIECE - 1) / PIECE * strips;
    QN_LAUNCH(embedding_sum, dim3(qn_cuda_blocks(queue, items, WARPS, RESIDENT)), dim3(THREADS), 0,
              queue->stream, *s, strips, items);
    QN_LAUNCH(embedding_join, dim3(qn_cuda_blocks(queue, items, 1, RESIDENT)), dim3(THREADS), 0,
              queue->stream, *s, strips, items);
    return QN_LAUNCH_ERROR();
}
