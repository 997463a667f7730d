/* fused_sm80_forward.cu: the fused forward pass for compute capability 8.0 and later: online
 * softmax over tiles of keys, products by mma.sync (Dao, FlashAttention-2, 2307.08691,
 * algorithm 1). */
#include "fused_sm80_forward_rows.h"
#include "launch.h"
#include "warp_product.h"

/* Up to DIM elements a head; a block has ROWS query rows, takes KEYS keys at a time and has WARPS
 * warps, each with STRIPS strips of 16 rows; BLOCKS blocks share an SM. */
template <int DIM_, int ROWS_, int KEYS_, int WARPS_, int BLOCKS_> struct forward_shape {
    static constexpr int DIM = DIM_, ROWS = ROWS_, KEYS = KEYS_, WARPS = WARPS_, BLOCKS = BLOCKS_;
    static constexpr int THREADS = WARPS * 32, STRIPS = ROWS / (WARPS * 16);
    static constexpr int WARP_ROWS = STRIPS * 16;
    /* Steps of q·kᵀ unrolled: all of a wide head's fragments at once would crowd out o, and two
     * steps' the addresses that statistics keep. */
    static constexpr int STEPS = DIM > 64 ? 2 : 4, STATS_STEPS = 1;
    static constexpr uint32_t Q_BYTES = tile_bytes<ROWS, DIM>(),
                              KEY_BYTES = tile_bytes<KEYS, DIM>();
    static constexpr uint32_t SHARED_BYTES = Q_BYTES + 2 * KEY_BYTES + TILE_ALIGN;
};

/* ---- which block does what ------------------------------------------------------ */

/* One thread works it out; it lies in shared memory, where it takes no registers. */
struct block_plan {
    int32_t batch, head;
    int32_t tile, first_row, n_rows; /* tile of query rows */
    int32_t begin, end;              /* tiles of keys, at least one */
    row_view q, k, v;
};

/* Blocks start in the order of their index. Heads go by sections whose keys and values fit the L2
 * cache together; within a section, the last tiles of all its heads come first: under a causal
 * mask they are the longest, and short ones fill the gaps at the end. */
QN_DEVICE void place_block(block_plan &plan, const qn_attn_params &p, uint32_t n_tiles,
                           uint32_t section) {
    const uint32_t n_heads = (uint32_t)p.batch * (uint32_t)p.n_heads;
    const uint32_t first_head = blockIdx.x / (section * n_tiles) * section;
    const uint32_t index = blockIdx.x - first_head * n_tiles;
    const uint32_t heads_here = section < n_heads - first_head ? section : n_heads - first_head;
    const uint32_t head = first_head + index % heads_here;
    plan.batch = head / p.n_heads;
    plan.head = head % p.n_heads;
    plan.tile = n_tiles - 1 - index / heads_here;
}

template <typename Shape>
QN_DEVICE block_plan plan_block(const qn_attn_params &p, uint32_t n_tiles, uint32_t section) {
    block_plan plan;
    place_block(plan, p, n_tiles, section);
    plan.first_row = plan.tile * Shape::ROWS;
    plan.n_rows = min_i32(Shape::ROWS, p.n_queries - plan.first_row);
    const tile_span span = span_of_tile(keys_seen(p, plan.batch, plan.first_row),
                                        keys_seen(p, plan.batch, plan.first_row + plan.n_rows - 1));
    plan.begin = span.any.lo / Shape::KEYS;
    plan.end = max_i32((span.any.hi - 1) / Shape::KEYS, plan.begin) + 1;
    const int32_t kv_head = plan.head / (p.n_heads / p.n_kv_heads);
    plan.q = rows_of(p.q, plan.batch, plan.head);
    plan.k = rows_of(p.k, plan.batch, kv_head);
    plan.v = rows_of(p.v, plan.batch, kv_head);
    return plan;
}

/* ---- the products of a tile ------------------------------------------------------- */

/* q = −q for the warp's rows, once they are in shared memory: what a negative scale asks for. */
template <typename Shape> QN_DEVICE void negate_rows(uint8_t *rows) {
    for (int i = threadIdx.x % 32; i < Shape::WARP_ROWS * Shape::DIM / 2; i += 32)
        ((uint32_t *)rows)[i] ^= 0x80008000u;
    __syncwarp();
}

/* o += w·v, with w rounded to bf16. */
template <typename Shape>
QN_DEVICE void multiply_values(float (&o)[Shape::STRIPS][Shape::DIM / 8][4],
                               const float (&w)[Shape::STRIPS][Shape::KEYS / 8][4],
                               fragment_lane<Shape::DIM> v) {
#pragma unroll
    for (int step = 0; step < Shape::KEYS / 16; step++) {
        uint32_t a[Shape::STRIPS][4];
#pragma unroll
        for (int m = 0; m < Shape::STRIPS; m++) pack_operand(a[m], w[m], step);
        multiply_columns(o, a, v, step * 16, 0);
    }
}

/* ---- the kernel ------------------------------------------------------------------------ */

/* One block: ROWS query rows of one head, against the tiles of KEYS keys that any of them sees,
 * from the last to the first. q, one tile of keys and one of values lie in shared memory, swizzled
 * as tile.h says; scores, weights and o in registers, m and l in slots of shared memory, 16·STRIPS
 * rows a warp, so that each fragment of keys or values loaded serves STRIPS products.
 *
 * While a tile's scores are computed its values arrive; while its weights are computed and
 * multiplied with the values, the next keys arrive. Two barriers a tile: at each, what was copied
 * meanwhile is there for all, and what was read before may be overwritten.
 *
 * Work: 4·D operations for each pair of row and key in a tile not skipped. Bytes: q and o once;
 * keys and values once for every tile of rows, from L2 mostly. */
template <typename Shape, bool STATS>
__global__ void __launch_bounds__(Shape::THREADS, Shape::BLOCKS)
    fused_sm80_forward(const __grid_constant__ qn_attn_params p,
                       const __grid_constant__ score_scale scale, uint32_t n_tiles,
                       uint32_t section) {
    constexpr int DIM = Shape::DIM, ROWS = Shape::ROWS, KEYS = Shape::KEYS;
    constexpr int THREADS = Shape::THREADS, WARP_ROWS = Shape::WARP_ROWS;
    QN_SHARED(block_plan, plan, );
    QN_SHARED(position_span, spans, [ROWS]);
    QN_SHARED(softmax_row, softmax, [Shape::STRIPS * 2 * THREADS]);
    QN_SHARED(int32_t, documents, [STATS ? ROWS : 1]);
    QN_SHARED(row_stats, stats, [STATS ? Shape::STRIPS * 2 * THREADS : 1]);
    QN_SHARED(qn_attn_tile_stats, parts, [STATS ? Shape::WARPS : 1]);
    uint8_t *const q_rows = aligned_shared();
    const uint32_t q_tile = shared_address(q_rows), k_tile = q_tile + Shape::Q_BYTES,
                   v_tile = k_tile + Shape::KEY_BYTES;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warp_row = warp * WARP_ROWS;

    if (threadIdx.x == 0) plan = plan_block<Shape>(p, n_tiles, section);
    __syncthreads(); /* the plan is there */
    load_tile<ROWS, DIM, THREADS>(q_tile, plan.q, plan.first_row, p.n_queries, p.head_dim);
    load_tile<KEYS, DIM, THREADS>(k_tile, plan.k, (plan.end - 1) * KEYS, p.n_keys, p.head_dim);
    cp_async_commit();
    for (int row = threadIdx.x; row < ROWS; row += THREADS) { /* past the end, the last row's */
        const int32_t i = plan.first_row + min_i32(row, plan.n_rows - 1);
        spans[row] = keys_seen(p, plan.batch, i);
        if constexpr (STATS) documents[row] = document_first(p, plan.batch, position_of(p, i));
    }

    const fragment_lane<DIM> q_lane = lane_of_rows<DIM>(q_tile, warp_row, lane),
                             k_lane = lane_of_columns<DIM>(k_tile, 0, lane),
                             v_lane = lane_of_rows<DIM>(v_tile, 0, lane);
    warp_rows<Shape> rows;
    rows.row = softmax + threadIdx.x;
    clear_rows(rows, scale.start);
    if constexpr (STATS) clear_row_stats<Shape>(stats + threadIdx.x);
    for (int32_t tile = plan.end - 1; tile >= plan.begin; tile--) {
        const int32_t first_key = tile * KEYS;
        cp_async_wait<0>();
        __syncthreads(); /* the keys are there; the values before them have been read */
        load_tile<KEYS, DIM, THREADS>(v_tile, plan.v, first_key, p.n_keys, p.head_dim);
        cp_async_commit();
        if (p.scale < 0 && tile == plan.end - 1) negate_rows<Shape>(q_rows + warp_row * DIM * 2);
        float s[Shape::STRIPS][KEYS / 8][4] = {};
        multiply_rows<STATS ? Shape::STATS_STEPS : Shape::STEPS>(s, q_lane, k_lane, 0);

        cp_async_wait<0>();
        __syncthreads(); /* the values are there; the keys have been read */
        if (tile > plan.begin) {
            load_tile<KEYS, DIM, THREADS>(k_tile, plan.k, first_key - KEYS, p.n_keys, p.head_dim);
            cp_async_commit();
        }
        const tile_span seen = span_of_tile(spans[warp_row], spans[warp_row + WARP_ROWS - 1]);
        if (!tile_is_full(seen, first_key, first_key + KEYS))
            hide_keys(s, spans + warp_row, first_key, scale.hidden);
        const int32_t away = position_of(p, plan.first_row + warp_row) - first_key;
        soften<Shape, STATS>(rows, s, scale.base2, stats + threadIdx.x, away);
        if constexpr (STATS)
            add_located<Shape>(stats + threadIdx.x, s, away, documents + warp_row, first_key,
                               p.stats_local_window);
        multiply_values<Shape>(rows.o, s, v_lane);
    }

    finish_rows(rows);
    const warp_target target = {plan.batch, plan.head, plan.first_row + warp_row,
                                plan.n_rows - warp_row};
    store_output(rows, p, target, q_rows + warp_row * DIM * 2);
    store_lse(rows, p, target);
    if constexpr (STATS) {
        const qn_attn_tile_stats part = gather_stats(rows, stats + threadIdx.x, p, target,
                                                     spans + warp_row, documents + warp_row);
        if (lane == 0) parts[warp] = part;
        __syncthreads(); /* the warps' parts are there */
        const int64_t head = (int64_t)plan.batch * p.n_heads + plan.head;
        store_stats(&p.stats_parts[head * n_tiles + plan.tile], parts, Shape::WARPS);
    }
}

/* ---- launching -------------------------------------------------------------------------- */

/* FlashAttention-2's choice for D = 64 and 128. With 64 keys at a time 256 would not fit the 99 KB
 * that a block may have on compute capability 8.6, 8.9 and 12.0. */
using shape_64 = forward_shape<64, 128, 128, 4, 2>;
using shape_128 = forward_shape<128, 128, 64, 4, 2>;
using shape_256 = forward_shape<256, 64, 32, 4, 1>;

/* Query heads whose keys and values together fit a third of the L2 cache, whole groups of them: the
 * cache may be two halves that each keep a copy, and q and o pass through it. */
static uint32_t heads_of_section(const qn_attn_params &p, const qn_cuda_queue *queue) {
    const int64_t group = p.n_heads / p.n_kv_heads, cached = (int64_t)(queue->l2_bytes / 3);
    const int64_t bytes = (int64_t)p.n_keys * p.head_dim * 4; /* k and v, bf16 */
    const int64_t groups = bytes > 0 && bytes < cached ? cached / bytes : 1;
    const int64_t n_heads = (int64_t)p.batch * p.n_heads;
    return (uint32_t)(groups * group < n_heads ? groups * group : n_heads);
}

template <typename Shape, bool STATS>
static int launch(const qn_attn_params &p, const qn_cuda_queue *queue) {
    const uint32_t n_tiles = (uint32_t)((p.n_queries + Shape::ROWS - 1) / Shape::ROWS);
    const uint32_t n_blocks = n_tiles * (uint32_t)p.batch * (uint32_t)p.n_heads;
    QN_LAUNCH((fused_sm80_forward<Shape, STATS>), dim3(n_blocks), dim3(Shape::THREADS),
              Shape::SHARED_BYTES, queue->stream, p, make_score_scale(p.scale), n_tiles,
              heads_of_section(p, queue));
    return QN_LAUNCH_ERROR();
}

template <typename Shape>
static int launch_shape(const qn_attn_params &p, const qn_cuda_queue *queue) {
    if (!p.stats_sums) return launch<Shape, false>(p, queue);
    const int error = launch<Shape, true>(p, queue);
    if (error) return error;
    return qn_attn_add_tile_stats(&p, qn_attn_forward_tiles(p.head_dim, p.n_queries), queue);
}

template <typename Shape> static int allow_shared() {
    const int error = QN_ALLOW_SHARED((fused_sm80_forward<Shape, false>), Shape::SHARED_BYTES);
    return error ? error : QN_ALLOW_SHARED((fused_sm80_forward<Shape, true>), Shape::SHARED_BYTES);
}

/* Every device that runs them has room for all of them. */
int qn_attn_fused_sm80_forward_open() {
    int error = allow_shared<shape_64>();
    if (!error) error = allow_shared<shape_128>();
    return error ? error : allow_shared<shape_256>();
}

int qn_attn_fused_sm80_forward(const qn_attn_params *p, const qn_cuda_queue *queue) {
    if (p->head_dim <= shape_64::DIM) return launch_shape<shape_64>(*p, queue);
    if (p->head_dim <= shape_128::DIM) return launch_shape<shape_128>(*p, queue);
    return launch_shape<shape_256>(*p, queue);
}

int64_t qn_attn_forward_tiles(int64_t head_dim, int64_t n_queries) {
    const int64_t rows = head_dim <= shape_64::DIM    ? shape_64::ROWS
                         : head_dim <= shape_128::DIM ? shape_128::ROWS
                                                      : shape_256::ROWS;
    return (n_queries + rows - 1) / rows;
}
