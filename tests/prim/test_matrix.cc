// ldmatrix and mma.sync against the fragment layouts of the PTX ISA (9.7.14, "Matrix
// fragments for mma.m16n8k16" and "Warp-level matrix load instruction: ldmatrix").
#include "prim/device.h"

#include <cmath>

namespace {

// ---- ldmatrix --------------------------------------------------------------------------

// A tile of 64 rows by 64 elements; row r has its 16-byte chunk c at chunk c ^ (r % 8).
constexpr int kRows = 64, kColumns = 64;

__device__ uint32_t swizzled(int row, int chunk) {
    return (uint32_t)(row * kColumns * 2 + ((chunk ^ (row % 8)) * 16));
}

// rows and chunks: for each lane, the row of a matrix that it addresses.
template <int n, bool transposed>
__global__ void load(const uint16_t *tile, const int *rows, const int *chunks, uint32_t *out) {
    uint8_t *shared = dynamic_shared();
    int lane = (int)threadIdx.x;
    for (int i = lane; i < kRows * kColumns; i += 32) {
        int row = i / kColumns, column = i % kColumns;
        *(uint16_t *)(shared + swizzled(row, column / 8) + column % 8 * 2) = tile[i];
    }
    __syncwarp();
    uint32_t address = shared_address(shared) + swizzled(rows[lane], chunks[lane]);
    uint32_t r[n];
    if (n == 4 && !transposed) ldmatrix_x4(*(uint32_t(*)[4])r, address);
    if (n == 4 && transposed) ldmatrix_x4_trans(*(uint32_t(*)[4])r, address);
    if (n == 2 && !transposed) ldmatrix_x2(*(uint32_t(*)[2])r, address);
    if (n == 2 && transposed) ldmatrix_x2_trans(*(uint32_t(*)[2])r, address);
    for (int m = 0; m < n; m++) out[lane * n + m] = r[m];
}

// Each row of each matrix lies anywhere in the tile.
template <int n, bool transposed> void check_load() {
    std::mt19937 random(7);
    std::vector<uint16_t> tile(kRows * kColumns);
    for (size_t i = 0; i < tile.size(); i++) tile[i] = (uint16_t)(i * 2654435761u >> 7);
    std::vector<int> rows(32), chunks(32);
    for (int lane = 0; lane < 32; lane++) {
        rows[lane] = (int)(random() % kRows);
        chunks[lane] = (int)(random() % (kColumns / 8));
    }
    prim::Array<uint16_t> device_tile(tile);
    prim::Array<int> device_rows(rows), device_chunks(chunks);
    prim::Array<uint32_t> out(32 * n);
    QN_LAUNCH((load<n, transposed>), 1, 32, kRows * kColumns * 2, 0, device_tile.get(),
              device_rows.get(), device_chunks.get(), out.get());
    ASSERT_TRUE(prim::finished());
    std::vector<uint32_t> result = out.values();
    // Element (i, j) of matrix m, whose row i is the one that lane 8m+i addressed.
    auto element = [&](int m, int i, int j) {
        return tile[rows[8 * m + i] * kColumns + chunks[8 * m + i] * 8 + j];
    };
    for (int lane = 0; lane < 32; lane++) {
        for (int m = 0; m < n; m++) {
            for (int half = 0; half < 2; half++) {
                int i = lane / 4, j = lane % 4 * 2 + half;
                uint16_t expected = transposed ? element(m, j, i) : element(m, i, j);
                ASSERT_EQ((uint16_t)(result[lane * n + m] >> (16 * half)), expected)
                    << "lane " << lane << " matrix " << m << " half " << half;
            }
        }
    }
}

TEST(Ldmatrix, X4) {
    prim::for_each_schedule([] { check_load<4, false>(); });
}
TEST(Ldmatrix, X4Transposed) {
    prim::for_each_schedule([] { check_load<4, true>(); });
}
TEST(Ldmatrix, X2) {
    prim::for_each_schedule([] { check_load<2, false>(); });
}
TEST(Ldmatrix, X2Transposed) {
    prim::for_each_schedule([] { check_load<2, true>(); });
}

// ---- mma ---------------------------------------------------------------------------------

// Registers are handed over as they are: which element each holds is the test's business.
__global__ void multiply(const uint32_t *a, const uint32_t *b, const float *c, float *d) {
    int lane = (int)threadIdx.x;
    uint32_t a_registers[4], b_registers[2];
    float sum[4];
    for (int i = 0; i < 4; i++) a_registers[i] = a[lane * 4 + i];
    for (int i = 0; i < 2; i++) b_registers[i] = b[lane * 2 + i];
    for (int i = 0; i < 4; i++) sum[i] = c[lane * 4 + i];
    mma_m16n8k16(sum, a_registers, b_registers);
    for (int i = 0; i < 4; i++) d[lane * 4 + i] = sum[i];
}

// The formulas of the PTX ISA for .bf16, i the number of the element in the fragment:
// A: row = groupID for i in 0,1,4,5, else groupID + 8; column = threadID·2 + (i & 1), + 8 from 4
int row_of_a(int lane, int i) {
    return (i == 0 || i == 1 || i == 4 || i == 5) ? lane / 4 : lane / 4 + 8;
}
int column_of_a(int lane, int i) { return lane % 4 * 2 + (i & 1) + (i < 4 ? 0 : 8); }
// B: row = threadID·2 + (i & 1), + 8 from 2; column = groupID
int row_of_b(int lane, int i) { return lane % 4 * 2 + (i & 1) + (i < 2 ? 0 : 8); }
int column_of_b(int lane, int) { return lane / 4; }
// C and D: row = groupID, + 8 from 2; column = threadID·2 + (i & 1)
int row_of_d(int lane, int i) { return i < 2 ? lane / 4 : lane / 4 + 8; }
int column_of_d(int lane, int i) { return lane % 4 * 2 + (i & 1); }

void check_multiply(uint32_t seed) {
    std::vector<uint16_t> a = prim::random_bf16(16 * 16, seed),
                          b = prim::random_bf16(16 * 8, seed + 1);
    std::vector<uint16_t> c = prim::random_bf16(16 * 8, seed + 2);
    std::vector<uint32_t> a_registers(32 * 4), b_registers(32 * 2);
    std::vector<float> c_registers(32 * 4);
    for (int lane = 0; lane < 32; lane++) {
        for (int i = 0; i < 8; i++)
            a_registers[lane * 4 + i / 2] |=
                (uint32_t)a[row_of_a(lane, i) * 16 + column_of_a(lane, i)] << (16 * (i % 2));
        for (int i = 0; i < 4; i++) {
            b_registers[lane * 2 + i / 2] |=
                (uint32_t)b[row_of_b(lane, i) * 8 + column_of_b(lane, i)] << (16 * (i % 2));
            c_registers[lane * 4 + i] =
                prim::float_of_bf16(c[row_of_d(lane, i) * 8 + column_of_d(lane, i)]);
        }
    }
    prim::Array<uint32_t> device_a(a_registers), device_b(b_registers);
    prim::Array<float> device_c(c_registers), device_d(32 * 4);
    QN_LAUNCH(multiply, 1, 32, 0, 0, device_a.get(), device_b.get(), device_c.get(),
              device_d.get());
    ASSERT_TRUE(prim::finished());
    std::vector<float> d = device_d.values();
    for (int lane = 0; lane < 32; lane++) {
        for (int i = 0; i < 4; i++) {
            int row = row_of_d(lane, i), column = column_of_d(lane, i);
            double exact = prim::float_of_bf16(c[row * 8 + column]), size = fabs(exact);
            for (int k = 0; k < 16; k++) {
                double product = (double)prim::float_of_bf16(a[row * 16 + k]) *
                                 prim::float_of_bf16(b[k * 8 + column]);
                exact += product;
                size += fabs(product);
            }
            // Products are exact. The 16 additions, in an order that is not defined, may each
            // truncate at the last place of the largest term (fp32 with 24 bits).
            ASSERT_NEAR(d[lane * 4 + i], exact, size * 17 * 0x1p-23)
                << "lane " << lane << " element " << i;
        }
    }
}

TEST(Mma, M16N8K16) {
    prim::for_each_schedule([] {
        for (uint32_t seed = 1; seed <= 4; seed++) check_multiply(10 * seed);
    });
}

} // namespace
