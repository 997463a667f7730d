/* rope.cu: rotary position embeddings (Su et al. 2104.09864), pairs (i, i + D/2). */
#include "rope.h"
#include "vector.h"

enum { THREADS = 256, RESIDENT = 8, HEADS = 4 };

/* ---- the rotation ---------------------------------------------------------------- */

/* x as the kernel sees it: N tokens of n_heads heads of two halves, in `parts` vectors each. */
struct rope_call {
    bf16 *x;
    int64_t token_stride, head_stride, n_heads, half, parts;
    const int32_t *positions;
    const float *table;
    int64_t table_stride, n_positions;
    float sign;
    bool wide;
};

/* The vectors of one head that begin at element `begin` of its halves. */
struct head_pairs {
    packed8 first, second;
};

/* (a, b) becomes (a·cos − b·sin, b·cos + a·sin), where sign turns the sine around. */
QN_DEVICE void rotate(vector8 &first, vector8 &second, const vector8 &cosine, const vector8 &sine,
                      float sign) {
#pragma unroll
    for (int i = 0; i < VECTOR; i++) {
        const float a = first.x[i], b = second.x[i], s = sign * sine.x[i];
        first.x[i] = a * cosine.x[i] - b * s;
        second.x[i] = b * cosine.x[i] + a * s;
    }
}

/* Rotates heads group, group + n_groups, …, HEADS of them: all are read before the first is
 * written, so that HEADS·32 bytes a thread are under way. */
QN_DEVICE void rotate_heads(const rope_call &c, int64_t token, int64_t position, int64_t group,
                            int64_t n_groups, int64_t begin) {
    const float *angles = c.table + position * c.table_stride;
    bf16 *heads = c.x + token * c.token_stride;
    head_pairs x[HEADS];
#pragma unroll
    for (int k = 0; k < HEADS; k++) {
        const int64_t head = group + k * n_groups;
        if (head >= c.n_heads) break;
        const bf16 *at = heads + head * c.head_stride;
        x[k].first = load_packed(at, begin, c.half, c.wide);
        x[k].second = load_packed(at + c.half, begin, c.half, c.wide);
    }
    const vector8 cosine = load_part(angles, begin, c.half, c.wide);
    const vector8 sine = load_part(angles + c.half, begin, c.half, c.wide);
#pragma unroll
    for (int k = 0; k < HEADS; k++) {
        const int64_t head = group + k * n_groups;
        if (head >= c.n_heads) break;
        vector8 first = unpack8(x[k].first), second = unpack8(x[k].second);
        rotate(first, second, cosine, sine, c.sign);
        bf16 *at = heads + head * c.head_stride;
        store_part(at, begin, c.half, c.wide, first);
        store_part(at + c.half, begin, c.half, c.wide, second);
    }
}

/* A thread takes eight pairs of up to HEADS heads of one token, with the sixteen values of the
 * table that they share in registers; neighbours take neighbouring pairs, then heads, then tokens.
 * Nothing in shared memory. Bytes an element: 2 in, 2 out; the table, read once a HEADS heads,
 * comes from the caches. 3 operations an element. */
__global__ void __launch_bounds__(THREADS)
    rope_kernel(const __grid_constant__ rope_call c, int64_t n_groups, int64_t n_items) {
    for (int64_t item = (int64_t)blockIdx.x * THREADS + threadIdx.x; item < n_items;
         item += (int64_t)gridDim.x * THREADS) {
        const int64_t begin = item % c.parts * VECTOR, group = item / c.parts % n_groups;
        const int64_t token = item / c.parts / n_groups, position = c.positions[token];
        if (position >= 0 && position < c.n_positions)
            rotate_heads(c, token, position, group, n_groups, begin);
    }
}

int qn_cuda_launch_rope(const qn_rope_args *args, bool wide, const qn_cuda_queue *queue) {
    const int64_t n_heads = args->x.shape[1], half = args->x.shape[2] / 2;
    const rope_call call = {(bf16 *)args->x.data,
                            args->x.stride[0],
                            args->x.stride[1],
                            n_heads,
                            half,
                            (half + VECTOR - 1) / VECTOR,
                            (const int32_t *)args->positions.data,
                            (const float *)args->table.data,
                            args->table.stride[0],
                            args->table.shape[0],
                            args->inverse ? -1.0f : 1.0f,
                            wide};
    const int64_t n_groups = (n_heads + HEADS - 1) / HEADS;
    const int64_t n_items = args->x.shape[0] * n_groups * call.parts;
    QN_LAUNCH(rope_kernel, dim3(qn_cuda_blocks(queue, n_items, THREADS, RESIDENT)), dim3(THREADS),
              0, queue->stream, call, n_groups, n_items);
    return QN_LAUNCH_ERROR();
}

/* ---- the table --------------------------------------------------------------------- */

/* One thread an angle, in double precision: theta^(−2i/D) to 2 ulp and its product with p to a
 * half, so that an angle p errs by less than p·2^−51, 5·10^−10 for p = 10^6; a hundredth of what
 * rounding a cosine to fp32 does. Made once; 8 bytes an angle. */
__global__ void __launch_bounds__(THREADS)
    rope_table_kernel(const __grid_constant__ qn_tensor table, double theta) {
    const int64_t half = table.shape[1] / 2, n = table.shape[0] * half;
    for (int64_t item = (int64_t)blockIdx.x * THREADS + threadIdx.x; item < n;
         item += (int64_t)gridDim.x * THREADS) {
        const int64_t position = item / half, i = item % half;
        const double angle = (double)position * pow(theta, -2.0 * (double)i / (double)(2 * half));
        float *row = (float *)table.data + position * table.stride[0];
        row[i] = (float)cos(angle);
        row[half + i] = (float)sin(angle);
    }
}

int qn_cuda_launch_rope_table(const qn_tensor *table, double theta, const qn_cuda_queue *queue) {
    const int64_t n = table->shape[0] * (table->shape[1] / 2);
    QN_LAUNCH(rope_table_kernel, dim3(qn_cuda_blocks(queue, n, THREADS, RESIDENT)), dim3(THREADS),
              0, queue->stream, *table, theta);
    return QN_LAUNCH_ERROR();
}
