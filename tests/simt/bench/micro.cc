// What the layer's own operations cost: run it by hand, in the optimised build.
#include <cstdio>
#include <ctime>

#include "cuda/prim/prim.h"

static constexpr int kRepeats = 5000;

__global__ void empty() {}

__global__ void barriers() {
    for (int i = 0; i < kRepeats; i++) __syncthreads();
}

__global__ void warp_barriers() {
    for (int i = 0; i < kRepeats; i++) __syncwarp();
}

__global__ void shuffles(int *out) {
    int x = (int)threadIdx.x;
    for (int i = 0; i < kRepeats; i++) x += __shfl_xor_sync(~0u, x, 1);
    out[threadIdx.x] = x;
}

__global__ void products(int *out) {
    float d[4] = {};
    uint32_t a[4] = {1, 2, 3, 4}, b[2] = {5, 6};
    for (int i = 0; i < kRepeats; i++) mma_m16n8k16(d, a, b);
    out[threadIdx.x] = (int)d[0];
}

__global__ void loads(int *out) {
    uint32_t r[4], address = shared_address(dynamic_shared());
    for (int i = 0; i < kRepeats; i++) ldmatrix_x4(r, address + 16 * (threadIdx.x % 32));
    out[threadIdx.x] = (int)r[0];
}

// Of the processor, whatever else the machine does.
template <typename Launch> static double seconds(Launch launch) {
    clock_t begin = clock();
    launch();
    return (double)(clock() - begin) / CLOCKS_PER_SEC;
}

int main() {
    static int out[1024];
    for (int n : {32, 128, 256, 1024}) {
        QN_LAUNCH(empty, 1, n, 0, 0);
        double start = seconds([&] { QN_LAUNCH(empty, 1, n, 0, 0); });
        double per_thread = 1e9 / kRepeats / n, per_warp = 1e6 / kRepeats / (n / 32);
        printf("%4d threads: launch %5.0f us; __syncthreads %4.1f ns a thread; a warp: "
               "__syncwarp %.2f us, shuffle %.2f us, mma %.2f us, ldmatrix %.2f us\n",
               n, start * 1e6, seconds([&] { QN_LAUNCH(barriers, 1, n, 0, 0); }) * per_thread,
               seconds([&] { QN_LAUNCH(warp_barriers, 1, n, 0, 0); }) * per_warp,
               seconds([&] { QN_LAUNCH(shuffles, 1, n, 0, 0, out); }) * per_warp,
               seconds([&] { QN_LAUNCH(products, 1, n, 0, 0, out); }) * per_warp,
               seconds([&] { QN_LAUNCH(loads, 1, n, 512, 0, out); }) * per_warp);
    }
}
