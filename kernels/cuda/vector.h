/* vector.h: eight elements of a row at a time, as fp32 in registers: one access of 16 bytes for
 * bf16, two for fp32. Device code. */
#ifndef QUERN_CUDA_VECTOR_H
#define QUERN_CUDA_VECTOR_H

#include "prim/prim.h"

enum { VECTOR = 8 };

struct vector8 {
    float x[VECTOR];
};

QN_DEVICE vector8 add8(const vector8 &a, const vector8 &b) {
    vector8 sum;
#pragma unroll
    for (int i = 0; i < VECTOR; i++) sum.x[i] = a.x[i] + b.x[i];
    return sum;
}

QN_DEVICE float widen(float x) { return x; }
QN_DEVICE float widen(bf16 x) { return from_bf16(x); }

QN_DEVICE void round_to(float *dst, float x) { *dst = x; }
QN_DEVICE void round_to(bf16 *dst, float x) { *dst = to_bf16(x); }

/* ---- bf16 as it is stored --------------------------------------------------- */

/* Eight in four registers: a row that waits for a sum takes half the room. */
struct packed8 {
    uint4 pairs;
};

QN_DEVICE packed8 pack8(const vector8 &v) {
    return {make_uint4(pack_bf16(v.x[0], v.x[1]), pack_bf16(v.x[2], v.x[3]),
                       pack_bf16(v.x[4], v.x[5]), pack_bf16(v.x[6], v.x[7]))};
}

QN_DEVICE vector8 unpack8(const packed8 &v) {
    const uint4 a = v.pairs;
    return {{bf16_low(a.x), bf16_high(a.x), bf16_low(a.y), bf16_high(a.y), bf16_low(a.z),
             bf16_high(a.z), bf16_low(a.w), bf16_high(a.w)}};
}

/* ---- aligned to 16 bytes --------------------------------------------------- */

QN_DEVICE vector8 load8(const float *p) {
    const float4 a = *(const float4 *)p, b = *(const float4 *)(p + 4);
    return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}

QN_DEVICE vector8 load8(const bf16 *p) { return unpack8({*(const uint4 *)p}); }

QN_DEVICE void store8(float *p, const vector8 &v) {
    *(float4 *)p = make_float4(v.x[0], v.x[1], v.x[2], v.x[3]);
    *(float4 *)(p + 4) = make_float4(v.x[4], v.x[5], v.x[6], v.x[7]);
}

QN_DEVICE void store8(bf16 *p, const vector8 &v) { *(uint4 *)p = pack8(v).pairs; }

/* ---- part of any row ---------------------------------------------------------- */

/* Elements [begin, begin + 8) of a row of n. `wide` says that the row is aligned to 16 bytes and n
 * a multiple of 8. Elements from n on are 0, and neither read nor written. */
template <typename T>
QN_DEVICE vector8 load_part(const T *row, int64_t begin, int64_t n, bool wide) {
    if (wide) return load8(row + begin);
    vector8 v;
#pragma unroll
    for (int i = 0; i < VECTOR; i++) v.x[i] = begin + i < n ? widen(row[begin + i]) : 0.0f;
    return v;
}

QN_DEVICE packed8 load_packed(const bf16 *row, int64_t begin, int64_t n, bool wide) {
    if (wide) return {*(const uint4 *)(row + begin)};
    return pack8(load_part(row, begin, n, false));
}

/* Elements [from, to) of the eight at p; the same for the others. `wide`: all eight, aligned. */
template <typename T> QN_DEVICE vector8 load_between(const T *p, int from, int to, bool wide) {
    if (wide) return load8(p);
    vector8 v;
#pragma unroll
    for (int i = 0; i < VECTOR; i++) v.x[i] = i >= from && i < to ? widen(p[i]) : 0.0f;
    return v;
}

template <typename T>
QN_DEVICE void store_between(T *p, int from, int to, bool wide, const vector8 &v) {
    if (wide) {
        store8(p, v);
        return;
    }
#pragma unroll
    for (int i = 0; i < VECTOR; i++)
        if (i >= from && i < to) round_to(p + i, v.x[i]);
}

template <typename T>
QN_DEVICE void store_part(T *row, int64_t begin, int64_t n, bool wide, const vector8 &v) {
    if (wide) {
        store8(row + begin, v);
        return;
    }
#pragma unroll
    for (int i = 0; i < VECTOR; i++)
        if (begin + i < n) round_to(row + begin + i, v.x[i]);
}

#endif
