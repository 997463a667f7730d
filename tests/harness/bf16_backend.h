// bf16_backend.h: a backend that stores bf16 and nothing else: the CPU backend behind a
// table that widens operands to fp32 and rounds results to nearest even. It refuses
// operands in a dtype that ops.h does not give them, as a GPU would misread them.
#ifndef QUERN_TESTS_BF16_BACKEND_H
#define QUERN_TESTS_BF16_BACKEND_H

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "quern/backend.h"
#include "quern/rounding.h"

namespace harness {
namespace bf16 {

struct Backend : qn_backend {
    qn_backend *inner;
    std::map<const char *, size_t> allocations; // bytes by where they begin
};

struct Stream : qn_stream {
    qn_stream *inner;
};

inline Backend *of(qn_backend *b) { return static_cast<Backend *>(b); }
inline qn_backend *inner(qn_backend *b) { return of(b)->inner; }
inline qn_stream *inner(qn_stream *s) { return static_cast<Stream *>(s)->inner; }
inline const qn_ops &ops(qn_stream *s) { return *inner(s)->backend->ops; }

// ---- one operand ------------------------------------------------------------------------

// bf16 elements from `data` to the end of the allocation that holds it.
inline int64_t readable(const Backend &b, const void *data) {
    const char *at = (const char *)data;
    auto next = b.allocations.upper_bound(at);
    if (next == b.allocations.begin()) return 0;
    auto [begin, bytes] = *--next;
    return std::max<int64_t>(0, (begin + bytes - at) / 2);
}

// Elements from a view's first to its last; −1 when it is no view of memory.
inline int64_t span(const qn_tensor &t) {
    const int64_t most = 1 << 28;
    int64_t last = 0;
    if (t.rank < 0 || t.rank > QN_MAX_RANK) return -1;
    for (int i = 0; i < t.rank; i++) {
        if (t.shape[i] < 0 || t.stride[i] < 0) return -1;
        if (t.shape[i] == 0) return 0;
        if (t.stride[i] && t.shape[i] - 1 > most / t.stride[i]) return -1;
        last += (t.shape[i] - 1) * t.stride[i];
        if (last > most) return -1;
    }
    return last + 1;
}

// f(offset) for every element.
template <typename F> void each(const qn_tensor &t, F f) {
    int64_t n[QN_MAX_RANK] = {1, 1, 1, 1}, by[QN_MAX_RANK] = {};
    for (int i = 0; i < t.rank; i++) n[i] = t.shape[i], by[i] = t.stride[i];
    for (int64_t a = 0; a < n[0]; a++)
        for (int64_t b = 0; b < n[1]; b++)
            for (int64_t c = 0; c < n[2]; c++)
                for (int64_t d = 0; d < n[3]; d++) f(a * by[0] + b * by[1] + c * by[2] + d * by[3]);
}

// The same view in fp32, over memory of its own. What has no data, or lies nowhere, is only
// relabelled: the CPU backend refuses it.
class Widened {
  public:
    Widened(const Backend &b, qn_tensor *t) : narrow(*t) {
        t->dtype = QN_F32;
        const int64_t length = t->data ? span(narrow) : 0;
        if (length <= 0) return;
        values.assign((size_t)length, NAN);
        const int64_t there = std::min(length, readable(b, narrow.data));
        const uint16_t *from = (const uint16_t *)narrow.data;
        for (int64_t i = 0; i < there; i++) values[(size_t)i] = qn_float_of_bf16(from[i]);
        t->data = values.data();
    }
    void write_back() const {
        uint16_t *to = (uint16_t *)narrow.data;
        if (values.empty()) return;
        each(narrow, [&](int64_t at) { to[at] = qn_bf16_of_float(values[(size_t)at]); });
    }

  private:
    qn_tensor narrow;
    std::vector<float> values;
};

// ---- one call ---------------------------------------------------------------------------

enum Use { kRead, kWritten };

template <typename Args> struct Operand {
    const char *name;
    qn_tensor Args::*tensor;
    Use use;
};
template <typename Args> using Operands = std::vector<Operand<Args>>;

// What lies in an enum, even a value that the enum does not have and C++ must not load.
template <typename Enum> unsigned raw(const Enum &value) {
    unsigned bits;
    static_assert(sizeof bits == sizeof value, "the contract's enums are as wide as an int");
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline std::string name_of(unsigned dtype) {
    return dtype <= QN_U16 ? qn_dtype_name((qn_dtype)dtype) : "unknown";
}

// call(args with every one of the operands in fp32), then rounds what it wrote.
template <typename Args, typename Call>
qn_status widened(qn_stream *s, const char *op, const Args *args, const Operands<Args> &operands,
                  Call call) {
    Args wide = *args;
    std::list<Widened> memory;
    for (const Operand<Args> &o : operands) {
        qn_tensor &t = wide.*o.tensor;
        if (!t.data && t.rank == 0) continue;
        if (raw(t.dtype) != QN_BF16)
            return qn_error(QN_CODE_INVALID, "%s: %s is %s, expected bf16", op, o.name,
                            name_of(raw(t.dtype)).c_str());
        memory.emplace_back(*of(s->backend), &t);
    }
    QN_TRY(call(&wide));
    auto next = memory.begin();
    for (const Operand<Args> &o : operands) {
        const qn_tensor &t = args->*o.tensor;
        if (!t.data && t.rank == 0) continue;
        if (o.use == kWritten) next->write_back();
        ++next;
    }
    return QN_OK;
}

// All that are there are bf16; now they are called fp32.
template <typename Args> bool relabelled(Args *args, const Operands<Args> &operands) {
    bool all_bf16 = true;
    for (const Operand<Args> &o : operands) {
        qn_tensor &t = args->*o.tensor;
        all_bf16 &= t.rank == 0 || raw(t.dtype) == QN_BF16;
        t.dtype = QN_F32;
    }
    return all_bf16;
}

// ---- what is in the storage dtype ---------------------------------------------------------

inline Operands<qn_gemm_args> gemm_operands(const qn_gemm_args *args) {
    using A = qn_gemm_args;
    const unsigned epilogue = raw(args->epilogue);
    const bool bgrad = epilogue == QN_EPILOGUE_BGRAD_A || epilogue == QN_EPILOGUE_BGRAD_B;
    Operands<A> out = {{"a", &A::a, kRead}, {"b", &A::b, kRead}};
    if (raw(args->c.dtype) != QN_F32 || (epilogue != QN_EPILOGUE_NONE && !bgrad))
        out.push_back({"c", &A::c, kWritten});
    if (epilogue == QN_EPILOGUE_BIAS || epilogue == QN_EPILOGUE_GELU)
        out.push_back({"bias", &A::bias, kRead});
    out.push_back({"aux", &A::aux, epilogue == QN_EPILOGUE_GELU ? kWritten : kRead});
    return out;
}

inline Operands<qn_embedding_args> embedding_operands() {
    using A = qn_embedding_args;
    return {{"wte", &A::wte, kRead}, {"wpe", &A::wpe, kRead}, {"out", &A::out, kWritten}};
}

inline Operands<qn_norm_args> norm_operands() {
    using A = qn_norm_args;
    return {{"x", &A::x, kRead},        {"residual", &A::residual, kRead},
            {"sum", &A::sum, kWritten}, {"weight", &A::weight, kRead},
            {"bias", &A::bias, kRead},  {"out", &A::out, kWritten}};
}

inline Operands<qn_norm_args> norm_backward_operands() {
    using A = qn_norm_args;
    return {{"x", &A::x, kRead},
            {"weight", &A::weight, kRead},
            {"dout", &A::dout, kRead},
            {"dresidual", &A::dresidual, kRead},
            {"dx", &A::dx, kWritten}};
}

inline Operands<qn_attention_args> attention_operands() {
    using A = qn_attention_args;
    return {{"q", &A::q, kRead}, {"k", &A::k, kRead}, {"v", &A::v, kRead}, {"o", &A::o, kWritten}};
}

inline Operands<qn_attention_args> attention_backward_operands() {
    using A = qn_attention_args;
    return {{"q", &A::q, kRead},      {"k", &A::k, kRead},       {"v", &A::v, kRead},
            {"o", &A::o, kRead},      {"dout", &A::dout, kRead}, {"dq", &A::dq, kWritten},
            {"dk", &A::dk, kWritten}, {"dv", &A::dv, kWritten}};
}

inline Operands<qn_classifier_args> classifier_operands() {
    using A = qn_classifier_args;
    return {{"x", &A::x, kRead}, {"weight", &A::weight, kRead}, {"dx", &A::dx, kWritten}};
}

// ---- operations that are more than that ----------------------------------------------------

inline qn_status gemm(qn_stream *s, const qn_gemm_args *args) {
    if (raw(args->c.dtype) != QN_F32 && args->beta != 0)
        return qn_error(QN_CODE_INVALID, "gemm: beta is %g, expected 0 with c in %s",
                        (double)args->beta, name_of(raw(args->c.dtype)).c_str());
    return widened(s, "gemm", args, gemm_operands(args),
                   [&](const qn_gemm_args *wide) { return ops(s).gemm(inner(s), wide); });
}

// What was stored is normalised: a sum is rounded first.
inline qn_status norm_forward(qn_stream *s, const char *op, const qn_norm_args *args,
                              qn_status (*run)(qn_stream *, const qn_norm_args *)) {
    return widened(s, op, args, norm_operands(), [&](const qn_norm_args *wide) {
        QN_TRY(run(inner(s), wide));
        if (!wide->residual.data) return QN_OK;
        qn_norm_args again = *wide;
        float *sum = (float *)wide->sum.data;
        each(wide->sum, [&](int64_t at) { sum[at] = qn_round_bf16(sum[at]); });
        again.x = wide->sum;
        again.residual = again.sum = {};
        return run(inner(s), &again);
    });
}

inline qn_status adamw(qn_stream *s, const qn_adamw_args *args) {
    if (args->weights && raw(args->weights_dtype) != QN_BF16)
        return qn_error(QN_CODE_INVALID, "adamw: weights is %s, expected bf16",
                        name_of(raw(args->weights_dtype)).c_str());
    qn_adamw_args masters = *args;
    masters.weights = nullptr;
    masters.stochastic_rounding = args->stochastic_rounding && !args->weights;
    QN_TRY(ops(s).adamw(inner(s), &masters));
    if (!args->weights || !std::isfinite(*args->grad_sumsq)) return QN_OK;
    uint16_t *weights = (uint16_t *)args->weights;
    for (int i = 0; i < args->n_segments; i++) {
        const qn_adamw_segment &segment = args->segments[i];
        for (int64_t at = segment.offset; at < segment.offset + segment.count; at++)
            weights[at] = args->stochastic_rounding
                              ? qn_bf16_stochastic_at(args->param[at], args->seed, args->rate->step, at)
                              : qn_bf16_of_float(args->param[at]);
    }
    return QN_OK;
}

// The operations that take tensors rather than a struct of them.
struct Tensors {
    qn_tensor dst, a, b;
};

inline qn_status add(qn_stream *s, qn_tensor dst, qn_tensor a, qn_tensor b) {
    const Tensors args = {dst, a, b};
    return widened(s, "add", &args,
                   Operands<Tensors>{{"dst", &Tensors::dst, kWritten},
                                     {"a", &Tensors::a, kRead},
                                     {"b", &Tensors::b, kRead}},
                   [&](const Tensors *t) { return ops(s).add(inner(s), t->dst, t->a, t->b); });
}

inline qn_status gelu(qn_stream *s, qn_tensor out, qn_tensor x) {
    const Tensors args = {out, x, {}};
    return widened(s, "gelu", &args,
                   Operands<Tensors>{{"out", &Tensors::dst, kWritten}, {"x", &Tensors::a, kRead}},
                   [&](const Tensors *t) { return ops(s).gelu(inner(s), t->dst, t->a); });
}

// ---- the device ------------------------------------------------------------------------------

inline qn_status device_info(qn_backend *b, qn_device_info *info) {
    QN_TRY(inner(b)->ops->device_info(inner(b), info));
    const std::string name = info->name;
    snprintf(info->name, sizeof info->name, "bf16 storage on %.100s", name.c_str());
    info->storage[0] = QN_BF16;
    info->n_storage = 1;
    return QN_OK;
}

inline qn_status alloc(qn_backend *b, size_t bytes, void **out) {
    QN_TRY(inner(b)->ops->alloc(inner(b), bytes, out));
    if (*out) of(b)->allocations[(const char *)*out] = bytes;
    return QN_OK;
}

inline void release(qn_backend *b, void *memory) {
    of(b)->allocations.erase((const char *)memory);
    inner(b)->ops->free(inner(b), memory);
}

inline void close(qn_backend *b) {
    inner(b)->ops->close(inner(b));
    delete of(b);
}

inline qn_status stream_create(qn_backend *b, qn_stream **out) {
    Stream *s = new Stream;
    s->backend = b;
    qn_status status = inner(b)->ops->stream_create(inner(b), &s->inner);
    if (status) delete s;
    *out = status ? nullptr : s;
    return status;
}

inline void stream_destroy(qn_stream *s) {
    ops(s).stream_destroy(inner(s));
    delete static_cast<Stream *>(s);
}

// ---- the table --------------------------------------------------------------------------------

// An operation that is the CPU backend's on widened operands.
#define QN_WIDENED(name, type, operands)                                                           \
    t.name = [](qn_stream *s, const type *args) {                                                  \
        return widened(s, #name, args, operands,                                                   \
                       [&](const type *wide) { return ops(s).name(inner(s), wide); });             \
    }
// The workspace that the CPU backend asks for the same shapes in fp32; what no memory would
// do for where a dtype is wrong.
#define QN_WORKSPACE(name, type, operands)                                                         \
    t.name = [](qn_backend *b, const type *args) {                                                 \
        type wide = *args;                                                                         \
        return relabelled(&wide, operands) ? inner(b)->ops->name(inner(b), &wide) : SIZE_MAX;      \
    }

inline void set_device(qn_ops &t) {
    t.device_info = device_info;
    t.close = close;
    t.alloc = alloc;
    t.free = release;
    t.host_alloc = [](qn_backend *b, size_t bytes, void **out) {
        return inner(b)->ops->host_alloc(inner(b), bytes, out);
    };
    t.host_free = [](qn_backend *b, void *memory) { inner(b)->ops->host_free(inner(b), memory); };
    t.range_begin = [](qn_backend *b, const char *name) {
        inner(b)->ops->range_begin(inner(b), name);
    };
    t.range_end = [](qn_backend *b) { inner(b)->ops->range_end(inner(b)); };
    t.trace_open = [](qn_backend *b, qn_trace **out) {
        return inner(b)->ops->trace_open(inner(b), out);
    };
    t.stream_create = stream_create;
    t.stream_destroy = stream_destroy;
    t.stream_sync = [](qn_stream *s) { return ops(s).stream_sync(inner(s)); };
    t.event_create = [](qn_backend *b, qn_event **e) {
        return inner(b)->ops->event_create(inner(b), e);
    };
    t.event_record = [](qn_event *e, qn_stream *s) { return ops(s).event_record(e, inner(s)); };
    t.stream_wait = [](qn_stream *s, qn_event *e) { return ops(s).stream_wait(inner(s), e); };
}

// Bytes, and operations over fp32 and any dtype.
inline void set_plain(qn_ops &t) {
    t.copy = [](qn_stream *s, void *dst, const void *src, size_t bytes, qn_copy_kind kind) {
        return ops(s).copy(inner(s), dst, src, bytes, kind);
    };
    t.zero = [](qn_stream *s, void *dst, size_t bytes) {
        return ops(s).zero(inner(s), dst, bytes);
    };
    t.cast = [](qn_stream *s, qn_tensor dst, qn_tensor src) {
        return ops(s).cast(inner(s), dst, src);
    };
    t.cast_stochastic = [](qn_stream *s, qn_tensor dst, qn_tensor src, uint64_t seed,
                           int64_t step) {
        return ops(s).cast_stochastic(inner(s), dst, src, seed, step);
    };
    t.sum = [](qn_stream *s, qn_tensor x, float *out) { return ops(s).sum(inner(s), x, out); };
    t.sum_squares = [](qn_stream *s, qn_tensor x, float *out) {
        return ops(s).sum_squares(inner(s), x, out);
    };
    t.rope_table = [](qn_stream *s, qn_tensor table, double theta) {
        return ops(s).rope_table(inner(s), table, theta);
    };
}

inline void set_operations(qn_ops &t) {
    using Rope = qn_rope_args;
    using Swiglu = qn_swiglu_args;
    using Embedding = qn_embedding_args;
    t.add = add;
    t.gemm = gemm;
    t.gelu = gelu;
    t.adamw = adamw;
    t.rmsnorm_forward = [](qn_stream *s, const qn_norm_args *args) {
        return norm_forward(s, "rmsnorm_forward", args, ops(s).rmsnorm_forward);
    };
    t.layernorm_forward = [](qn_stream *s, const qn_norm_args *args) {
        return norm_forward(s, "layernorm_forward", args, ops(s).layernorm_forward);
    };
    QN_WIDENED(embedding_forward, Embedding, embedding_operands());
    QN_WIDENED(embedding_backward, Embedding,
               (Operands<Embedding>{{"dout", &Embedding::dout, kRead}}));
    QN_WIDENED(rmsnorm_backward, qn_norm_args, norm_backward_operands());
    QN_WIDENED(layernorm_backward, qn_norm_args, norm_backward_operands());
    QN_WIDENED(rope, Rope, (Operands<Rope>{{"x", &Rope::x, kWritten}}));
    QN_WIDENED(attention_forward, qn_attention_args, attention_operands());
    QN_WIDENED(attention_backward, qn_attention_args, attention_backward_operands());
    QN_WIDENED(
        swiglu_forward, Swiglu,
        (Operands<Swiglu>{{"gate_up", &Swiglu::gate_up, kRead}, {"out", &Swiglu::out, kWritten}}));
    QN_WIDENED(swiglu_backward, Swiglu,
               (Operands<Swiglu>{{"gate_up", &Swiglu::gate_up, kRead},
                                 {"dout", &Swiglu::dout, kRead},
                                 {"dgate_up", &Swiglu::dgate_up, kWritten}}));
    QN_WIDENED(classifier, qn_classifier_args, classifier_operands());
    QN_WORKSPACE(gemm_workspace, qn_gemm_args, gemm_operands(args));
    QN_WORKSPACE(embedding_backward_workspace, Embedding,
                 (Operands<Embedding>{{"dout", &Embedding::dout, kRead}}));
    QN_WORKSPACE(norm_backward_workspace, qn_norm_args, norm_backward_operands());
    QN_WORKSPACE(attention_forward_workspace, qn_attention_args, attention_operands());
    QN_WORKSPACE(attention_backward_workspace, qn_attention_args, attention_backward_operands());
    QN_WORKSPACE(classifier_workspace, qn_classifier_args, classifier_operands());
}

#undef QN_WIDENED
#undef QN_WORKSPACE

inline const qn_ops *table(const qn_ops &cpu) {
    static const qn_ops table = [&] {
        qn_ops t = cpu; // events need no stream of ours
        set_device(t);
        set_plain(t);
        set_operations(t);
        return t;
    }();
    return &table;
}

} // namespace bf16

// Opens it over n_threads of the CPU backend.
inline qn_status open_bf16_backend(int n_threads, qn_backend **out) {
    *out = nullptr;
    qn_backend *cpu;
    QN_TRY(qn_cpu_open(n_threads, &cpu));
    bf16::Backend *b = new bf16::Backend;
    b->ops = bf16::table(*cpu->ops);
    b->inner = cpu;
    *out = b;
    return QN_OK;
}

} // namespace harness

#endif
