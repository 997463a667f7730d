/* fused_sm80_backward.cu: the fused backward pass for compute capability 8.0 and later, which
 * recomputes P from q, k and lse (Dao, FlashAttention-2, 2307.08691, algorithm 2). */
#include "fused_sm80_backward_dq.h"
#include "fused_sm80_backward_keys.h"
#include "launch.h"

/* ---- the kernel ------------------------------------------------------------------ */

/* One block: KEYS keys of one head, against the tiles of QUERIES rows that see any of them, of
 * all query heads of the group; so dk and dv gather in registers and are written once, without
 * atomics. Shared memory, swizzled as tile.h says: k and v of the block; q and dout of STAGES
 * tiles, so that the next arrive meanwhile; dSᵀ of two tiles; what row_facts holds.
 *
 * A warp computes Sᵀ and dPᵀ of its keys, 64 accumulators a lane at a time: as accumulators they
 * have just the layout in which Pᵀ and dSᵀ are the A operand of dv += Pᵀ·dout and dk += dSᵀ·q, so
 * neither leaves the registers for these. Only dSᵀ goes to shared memory too, for dq = dS·k needs
 * all keys. This product comes a tile late, beside the next tile's: so one barrier a tile does
 * for all, the arrival of q and dout, dSᵀ, and the end of reading what is overwritten next. dq
 * is added to fp32 sums in global memory; ORDERED: in the order that fused_sm80_backward_order.h
 * explains, so that its bits are always the same.
 *
 * Masks only touch warps that see a part of their keys, and a warp whose keys are hidden from all
 * rows does no products. Rows past the last one are zeros with P = 0; keys past the last one are
 * seen by no row.
 *
 * Bank conflicts: none. Tiles and fragments as tile.h says (dSᵀ is stored like accumulators and
 * read by ldmatrix); row_facts are read 4 or 8 bytes in sequence by the lanes of a quad, the same
 * in all quads; what warps exchange at the end is 128 bytes in sequence.
 *
 * Work: 10·D operations for each pair of query and key in tiles not skipped. Bytes: k, v, dk and
 * dv once; q, dout, lse and delta once for each tile of keys, from L2 mostly, and as often 4·D a
 * row added to dq. */
template <typename Shape, bool ORDERED>
__global__ void __launch_bounds__(Shape::THREADS, 1)
    fused_sm80_backward(const __grid_constant__ qn_attn_params p,
                        const __grid_constant__ float base2, uint32_t n_key_tiles) {
    constexpr int KEY_WARPS = Shape::WARPS / Shape::QUERY_WARPS;
    const backward_shared<Shape> shared = divide_shared<Shape>();
    const uint32_t k_tile = shared_address(shared.k), v_tile = shared_address(shared.v);
    const uint32_t queries = shared_address(shared.queries), ds_tiles = shared_address(shared.ds);
    const int warp_key = threadIdx.x / 32 % KEY_WARPS * Shape::WARP_KEYS;
    const int warp_query = threadIdx.x / 32 / KEY_WARPS * Shape::WARP_QUERIES;

    QN_SHARED(key_place, place, ); /* for the loop, where registers are scarce */
    const key_place here = place_block<Shape>(p, n_key_tiles);
    query_step step = first_step(here);
    if (threadIdx.x == 0) place = here;
    if (ORDERED && threadIdx.x == 0) publish_first(p, here);

    key_gradient<Shape> dk = {}, dv = {};
    if (here.n_steps > 0) {
        const int32_t first_key = here.tile * Shape::KEYS;
        load_tile<Shape::KEYS, Shape::DIM, Shape::THREADS>(
            k_tile, rows_of(p.k, here.batch, here.kv_head), first_key, p.n_keys, p.head_dim);
        load_tile<Shape::KEYS, Shape::DIM, Shape::THREADS>(
            v_tile, rows_of(p.v, here.batch, here.kv_head), first_key, p.n_keys, p.head_dim);
        put_fact(shared.facts[0], begin_step<Shape>(p, here, step, true, queries));
        int32_t i = 0;
        do {
            const int stage = i % Shape::STAGES, next_stage = (i + 1) % Shape::STAGES;
            cp_async_wait<0>();
            __syncthreads(); /* q, dout and facts are there, dSᵀ of the last tile is complete */
            const bool more = i + 1 < place.n_steps;
            row_fact fact;
            if (Shape::STAGES > 1)
                fact = begin_step<Shape>(p, place, step_after(step, place), more,
                                         queries + next_stage * 2 * Shape::QUERY_BYTES);
            if (i > 0)
                add_dq<Shape, ORDERED>(p, place, step_before(step, place),
                                       ds_tiles + (i - 1) % 2 * Shape::DS_BYTES, k_tile);
            if (Shape::STAGES > 1) put_fact(shared.facts[next_stage], fact);
            meet<Shape>(dk, dv, place_lanes(shared, stage, warp_key), shared.facts[stage],
                        shared.ds + i % 2 * Shape::DS_BYTES, warp_query, warp_key, base2);
            step = step_after(step, place);
            i++;
            if (Shape::STAGES == 1) {
                __syncthreads(); /* q, dout and facts have been read */
                put_fact(shared.facts[0],
                         begin_step<Shape>(p, place, step, i < place.n_steps, queries));
            }
        } while (i < place.n_steps);
        __syncthreads(); /* dSᵀ of the last tile is complete */
        add_dq<Shape, ORDERED>(p, place, step_before(step, place),
                               ds_tiles + (i - 1) % 2 * Shape::DS_BYTES, k_tile);
    }
    store_gradients<Shape>(p, place, shared, dk, dv, warp_key);
}

/* ---- launching ------------------------------------------------------------------- */

using shape_64 = backward_shape<64, 128, 128, 4, 2, 2, 2>;
using shape_128 = backward_shape<128, 64, 128, 8, 1, 2, 2>;
/* For devices with 100 KB of shared memory. */
using shape_64_small = backward_shape<64, 64, 128, 4, 2, 1, 2>;
using shape_128_small = backward_shape<128, 64, 64, 4, 1, 4, 1>;

enum { MOST_QUERIES = 128, FEWEST_KEYS = 64 }; /* of these */

template <typename Shape, bool ORDERED>
static int launch_main(const qn_attn_params &p, const qn_cuda_queue *queue) {
    if (p.n_keys == 0) return 0;
    const uint32_t n_key_tiles = (uint32_t)(((int64_t)p.n_keys - 1) / Shape::KEYS + 1);
    QN_LAUNCH((fused_sm80_backward<Shape, ORDERED>),
              dim3(n_key_tiles * (uint32_t)p.batch * (uint32_t)p.n_kv_heads), dim3(Shape::THREADS),
              Shape::SHARED_BYTES, queue->stream, p, p.scale * LOG2_E, n_key_tiles);
    return QN_LAUNCH_ERROR();
}

template <typename Shape> static int launch(const qn_attn_params &p, const qn_cuda_queue *queue) {
    const int32_t n_query_tiles = (p.n_queries - 1) / Shape::QUERIES + 1;
    const int64_t dq_head = (int64_t)n_query_tiles * Shape::QUERIES * Shape::DIM;
    const int64_t n_semaphores =
        p.semaphores ? p.batch * p.n_kv_heads * qn_attn_backward_semaphores(p.n_keys) : 0;
    int error = qn_attn_delta(&p, dq_head, n_semaphores, queue);
    if (!error)
        error =
            p.semaphores ? launch_main<Shape, true>(p, queue) : launch_main<Shape, false>(p, queue);
    if (error) return error;
    QN_LAUNCH(
        (finish_dq<Shape>), dim3((uint32_t)n_query_tiles * (uint32_t)p.batch * (uint32_t)p.n_heads),
        dim3(Shape::THREADS), Shape::QUERY_BYTES + TILE_ALIGN, queue->stream, p, n_query_tiles);
    return QN_LAUNCH_ERROR();
}

/* ---- shapes and devices ----------------------------------------------------------------- */

/* Of the shared memory that a block may ask for, with what the kernel declares. */
template <typename Shape> constexpr size_t needed_bytes() {
    return Shape::SHARED_BYTES +
           (sizeof(key_place) + QN_SHARED_ALIGN - 1) / QN_SHARED_ALIGN * QN_SHARED_ALIGN;
}

/* What compute capability 8.0 has, and 8.6, 8.9 and 12.0. */
static_assert(needed_bytes<shape_64>() <= 163 << 10 && needed_bytes<shape_128>() <= 163 << 10 &&
                  needed_bytes<shape_64_small>() <= 99 << 10 &&
                  needed_bytes<shape_128_small>() <= 99 << 10,
              "the shapes fit the devices that they are for");

template <typename Shape> static bool fits(const qn_cuda_queue *queue) {
    return needed_bytes<Shape>() <= queue->shared_bytes;
}

template <typename Shape> static int allow_shared() {
    const int error = QN_ALLOW_SHARED((fused_sm80_backward<Shape, false>), Shape::SHARED_BYTES);
    return error ? error : QN_ALLOW_SHARED((fused_sm80_backward<Shape, true>), Shape::SHARED_BYTES);
}

template <typename Large, typename Small> static int allow_fitting(const qn_cuda_queue *queue) {
    return fits<Large>(queue) ? allow_shared<Large>() : allow_shared<Small>();
}

int qn_attn_fused_sm80_backward_open(const qn_cuda_queue *queue) {
    const int error = allow_fitting<shape_64, shape_64_small>(queue);
    return error ? error : allow_fitting<shape_128, shape_128_small>(queue);
}

template <typename Large, typename Small>
static int launch_fitting(const qn_attn_params &p, const qn_cuda_queue *queue) {
    return fits<Large>(queue) ? launch<Large>(p, queue) : launch<Small>(p, queue);
}

int qn_attn_fused_sm80_backward(const qn_attn_params *p, const qn_cuda_queue *queue) {
    if (p->head_dim <= 64) return launch_fitting<shape_64, shape_64_small>(*p, queue);
    return launch_fitting<shape_128, shape_128_small>(*p, queue);
}

int64_t qn_attn_backward_dq_floats(int64_t head_dim, int64_t n_queries) {
    return (n_queries + MOST_QUERIES - 1) / MOST_QUERIES * MOST_QUERIES *
           (head_dim <= 64 ? 64 : 128);
}

int64_t qn_attn_backward_semaphores(int64_t n_keys) {
    return (n_keys + FEWEST_KEYS - 1) / FEWEST_KEYS;
}
