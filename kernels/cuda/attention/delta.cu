/* delta.cu: what every backward pass begins with. */
#include "launch.h"
#include "tile.h"

enum { DELTA_THREADS = 256, DELTA_ROWS = 64 };

/* The product of two times 8 elements. */
QN_DEVICE float dot_chunks(uint4 x, uint4 y) {
    const uint32_t a[4] = {x.x, x.y, x.z, x.w}, b[4] = {y.x, y.y, y.z, y.w};
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        sum = fmaf(bf16_low(a[i]), bf16_low(b[i]), sum);
        sum = fmaf(bf16_high(a[i]), bf16_high(b[i]), sum);
    }
    return sum;
}

/* delta = rowsum(dout ∘ o), and zeros in dq_sum and in the semaphores where these are given.
 *
 * One block: DELTA_ROWS rows of one head, 256 threads; LANES of them take a row, 16 bytes each,
 * whose products meet by shuffles. Nothing in shared memory. Rows past the last one and elements
 * past head_dim are not read. dq_head floats of dq_sum belong to a head; the blocks of a head share
 * them, as the blocks of the grid share the semaphores.
 *
 * Bytes: 4·D a row read, 4 written, and 4·D of dq_sum; 2·D operations. */
template <int LANES>
__global__ void __launch_bounds__(DELTA_THREADS)
    attention_delta(const __grid_constant__ qn_attn_params p, uint32_t row_blocks, int64_t dq_head,
                    int64_t n_semaphores) {
    const int64_t head = blockIdx.x / row_blocks;
    const uint32_t part = blockIdx.x % row_blocks;
    const row_view o = rows_of(p.o, head / p.n_heads, head % p.n_heads),
                   dout = rows_of(p.dout, head / p.n_heads, head % p.n_heads);
    const int chunk = threadIdx.x % LANES;
#pragma unroll
    for (int r = 0; r < DELTA_ROWS; r += DELTA_THREADS / LANES) {
        const int64_t row = (int64_t)part * DELTA_ROWS + r + threadIdx.x / LANES;
        float sum = 0;
        if (row < p.n_queries && chunk * 8 < p.head_dim)
            sum = dot_chunks(*(const uint4 *)(o.data + row * o.stride + chunk * 8),
                             *(const uint4 *)(dout.data + row * dout.stride + chunk * 8));
#pragma unroll
        for (int away = LANES / 2; away > 0; away /= 2)
            sum += __shfl_xor_sync(0xffffffffu, sum, away);
        if (row < p.n_queries && chunk == 0) p.delta[head * p.n_queries + row] = sum;
    }
    const int64_t chunks = dq_head / 4, share = (chunks + row_blocks - 1) / row_blocks;
    const int64_t end = (part + 1) * share < chunks ? (part + 1) * share : chunks;
    float4 *const dq_sum = (float4 *)(p.dq_sum + head * dq_head);
    for (int64_t i = part * share + threadIdx.x; i < end; i += DELTA_THREADS)
        dq_sum[i] = make_float4(0, 0, 0, 0);
    for (int64_t i = (int64_t)blockIdx.x * DELTA_THREADS + threadIdx.x; i < n_semaphores;
         i += (int64_t)gridDim.x * DELTA_THREADS)
        p.semaphores[i] = 0;
}

template <int LANES>
static int launch(const qn_attn_params &p, int64_t dq_head, int64_t n_semaphores,
                  const qn_cuda_queue *queue) {
    const uint32_t row_blocks = (uint32_t)(((int64_t)p.n_queries + DELTA_ROWS - 1) / DELTA_ROWS);
    const uint32_t n_blocks = row_blocks * (uint32_t)p.batch * (uint32_t)p.n_heads;
    QN_LAUNCH((attention_delta<LANES>), dim3(n_blocks), dim3(DELTA_THREADS), 0, queue->stream, p,
              row_blocks, dq_head, n_semaphores);
    return QN_LAUNCH_ERROR();
}

int qn_attn_delta(const qn_attn_params *p, int64_t dq_head, int64_t n_semaphores,
                  const qn_cuda_queue *queue) {
    if (p->head_dim <= 64) return launch<8>(*p, dq_head, n_semaphores, queue);
    if (p->head_dim <= 128) return launch<16>(*p, dq_head, n_semaphores, queue);
    return launch<32>(*p, dq_head, n_semaphores, queue);
}
