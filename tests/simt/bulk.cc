#include "simt/bulk.h"

#include "simt/report.h"
#include "simt/shared_window.h"
#include "simt/text.h"
#include "simt/transfer.h"

namespace simt {

static constexpr uint32_t kUnit = 16;

static Pieces bytes_in_a_row(uint32_t shared, const void *global, uint32_t bytes,
                             const char *operation, Where where) {
    if (!bytes || bytes % kUnit)
        fail_at(where, operation, format("%u bytes; expected a multiple of 16", bytes));
    if ((uintptr_t)global % kUnit)
        fail_at(where, operation, format("global address %p is not a multiple of 16", global));
    uint8_t *at = shared_bytes(*self().block, shared, bytes, kUnit, operation, where);
    return {{(uint8_t *)global, at, bytes}};
}

void bulk_load(uint32_t destination, const void *source, uint32_t bytes, uint32_t mbarrier,
               Where where) {
    const char *name = "bulk_load";
    load(bytes_in_a_row(destination, source, bytes, name, where), mbarrier, name, where);
}

void bulk_store(void *destination, uint32_t source, uint32_t bytes, Where where) {
    const char *name = "bulk_store";
    store(bytes_in_a_row(source, destination, bytes, name, where), Combine::kReplace, name, where);
}

void bulk_reduce_add_f32(float *destination, uint32_t source, uint32_t bytes, Where where) {
    const char *name = "bulk_reduce_add";
    store(bytes_in_a_row(source, destination, bytes, name, where), Combine::kAddF32, name, where);
}

} // namespace simt
