/* sort.cu: a stable radix sort by counting, the lowest digit first. A pass is two launches: each
 * block counts the digits of its range of keys; then each block finds from all counts where its
 * keys of each digit begin, and puts them there in their order. Nothing depends on the order in
 * which blocks or threads run. Bound by latency rather than bytes: 8 a key and pass read twice, 8
 * written. */
#include "sort.h"

#include "prim/prim.h"

enum {
    DIGITS = QN_SORT_DIGITS,
    THREADS = DIGITS, /* a thread for each digit */
    WARPS = THREADS / 32,
    ITEMS = 2, /* keys of a thread at a time */
    CHUNK = THREADS * ITEMS
};

struct sort_pass {
    const uint32_t *keys;
    const int32_t *places; /* NULL: each key stands where it always did */
    uint32_t *keys_out;
    int32_t *places_out, *counts;
    int64_t n, per_range;
    uint32_t limit;
    int shift, n_ranges;
};

/* A negative index is a large one too. */
QN_DEVICE uint32_t key_of(const sort_pass &p, int64_t i) {
    return p.keys[i] < p.limit ? p.keys[i] : p.limit;
}

QN_DEVICE int digit_of(const sort_pass &p, uint32_t key) { return key >> p.shift & (DIGITS - 1); }

QN_DEVICE int64_t end_of_range(const sort_pass &p) {
    const int64_t end = (blockIdx.x + 1) * p.per_range;
    return end < p.n ? end : p.n;
}

/* One block a range; its counts lie in shared memory. */
__global__ void __launch_bounds__(THREADS) sort_count(const __grid_constant__ sort_pass p) {
    QN_SHARED(int32_t, count, [DIGITS]);
    const int64_t end = end_of_range(p);
    count[threadIdx.x] = 0;
    __syncthreads(); /* every count is 0 */
    for (int64_t i = blockIdx.x * p.per_range + threadIdx.x; i < end; i += THREADS)
        atomicAdd(&count[digit_of(p, key_of(p, i))], 1);
    __syncthreads(); /* every key is counted */
    p.counts[blockIdx.x * DIGITS + threadIdx.x] = count[threadIdx.x];
}

/* Where keys whose digit is the thread's number go from this range: after all of smaller digits,
 * and after those of this digit in the ranges before. Whole block. */
QN_DEVICE int32_t first_place(const sort_pass &p, int32_t (&warp_totals)[WARPS]) {
    int32_t before = 0, total = 0;
#pragma unroll 4
    for (int range = 0; range < p.n_ranges; range++) {
        const int32_t count = p.counts[range * DIGITS + threadIdx.x];
        before += range < (int)blockIdx.x ? count : 0;
        total += count;
    }
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int32_t sum = total;
#pragma unroll
    for (int away = 1; away < 32; away *= 2) {
        const int32_t other = __shfl_up_sync(0xffffffffu, sum, away);
        sum += lane >= away ? other : 0;
    }
    if (lane == 31) warp_totals[warp] = sum;
    __syncthreads(); /* the totals of all warps are there */
    for (int w = 0; w < warp; w++) sum += warp_totals[w];
    return sum - total + before;
}

/* The lanes whose digit is this lane's, of those that have a key. Whole warp. */
QN_DEVICE uint32_t lanes_alike(int digit, bool has_key) {
    uint32_t alike = __ballot_sync(0xffffffffu, has_key);
#pragma unroll
    for (int bit = 0; bit < QN_SORT_DIGIT_BITS; bit++) {
        const bool set = digit >> bit & 1;
        const uint32_t lanes = __ballot_sync(0xffffffffu, set);
        alike &= set ? lanes : ~lanes;
    }
    return alike;
}

/* How many keys of this digit the warp had before; counts this one. Whole warp. */
QN_DEVICE int32_t rank_in_warp(int32_t *warp_count, int digit, bool has_key) {
    const uint32_t alike = lanes_alike(digit, has_key);
    const uint32_t below = alike & ((1u << threadIdx.x % 32) - 1);
    const int32_t before = warp_count[digit];
    __syncwarp(); /* all have read */
    if (has_key && below == 0) warp_count[digit] = before + __popc(alike);
    __syncwarp(); /* the next keys see the count */
    return before + __popc(below);
}

/* One block a range, a chunk at a time; a warp takes 64 keys that follow each other. Shared: for
 * each warp and digit first a count, then the place of the next key: 32 KB. */
__global__ void __launch_bounds__(THREADS) sort_scatter(const __grid_constant__ sort_pass p) {
    QN_SHARED(int32_t, slot, [WARPS][DIGITS]);
    QN_SHARED(int32_t, warp_totals, [WARPS]);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64_t end = end_of_range(p);
    int32_t next = first_place(p, warp_totals);

    for (int64_t chunk = blockIdx.x * p.per_range; chunk < end; chunk += CHUNK) {
        const int64_t first = chunk + warp * (32 * ITEMS) + lane;
        uint32_t key[ITEMS];
        int32_t rank[ITEMS];
        for (int digit = lane; digit < DIGITS; digit += 32) slot[warp][digit] = 0;
        __syncwarp(); /* the warp's counts are 0 */
#pragma unroll
        for (int item = 0; item < ITEMS; item++) {
            const int64_t i = first + item * 32;
            key[item] = i < end ? key_of(p, i) : 0;
            rank[item] = rank_in_warp(slot[warp], digit_of(p, key[item]), i < end);
        }
        __syncthreads(); /* the counts of all warps are there */
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            const int32_t count = slot[w][threadIdx.x];
            slot[w][threadIdx.x] = next;
            next += count;
        }
        __syncthreads(); /* the places are there; from here a warp touches its own row alone */
#pragma unroll
        for (int item = 0; item < ITEMS; item++) {
            const int64_t i = first + item * 32;
            if (i >= end) continue;
            const int32_t to = slot[warp][digit_of(p, key[item])] + rank[item];
            p.keys_out[to] = key[item];
            p.places_out[to] = p.places ? p.places[i] : (int32_t)i;
        }
        __syncwarp(); /* the warp's row is free for the next chunk */
    }
}

static int n_passes(uint32_t limit) {
    int passes = 1;
    while (passes * QN_SORT_DIGIT_BITS < 32 && limit >> passes * QN_SORT_DIGIT_BITS) passes++;
    return passes;
}

/* The passes alternate between the two buffers so that the last one ends in the first. */
int qn_cuda_launch_sort(const qn_cuda_sort *s, const qn_cuda_queue *queue) {
    const int64_t n_chunks = (s->n + CHUNK - 1) / CHUNK;
    const int64_t chunks_each = (n_chunks + QN_SORT_RANGES - 1) / QN_SORT_RANGES;
    const int passes = n_passes(s->limit);
    sort_pass p = {};
    p.keys = (const uint32_t *)s->indices;
    p.counts = s->counts;
    p.n = s->n;
    p.limit = s->limit;
    p.per_range = chunks_each * CHUNK;
    p.n_ranges = (int)((s->n + p.per_range - 1) / p.per_range);
    for (int pass = 0; pass < passes; pass++) {
        const bool to_first = (passes - pass) % 2;
        p.shift = pass * QN_SORT_DIGIT_BITS;
        p.keys_out = to_first ? s->keys : s->keys_2;
        p.places_out = to_first ? s->places : s->places_2;
        const dim3 blocks((uint32_t)p.n_ranges);
        QN_LAUNCH(sort_count, blocks, dim3(THREADS), 0, queue->stream, p);
        QN_LAUNCH(sort_scatter, blocks, dim3(THREADS), 0, queue->stream, p);
        p.keys = p.keys_out;
        p.places = p.places_out;
    }
    return QN_LAUNCH_ERROR();
}
