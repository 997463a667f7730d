#include "simt/stream.h"

namespace simt {

static bool deferred = false;

void defer_streams(bool defer) { deferred = defer; }

static int64_t n_enqueued = 0;

int64_t pieces_enqueued() { return n_enqueued; }

void enqueue(CUstream_st *stream, std::function<void()> work) {
    if (stream && stream->captured) {
        stream->captured->push_back(std::move(work));
        return;
    }
    n_enqueued++;
    if (stream && deferred)
        stream->pending.push_back(std::move(work));
    else
        work();
}

static Profiler &profiler() {
    static Profiler the_profiler;
    return the_profiler;
}

void set_profiler(Profiler p) { profiler() = std::move(p); }

void enqueue(CUstream_st *stream, Label label, std::function<void()> work) {
    enqueue(stream, profiler() ? profiler()(label, std::move(work)) : std::move(work));
}

void finish(CUstream_st *stream) {
    std::deque<std::function<void()>> pending;
    pending.swap(stream->pending);
    for (auto &work : pending) work();
}

} // namespace simt
