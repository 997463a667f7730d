// activity.cc: CUPTI's activity API. Records are made as work runs, with the host's clock, and go
// into the buffers that the client gives.
#include "simt/cuda/emulated/activity.h"

#include <chrono>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "simt/cuda/emulated/gpu.h"
#include "simt/stream.h"

namespace {

struct Buffer {
    uint8_t *memory;
    size_t size, used, records;
};

struct Cupti {
    CUpti_BuffersCallbackRequestFunc request;
    CUpti_BuffersCallbackCompleteFunc complete;
    std::set<int> enabled;
    std::vector<uint64_t> ranges;
    Buffer buffer;
    size_t records, dropped;
    uint32_t calls, graph_call; // graph_call: 0 outside of graphs
    std::set<std::string> names;
    int requested, completed;
};

Cupti &cupti() {
    static Cupti the_cupti = {};
    return the_cupti;
}

// ---- buffers --------------------------------------------------------------------------------

void complete_buffer() {
    Cupti &c = cupti();
    if (!c.buffer.memory) return;
    const Buffer full = c.buffer;
    c.buffer = {};
    c.completed++;
    c.complete(nullptr, 0, full.memory, full.size, full.used);
}

bool has_room(size_t bytes) {
    const Buffer &b = cupti().buffer;
    const size_t most = simt::gpu().cupti_records;
    return b.memory && b.used + bytes <= b.size && (most == 0 || b.records < most);
}

void request_buffer() {
    Cupti &c = cupti();
    size_t most_records = 0;
    c.request(&c.buffer.memory, &c.buffer.size, &most_records);
    if (c.buffer.memory) c.requested++;
}

template <typename Record> void write(const Record &record) {
    Cupti &c = cupti();
    if (!c.enabled.count(record.kind) || !c.request) return;
    if (!has_room(sizeof record)) complete_buffer();
    if (!c.buffer.memory) request_buffer();
    if (!has_room(sizeof record) || c.records++ >= simt::gpu().cupti_most_records) {
        c.dropped++;
        return;
    }
    memcpy(c.buffer.memory + c.buffer.used, &record, sizeof record);
    c.buffer.used += sizeof record;
    c.buffer.records++;
}

size_t size_of(int kind) {
    switch (kind) {
    case CUPTI_ACTIVITY_KIND_KERNEL:
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
        return sizeof(CUpti_ActivityKernel9);
    case CUPTI_ACTIVITY_KIND_MEMCPY:
        return sizeof(CUpti_ActivityMemcpy5);
    case CUPTI_ACTIVITY_KIND_MEMSET:
        return sizeof(CUpti_ActivityMemset4);
    case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
        return sizeof(CUpti_ActivityExternalCorrelation);
    case CUPTI_ACTIVITY_KIND_RUNTIME:
    case CUPTI_ACTIVITY_KIND_DRIVER:
        return sizeof(CUpti_ActivityAPI);
    }
    return 0;
}

// ---- records --------------------------------------------------------------------------------

// "(softmax<D, true>)", as a launch has it, as the compiler names softmax<float> in a namespace.
const char *mangled(std::string name) {
    if (name.front() == '(') name = name.substr(1, name.size() - 2);
    const bool is_template = name.find('<') != std::string::npos;
    name = name.substr(0, name.find('<'));
    if (name.find("::") != std::string::npos) name = name.substr(name.rfind("::") + 2);
    const std::string text =
        "_ZN5quern" + std::to_string(name.size()) + name + (is_template ? "IfEEvv" : "Ev");
    return cupti().names.insert(text).first->c_str();
}

template <typename Record> Record timed(int kind, uint64_t begin, uint64_t end, uint32_t call) {
    Record record = {};
    record.kind = (CUpti_ActivityKind)kind;
    record.start = begin;
    record.end = end;
    record.correlationId = call;
    return record;
}

void write_kernel(const char *name, uint64_t begin, uint64_t end, uint32_t call) {
    if (!simt::gpu().cupti_times) begin = end = 0;
    auto record =
        timed<CUpti_ActivityKernel9>(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, begin, end, call);
    record.name = name;
    write(record);
}

// A copy has a number from the driver, too. The runtime's call alone is said to be in a range,
// which is the harder case for the client.
void write_copy(uint64_t begin, uint64_t end, uint32_t call) {
    auto record =
        timed<CUpti_ActivityMemcpy5>(CUPTI_ACTIVITY_KIND_MEMCPY, begin, end, call + 1000000000);
    record.runtimeCorrelationId = call;
    write(record);
}

void write_ran(simt::Label label, const char *name, uint64_t begin, uint64_t end, uint32_t call) {
    if (label.kind == simt::Label::kKernel)
        write_kernel(name, begin, end, call);
    else if (label.kind == simt::Label::kCopy)
        write_copy(begin, end, call);
    else
        write(timed<CUpti_ActivityMemset4>(CUPTI_ACTIVITY_KIND_MEMSET, begin, end, call));
}

std::function<void()> watched(simt::Label label, std::function<void()> work) {
    const char *name = label.kind == simt::Label::kKernel ? mangled(label.name) : "";
    return [=, call = simt::cupti_call()] {
        const uint64_t begin = simt::cupti_now();
        work();
        const uint32_t graph = cupti().graph_call;
        write_ran(label, name, begin, simt::cupti_now(), graph ? graph : call);
    };
}

} // namespace

// ---- the runtime's side ---------------------------------------------------------------------

void simt::load_cupti() { set_profiler(watched); }

uint64_t simt::cupti_now() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return (uint64_t)std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

uint32_t simt::cupti_call() {
    Cupti &c = cupti();
    const uint32_t call = ++c.calls;
    if (!c.enabled.count(CUPTI_ACTIVITY_KIND_RUNTIME)) return call;
    if (!c.ranges.empty()) {
        CUpti_ActivityExternalCorrelation range = {};
        range.kind = CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION;
        range.externalKind = CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0;
        range.externalId = c.ranges.back();
        range.correlationId = call;
        write(range);
    }
    write(timed<CUpti_ActivityAPI>(CUPTI_ACTIVITY_KIND_RUNTIME, cupti_now(), cupti_now(), call));
    return call;
}

simt::CuptiGraphRun::CuptiGraphRun(uint32_t call) { cupti().graph_call = call; }
simt::CuptiGraphRun::~CuptiGraphRun() { cupti().graph_call = 0; }

void simt::add_cupti_kernel(const char *name, uint64_t begin, uint64_t end) {
    write_kernel(name, begin, end, cupti_call());
}

simt::CuptiUse simt::cupti_use() {
    const Cupti &c = cupti();
    return {c.requested, c.requested - c.completed, (int)c.enabled.size(), c.ranges.size()};
}

// ---- the API --------------------------------------------------------------------------------

CUptiResult cuptiGetVersion(uint32_t *version) {
    *version = simt::gpu().cupti_version;
    return CUPTI_SUCCESS;
}

#define NAME(error)                                                                                \
    case error:                                                                                    \
        *name = #error;                                                                            \
        return CUPTI_SUCCESS;

CUptiResult cuptiGetResultString(CUptiResult error, const char **name) {
    switch (error) {
        NAME(CUPTI_SUCCESS)
        NAME(CUPTI_ERROR_OUT_OF_MEMORY)
        NAME(CUPTI_ERROR_NOT_COMPATIBLE)
        NAME(CUPTI_ERROR_NOT_INITIALIZED)
        NAME(CUPTI_ERROR_INSUFFICIENT_PRIVILEGES)
        NAME(CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED)
    default:
        return CUPTI_ERROR_INVALID_PARAMETER;
    }
}

CUptiResult cuptiGetTimestamp(uint64_t *now) {
    *now = simt::cupti_now();
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityRegisterCallbacks(CUpti_BuffersCallbackRequestFunc request,
                                           CUpti_BuffersCallbackCompleteFunc complete) {
    cupti().request = request;
    cupti().complete = complete;
    return CUPTI_SUCCESS;
}

// Refuses at the third kind: what was enabled before is the client's to disable.
CUptiResult cuptiActivityEnable(CUpti_ActivityKind kind) {
    if (simt::gpu().cupti_refusal && cupti().enabled.size() == 2) return simt::gpu().cupti_refusal;
    cupti().enabled.insert(kind);
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityDisable(CUpti_ActivityKind kind) {
    cupti().enabled.erase(kind);
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityFlushAll(uint32_t) {
    if (!cupti().complete) return CUPTI_ERROR_INVALID_OPERATION;
    complete_buffer();
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityGetNextRecord(uint8_t *buffer, size_t valid, CUpti_Activity **record) {
    uint8_t *next = buffer;
    if (*record) next = (uint8_t *)*record + size_of((*record)->kind);
    if (next == buffer + valid) return CUPTI_ERROR_MAX_LIMIT_REACHED;
    *record = (CUpti_Activity *)next;
    return size_of((*record)->kind) ? CUPTI_SUCCESS : CUPTI_ERROR_INVALID_KIND;
}

CUptiResult cuptiActivityGetNumDroppedRecords(CUcontext, uint32_t, size_t *dropped) {
    *dropped = cupti().dropped;
    cupti().dropped = cupti().records = 0;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityPushExternalCorrelationId(CUpti_ExternalCorrelationKind, uint64_t id) {
    cupti().ranges.push_back(id);
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityPopExternalCorrelationId(CUpti_ExternalCorrelationKind, uint64_t *last) {
    if (cupti().ranges.empty()) return CUPTI_ERROR_QUEUE_EMPTY;
    if (last) *last = cupti().ranges.back();
    cupti().ranges.pop_back();
    return CUPTI_SUCCESS;
}
