// matrix.h: ldmatrix and mma.sync, by the fragment layouts of the PTX ISA.
#ifndef QUERN_TESTS_SIMT_MATRIX_H
#define QUERN_TESTS_SIMT_MATRIX_H

#include <cstdint>

#include "simt/where.h"

namespace simt {

// n matrices (2 or 4) of 8×8 16-bit elements; lane 8m+i gives the address of row i of matrix m.
void ldmatrix(uint32_t *registers, int n, bool transposed, uint32_t address, Where where);

// d (16×8 fp32) += a (16×16 bf16) · b (16×8 bf16).
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Where where);

} // namespace simt

#endif
