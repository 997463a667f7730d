// stream.h: an ordered queue of work that stands for a CUDA stream. Work runs as it is enqueued,
// or, with deferral, when somebody waits for it, so that a missing wait shows. A stream that is
// captured keeps its work for a graph.
#ifndef QUERN_TESTS_SIMT_STREAM_H
#define QUERN_TESTS_SIMT_STREAM_H

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

struct CUstream_st {
    std::deque<std::function<void()>> pending;
    std::unique_ptr<std::vector<std::function<void()>>> captured; // null: not capturing
    bool capture_lost = false; // by a call that a capture forbids
};

namespace simt {

// For the work of all streams that is enqueued from now on. Off at first.
void defer_streams(bool defer);

// What a profiler says of a piece of work. The name of a kernel is as its launch has it.
struct Label {
    enum Kind { kKernel, kCopy, kSet } kind;
    const char *name;
};

// Runs the work now, later on its stream, or in the graph for which the stream is captured;
// without a stream always now.
void enqueue(CUstream_st *stream, std::function<void()> work);
void enqueue(CUstream_st *stream, Label label, std::function<void()> work);

// A profiler: it sees each labelled piece of work as it is enqueued, and gives what is enqueued in
// its place. None at first.
using Profiler = std::function<std::function<void()>(Label, std::function<void()> work)>;
void set_profiler(Profiler profiler);

// Pieces of work that were enqueued to be run, those in graphs not counted.
int64_t pieces_enqueued();

// Runs all that is pending. Whatever the work throws comes out here, and the rest is dropped.
void finish(CUstream_st *stream);

} // namespace simt

#endif
