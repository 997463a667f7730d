// wgmma_descriptor.h: where the elements of an operand of wgmma lie in shared memory (PTX ISA
// 9.7.15.5.1, matrix descriptor and canonical layouts). For the layer's own files.
#ifndef QUERN_TESTS_SIMT_WGMMA_DESCRIPTOR_H
#define QUERN_TESTS_SIMT_WGMMA_DESCRIPTOR_H

#include <cstdint>

#include "simt/where.h"

namespace simt {

struct WgmmaDescriptor {
    uint32_t start, leading, stride; // bytes
    uint32_t span;                   // of the swizzle, in bytes; 0: none
    bool mn_major;                   // or K-major
};

// Reported: reserved bits; a base offset other than 0, or a start that would need one.
WgmmaDescriptor wgmma_descriptor_of(uint64_t bits, bool mn_major, Where where);

// The address of eight elements that lie side by side: along k in a K-major operand (k a
// multiple of 8), else along its rows or columns (mn a multiple of 8).
uint32_t address_of_eight(const WgmmaDescriptor &descriptor, uint32_t mn, uint32_t k);

} // namespace simt

#endif
