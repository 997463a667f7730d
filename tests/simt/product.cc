#include "simt/product.h"

#include <cstring>

#include "simt/shared_window.h"

namespace simt {

static constexpr uint32_t kK = 16;

// ---- operands -----------------------------------------------------------------------------------

Eights eights_of(const Block &block, const WgmmaDescriptor &d, uint32_t first, uint32_t n,
                 Where where) {
    Eights eights;
    uint32_t mn_step = d.mn_major ? 8 : 1, k_step = d.mn_major ? 1 : 8;
    for (uint32_t mn = first; mn < first + n; mn += mn_step)
        for (uint32_t k = 0; k < kK; k += k_step)
            eights.push_back(
                shared_bytes(block, address_of_eight(d, mn, k), 16, 16, "wgmma", where));
    return eights;
}

static float of_bf16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

// to[k][mn], rows of `n`.
static void load_operand(const Eights &eights, bool mn_major, uint32_t n, float *to) {
    uint32_t mn_step = mn_major ? 8 : 1, k_step = mn_major ? 1 : 8, next = mn_major ? 1 : n;
    const uint8_t *const *at = eights.data();
    for (uint32_t mn = 0; mn < n; mn += mn_step)
        for (uint32_t k = 0; k < kK; k += k_step) {
            uint16_t elements[8];
            memcpy(elements, *at++, sizeof elements);
            for (uint32_t i = 0; i < 8; i++) to[k * n + mn + i * next] = of_bf16(elements[i]);
        }
}

// The fragment of mma.m16n8k16.
static void load_fragment(const std::array<std::array<uint32_t, 4>, kWarpSize> &registers,
                          float *to) {
    for (uint32_t l = 0; l < kWarpSize; l++)
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t row = l / 4 + 8 * (i % 2), k = 2 * (l % 4) + 8 * (i / 2);
            to[k * 16 + row] = of_bf16((uint16_t)registers[l][i]);
            to[(k + 1) * 16 + row] = of_bf16((uint16_t)(registers[l][i] >> 16));
        }
}

// ---- product
// --------------------------------------------------------------------------------------

void WarpProduct::complete() {
    if (before) machine->async.demand(before);
    before = nullptr;
    uint32_t n = (uint32_t)accumulator->n;
    float a_values[kK * 16], b_values[kK * 256];
    if (a_in_registers)
        load_fragment(a_registers, a_values);
    else
        load_operand(a, a_mn_major, 16, a_values);
    load_operand(b, b_mn_major, n, b_values);
    float *d = accumulator->values.data();
    if (!accumulate) memset(d, 0, 16 * n * sizeof *d);
    for (uint32_t i = 0; i < 16; i++)
        for (uint32_t k = 0; k < kK; k++)
            for (uint32_t j = 0; j < n; j++)
                d[i * n + j] += a_values[k * 16 + i] * b_values[k * n + j];
}

// ---- registers
// -------------------------------------------------------------------------------------

// Calls f(value, register) for each.
template <typename F> static void for_each_register(const Accumulator &accumulator, F f) {
    for (int l = 0; l < kWarpSize; l++)
        for (int i = 0; i < accumulator.n / 2; i++) {
            int row = l / 4 + 8 * (i / 2 % 2), column = 8 * (i / 4) + 2 * (l % 4) + i % 2;
            f((size_t)(row * accumulator.n + column), accumulator.registers[(size_t)l][i]);
        }
}

void read_registers(Accumulator &accumulator) {
    accumulator.values.resize((size_t)(16 * accumulator.n));
    for_each_register(accumulator, [&](size_t i, float &d) { accumulator.values[i] = d; });
}

void write_registers(const Accumulator &accumulator) {
    for_each_register(accumulator, [&](size_t i, float &d) { d = accumulator.values[i]; });
}

} // namespace simt
