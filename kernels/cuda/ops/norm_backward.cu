/* norm_backward.cu: gradients of RMSNorm and LayerNorm. With x̂ = (x − mean)·rstd and
 * g = dout ∘ weight, of a row of C elements:
 *   dx      = dresidual + rstd·(g − mean(g) − x̂·mean(g ∘ x̂)), without mean(g) in RMSNorm
 *   dweight = Σ over rows dout ∘ x̂,  dbias = Σ over rows dout
 * A block adds up the columns of its rows, partial_sums.cu the blocks; both in a fixed order. */
#include "norm_row.h"
#include "partial_sums.h"

/* ---- a row --------------------------------------------------------------------------- */

struct gradient_row {
    const bf16 *x, *dout, *dresidual; /* dresidual may be NULL */
    bf16 *dx;
    int64_t cols;
    float mean, rstd;
};

template <bool CENTRED>
QN_DEVICE gradient_row gradient_row_at(const qn_norm_params &p, const norm_place &at) {
    gradient_row row = {};
    if (at.cols == 0) return row;
    row.x = norm_row_at(p.x, at);
    row.dout = norm_row_at(p.dout, at);
    if (p.dresidual.data) row.dresidual = norm_row_at(p.dresidual, at);
    row.dx = norm_row_at(p.dx, at);
    row.cols = at.cols;
    if (CENTRED) row.mean = *norm_stat_at(p.mean, at);
    row.rstd = *norm_stat_at(p.rstd, at);
    return row;
}

/* Eight columns of it. An absent dresidual is 0. */
struct gradient_inputs {
    packed8 x, dout, dresidual;
};

QN_DEVICE gradient_inputs load_inputs(const gradient_row &row, int64_t begin, bool wide) {
    gradient_inputs in = {};
    in.x = load_packed(row.x, begin, row.cols, wide);
    in.dout = load_packed(row.dout, begin, row.cols, wide);
    if (row.dresidual) in.dresidual = load_packed(row.dresidual, begin, row.cols, wide);
    return in;
}

/* ---- its arithmetic --------------------------------------------------------------------- */

struct row_sums {
    float g, gx; /* Σ g and Σ g ∘ (x − mean) */
};

/* Elements past the row add nothing: their dout is 0. */
QN_DEVICE void add_to_sums(row_sums &sums, const gradient_inputs &in, const vector8 &weight,
                           float mean) {
    const vector8 x = unpack8(in.x), dout = unpack8(in.dout);
#pragma unroll
    for (int i = 0; i < VECTOR; i++) {
        const float g = dout.x[i] * weight.x[i];
        sums.g += g;
        sums.gx += g * (x.x[i] - mean);
    }
}

struct row_means {
    float g, along; /* mean(g), 0 in RMSNorm, and mean(g ∘ x̂) */
};

/* Eight columns of the gradients of the parameters. */
struct column_sums {
    vector8 dweight, dbias;
};

/* dx; adds to the sums of its columns. */
template <bool CENTRED>
QN_DEVICE vector8 gradient_of(const gradient_row &row, const gradient_inputs &in,
                              const vector8 &weight, row_means mean, column_sums &sums) {
    const vector8 x = unpack8(in.x), dout = unpack8(in.dout);
    vector8 dx = unpack8(in.dresidual);
#pragma unroll
    for (int i = 0; i < VECTOR; i++) {
        const float normal = (x.x[i] - row.mean) * row.rstd, d = dout.x[i];
        dx.x[i] += row.rstd * (d * weight.x[i] - mean.g - normal * mean.along);
        sums.dweight.x[i] += d * normal;
        if (CENTRED) sums.dbias.x[i] += d;
    }
    return dx;
}

/* ---- the columns of a block ---------------------------------------------------------------- */

/* Adds to a sum in the workspace, which the block's first row begins. */
QN_DEVICE void add_to_partial(float *partial, int64_t begin, int64_t cols, bool wide, bool first,
                              const vector8 &part) {
    const vector8 before = first ? vector8{} : load_part(partial, begin, cols, wide);
    store_part(partial, begin, cols, wide, add8(before, part));
}

/* The sums of the thread's columns over the rows that it has seen, and where the block's belong. */
template <typename S> struct block_columns {
    column_sums held[S::VECTORS];
    float *dweight, *dbias;
};

/* Where the sums of the rows that a block has under way at the same time meet. */
template <typename S> struct alignas(16) row_slots {
    float sums[S::ROWS][S::ROWS > 1 ? S::HELD : 1];
};

/* The held columns, summed over the slots in their order, to `partial`. Whole block. */
template <typename S>
QN_DEVICE void add_slots(const column_sums (&held)[S::VECTORS], vector8 column_sums::*which,
                         row_slots<S> &slots, float *partial, int64_t cols) {
#pragma unroll
    for (int v = 0; v < S::VECTORS; v++)
        store8(slots.sums[threadIdx.x / S::LANES] + norm_begin<S>(v), held[v].*which);
    __syncthreads(); /* the sums of every slot are there */
    for (int64_t j = threadIdx.x; j < cols; j += S::THREADS) {
        float sum = 0;
        for (int slot = 0; slot < S::ROWS; slot++) sum += slots.sums[slot][j];
        partial[j] = sum;
    }
    __syncthreads(); /* every slot has been read */
}

/* The held columns, summed over the block's rows, to the workspace. Whole block. */
template <typename S>
QN_DEVICE void write_partial(const column_sums (&held)[S::VECTORS], vector8 column_sums::*which,
                             row_slots<S> &slots, float *partial, int64_t cols, bool wide) {
    if constexpr (S::ROWS > 1) {
        add_slots<S>(held, which, slots, partial, cols);
    } else {
#pragma unroll
        for (int v = 0; v < S::VECTORS; v++)
            if (norm_begin<S>(v) < cols)
                store_part(partial, norm_begin<S>(v), cols, wide, held[v].*which);
    }
}

/* ---- the passes over a row ------------------------------------------------------------------- */

template <typename S>
QN_DEVICE row_sums sum_row(const gradient_row &row, const gradient_inputs (&held)[S::VECTORS],
                           const bf16 *weights, bool wide) {
    row_sums sums = {0, 0};
#pragma unroll
    for (int v = 0; v < S::VECTORS; v++) {
        const int64_t begin = norm_begin<S>(v);
        if (begin < row.cols)
            add_to_sums(sums, held[v], load_part(weights, begin, row.cols, wide), row.mean);
    }
    for (int64_t begin = norm_begin<S>(S::VECTORS); S::OPEN_ENDED && begin < row.cols;
         begin += S::STEP)
        add_to_sums(sums, load_inputs(row, begin, wide), load_part(weights, begin, row.cols, wide),
                    row.mean);
    return sums;
}

template <typename S, bool CENTRED>
QN_DEVICE void write_gradient(const gradient_row &row, const gradient_inputs (&held)[S::VECTORS],
                              const bf16 *weights, bool wide, row_means mean, bool first,
                              block_columns<S> &columns) {
#pragma unroll
    for (int v = 0; v < S::VECTORS; v++) {
        const int64_t begin = norm_begin<S>(v);
        if (begin >= row.cols) continue;
        const vector8 weight = load_part(weights, begin, row.cols, wide);
        store_part(row.dx, begin, row.cols, wide,
                   gradient_of<CENTRED>(row, held[v], weight, mean, columns.held[v]));
    }
    for (int64_t begin = norm_begin<S>(S::VECTORS); S::OPEN_ENDED && begin < row.cols;
         begin += S::STEP) {
        column_sums part = {};
        const vector8 weight = load_part(weights, begin, row.cols, wide);
        store_part(row.dx, begin, row.cols, wide,
                   gradient_of<CENTRED>(row, load_inputs(row, begin, wide), weight, mean, part));
        add_to_partial(columns.dweight, begin, row.cols, wide, first, part.dweight);
        if (CENTRED) add_to_partial(columns.dbias, begin, row.cols, wide, first, part.dbias);
    }
}

/* LayerNorm's threads need more registers. */
template <typename S, bool CENTRED> constexpr int resident_blocks() {
    return CENTRED && S::BLOCKS > 1 ? S::BLOCKS - 1 : S::BLOCKS;
}

/* ---- the kernel of the rows -------------------------------------------------------------- */

/* One block: S::ROWS rows at a time, and rows a grid further on when these are done; threads as
 * norm_shape has them. Registers hold the thread's part of x, dout and dresidual as they are
 * stored, all read before the row's sums are made, and the sums of its columns; shared memory
 * holds the sums of warps, where a row has several, and at the end those of the block's slots.
 * Bytes an element: 4 in and 2 out, with dresidual 6 in; weight comes from the caches, and 8 bytes
 * a column and block go out (4 in RMSNorm). 11 operations an element, LayerNorm 14. */
template <typename S, bool CENTRED>
__global__ void __launch_bounds__(S::THREADS, (resident_blocks<S, CENTRED>()))
    norm_backward_kernel(const __grid_constant__ qn_norm_params p) {
    QN_SHARED(float, parts, [S::WARPS]);
    QN_SHARED(row_slots<S>, slots, );
    const bf16 *const weights = (const bf16 *)p.weight;
    block_columns<S> columns = {};
    columns.dweight = p.partials + blockIdx.x * 2 * p.cols;
    columns.dbias = columns.dweight + p.cols;
    const int64_t begin_row = (int64_t)blockIdx.x * S::ROWS, step = (int64_t)gridDim.x * S::ROWS;
    for (int64_t first = begin_row; first < p.n_rows; first += step) {
        const gradient_row row = gradient_row_at<CENTRED>(p, place_norm<S>(p, first));
        gradient_inputs held[S::VECTORS];
#pragma unroll
        for (int v = 0; v < S::VECTORS; v++)
            if (norm_begin<S>(v) < row.cols) held[v] = load_inputs(row, norm_begin<S>(v), p.wide);
        const row_sums sums = sum_row<S>(row, held, weights, p.wide);
        const float n = (float)p.cols;
        row_means mean = {0, norm_row_sum<S>(sums.gx, parts) * row.rstd / n};
        if (CENTRED) mean.g = norm_row_sum<S>(sums.g, parts) / n;
        write_gradient<S, CENTRED>(row, held, weights, p.wide, mean, first == begin_row, columns);
    }
    write_partial<S>(columns.held, &column_sums::dweight, slots, columns.dweight, p.cols, p.wide);
    if (CENTRED)
        write_partial<S>(columns.held, &column_sums::dbias, slots, columns.dbias, p.cols, p.wide);
}

/* ---- launching --------------------------------------------------------------------------- */

template <typename S, bool CENTRED>
static unsigned blocks_of(int64_t n_rows, const qn_cuda_queue *queue) {
    return qn_cuda_blocks(queue, n_rows, S::ROWS, resident_blocks<S, CENTRED>());
}

int64_t qn_cuda_norm_backward_blocks(int64_t n_rows, int64_t cols, const qn_cuda_queue *queue) {
    return with_norm_shape(cols, [=](auto shape) {
        return (int64_t)blocks_of<decltype(shape), false>(n_rows, queue);
    });
}

template <typename S, bool CENTRED>
static int launch(const qn_norm_params &p, const qn_cuda_queue *queue) {
    const unsigned blocks = blocks_of<S, CENTRED>(p.n_rows, queue);
    QN_LAUNCH((norm_backward_kernel<S, CENTRED>), dim3(blocks), dim3(S::THREADS), 0, queue->stream,
              p);
    int error = QN_LAUNCH_ERROR();
    if (!error)
        error =
            qn_cuda_launch_add_partials(p.dweight, p.partials, blocks, 2 * p.cols, p.cols, queue);
    if (error || !CENTRED) return error;
    return qn_cuda_launch_add_partials(p.dbias, p.partials + p.cols, blocks, 2 * p.cols, p.cols,
                                       queue);
}

int qn_cuda_launch_norm_backward(const qn_norm_params *p, const qn_cuda_queue *queue) {
    return with_norm_shape(p->cols, [=](auto shape) {
        return p->centred ? launch<decltype(shape), true>(*p, queue)
                          : launch<decltype(shape), false>(*p, queue);
    });
}
