#include "simt/matrix.h"

#include <cstring>

#include "simt/collective.h"
#include "simt/race.h"
#include "simt/shared_window.h"

namespace simt {

static constexpr uint32_t kWarp = 0xffffffffu;

// ---- ldmatrix --------------------------------------------------------------------------

struct LdmatrixLane {
    uint32_t *registers;
    int n;
    bool transposed;
    const uint8_t *row;
};

static void load_matrices(const Lanes &lanes) {
    const LdmatrixLane &first = *(const LdmatrixLane *)lanes.arguments[0];
    uint16_t matrix[4][8][8];
    for (int row = 0; row < 8 * first.n; row++)
        memcpy(matrix[row / 8][row % 8], ((const LdmatrixLane *)lanes.arguments[(size_t)row])->row,
               16);
    for (int l = 0; l < kWarpSize; l++) {
        uint32_t *registers = ((LdmatrixLane *)lanes.arguments[(size_t)l])->registers;
        int row = l / 4, column = 2 * (l % 4);
        for (int m = 0; m < first.n; m++) {
            uint16_t low = first.transposed ? matrix[m][column][row] : matrix[m][row][column];
            uint16_t high =
                first.transposed ? matrix[m][column + 1][row] : matrix[m][row][column + 1];
            registers[m] = low | (uint32_t)high << 16;
        }
    }
}

void ldmatrix(uint32_t *registers, int n, bool transposed, uint32_t address, Where where) {
    Thread &thread = self();
    LdmatrixLane lane = {registers, n, transposed, nullptr};
    if (thread.lane < 8 * n) { // the addresses of other lanes are not used
        lane.row = shared_bytes(*thread.block, address, 16, 16, "ldmatrix", where);
        check_access(thread, lane.row, 16, Access::kRead, where);
    }
    const char *name = transposed ? (n == 4 ? "ldmatrix.x4.trans" : "ldmatrix.x2.trans")
                                  : (n == 4 ? "ldmatrix.x4" : "ldmatrix.x2");
    collective(kWarp, name, load_matrices, &lane, where);
}

// ---- mma ---------------------------------------------------------------------------------

struct MmaLane {
    float *d;
    const uint32_t *a, *b;
};

static float bf16_bits(uint32_t bits) {
    bits <<= 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// The elements of a row-major matrix that lane l holds in a register: two neighbours.
static void unpack(float *at, size_t next, uint32_t pair) {
    at[0] = bf16_bits(pair & 0xffff);
    at[next] = bf16_bits(pair >> 16);
}

static void multiply(const Lanes &lanes) {
    float a[16][16], b[16][8], d[16][8];
    for (int l = 0; l < kWarpSize; l++) {
        const MmaLane &lane = *(const MmaLane *)lanes.arguments[(size_t)l];
        int g = l / 4, t = l % 4;
        for (int i = 0; i < 4; i++) {
            unpack(&a[g + 8 * (i % 2)][2 * t + 8 * (i / 2)], 1, lane.a[i]);
            d[g + 8 * (i / 2)][2 * t + i % 2] = lane.d[i];
        }
        for (int i = 0; i < 2; i++) unpack(&b[2 * t + 8 * i][g], 8, lane.b[i]);
    }
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 16; k++)
            for (int j = 0; j < 8; j++) d[i][j] += a[i][k] * b[k][j];
    for (int l = 0; l < kWarpSize; l++) {
        float *result = ((const MmaLane *)lanes.arguments[(size_t)l])->d;
        for (int i = 0; i < 4; i++) result[i] = d[l / 4 + 8 * (i / 2)][2 * (l % 4) + i % 2];
    }
}

void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Where where) {
    MmaLane lane = {d, a, b};
    collective(kWarp, "mma.m16n8k16", multiply, &lane, where);
}

} // namespace simt
