/* backend.c: the CPU as a device: its table, memory, streams and events. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attention.h"
#include "check/no_graphs.h"
#include "check/no_trace.h"
#include "cpu.h"
#include "gemm_bf16.h"
#include "quern/clock.h"

enum { MAX_THREADS = 1024 };

typedef struct cpu_event {
    double seconds; /* of the monotonic clock, when recorded */
    bool recorded;
} cpu_event;

/* ---- what this CPU is ---------------------------------------------------- */

static const char *instruction_set(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bf16")) return "AVX-512 BF16";
    if (__builtin_cpu_supports("avx512f")) return "AVX-512";
    if (__builtin_cpu_supports("avx2")) return "AVX2";
    return "SSE2";
#elif defined(__aarch64__)
    return "NEON";
#else
    return "generic";
#endif
}

/* The compiler may have used instructions that only its own machine has. */
static qn_status check_instruction_set(void) {
    const char *missing = NULL;
#if defined(__AVX2__)
    if (!__builtin_cpu_supports("avx2")) missing = "AVX2";
#endif
#if defined(__FMA__)
    if (!__builtin_cpu_supports("fma")) missing = "FMA";
#endif
#if defined(__AVX512F__)
    if (!__builtin_cpu_supports("avx512f")) missing = "AVX-512";
#endif
    if (!missing) return QN_OK;
    return qn_error(QN_CODE_UNSUPPORTED,
                    "this build uses %s, which this CPU does not have; build quern on this machine "
                    "or with -DQN_NATIVE=OFF",
                    missing);
}

/* The value after "key<blanks>:" in a file of /proc; false when there is none. */
static bool proc_value(const char *path, const char *key, char *out, size_t size) {
    FILE *file = fopen(path, "r");
    if (!file) return false;
    char line[256];
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        const char *value = strchr(line, ':');
        if (!value) continue;
        value += 1 + strspn(value + 1, " \t");
        snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
        found = true;
    }
    fclose(file);
    return found;
}

static qn_status device_info(qn_backend *backend, qn_device_info *info) {
    const qn_cpu *cpu = (const qn_cpu *)backend;
    char model[80] = "CPU", free_kib[80];
    proc_value("/proc/cpuinfo", "model name", model, sizeof model);
    memset(info, 0, sizeof *info);
    snprintf(info->arch, sizeof info->arch, "%s", instruction_set());
    snprintf(info->name, sizeof info->name, "%s, %d thread%s, %s", model, cpu->n_threads,
             cpu->n_threads == 1 ? "" : "s", info->arch);
    info->n_threads = cpu->n_threads;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    info->memory_total = (size_t)sysconf(_SC_PHYS_PAGES) * page;
    info->memory_free = (size_t)sysconf(_SC_AVPHYS_PAGES) * page;
    if (proc_value("/proc/meminfo", "MemAvailable", free_kib, sizeof free_kib))
        info->memory_free = (size_t)strtoull(free_kib, NULL, 10) * 1024;
    info->bf16_gemm = cpu->bf16 != NULL;
    info->storage[0] = QN_F32;
    info->n_storage = 1;
    return QN_OK;
}

/* ---- memory ---------------------------------------------------------------- */

enum { LARGE_PAGE = 1 << 21 };

static qn_status device_alloc(qn_backend *backend, size_t bytes, void **out) {
    (void)backend;
    *out = NULL;
    if (bytes == 0) return QN_OK;
    bool large = bytes >= LARGE_PAGE;
    int error = posix_memalign(out, large ? LARGE_PAGE : QN_CPU_ALIGN, bytes);
    if (!error) {
        if (large) madvise(*out, bytes, MADV_HUGEPAGE); /* a hint: it may fail */
        return QN_OK;
    }
    *out = NULL;
    return qn_error(QN_CODE_MEMORY, "cannot allocate %zu bytes of memory: %s", bytes,
                    strerror(error));
}

static void device_free(qn_backend *backend, void *memory) {
    (void)backend;
    free(memory);
}

/* ---- streams and events: everything has run by the time a call returns -------- */

static qn_status stream_create(qn_backend *backend, qn_stream **out) {
    *out = malloc(sizeof **out);
    if (!*out) return qn_error(QN_CODE_MEMORY, "cannot allocate a stream");
    (*out)->backend = backend;
    return QN_OK;
}

static void stream_destroy(qn_stream *stream) { free(stream); }

static qn_status stream_sync(qn_stream *stream) {
    (void)stream;
    return QN_OK;
}

static qn_status event_create(qn_backend *backend, qn_event **out) {
    (void)backend;
    *out = calloc(1, sizeof(cpu_event));
    return *out ? QN_OK : qn_error(QN_CODE_MEMORY, "cannot allocate an event");
}

static void event_destroy(qn_event *event) { free(event); }

static qn_status event_record(qn_event *event, qn_stream *stream) {
    (void)stream;
    cpu_event *e = (cpu_event *)event;
    e->seconds = qn_clock();
    e->recorded = true;
    return QN_OK;
}

static qn_status stream_wait(qn_stream *stream, qn_event *event) {
    (void)stream, (void)event;
    return QN_OK;
}

static qn_status event_sync(qn_event *event) {
    (void)event;
    return QN_OK;
}

static qn_status event_elapsed(qn_event *start, qn_event *end, double *seconds) {
    const cpu_event *a = (const cpu_event *)start, *b = (const cpu_event *)end;
    if (!a->recorded || !b->recorded)
        return qn_error(QN_CODE_INVALID, "event_elapsed: the %s event was never recorded",
                        a->recorded ? "end" : "start");
    *seconds = b->seconds - a->seconds;
    return QN_OK;
}

static void range_begin(qn_backend *backend, const char *name) { (void)backend, (void)name; }
static void range_end(qn_backend *backend) { (void)backend; }

/* ---- the table ------------------------------------------------------------------ */

static void cpu_close(qn_backend *backend) {
    qn_cpu *cpu = (qn_cpu *)backend;
    if (!cpu) return;
    qn_bf16_gemm_close(cpu->bf16);
    free(cpu);
}

static const qn_ops cpu_ops = {
    .device_info = device_info,
    .close = cpu_close,
    .alloc = device_alloc,
    .free = device_free,
    .host_alloc = device_alloc,
    .host_free = device_free,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_sync = stream_sync,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .stream_wait = stream_wait,
    .event_sync = event_sync,
    .event_elapsed = event_elapsed,
    .capture_begin = qn_no_capture_begin,
    .capture_end = qn_no_capture_end,
    .graph_launch = qn_no_graph_launch,
    .graph_destroy = qn_no_graph_destroy,
    .range_begin = range_begin,
    .range_end = range_end,
    .trace_open = qn_no_trace_open,
    .copy = qn_cpu_copy,
    .zero = qn_cpu_zero,
    .cast = qn_cpu_cast,
    .cast_stochastic = qn_cpu_cast_stochastic,
    .add = qn_cpu_add,
    .sum = qn_cpu_sum,
    .sum_squares = qn_cpu_sum_squares,
    .gemm_workspace = qn_cpu_gemm_workspace,
    .gemm = qn_cpu_gemm,
    .embedding_forward = qn_cpu_embedding_forward,
    .embedding_backward_workspace = qn_cpu_embedding_backward_workspace,
    .embedding_backward = qn_cpu_embedding_backward,
    .norm_backward_workspace = qn_cpu_norm_backward_workspace,
    .rmsnorm_forward = qn_cpu_rmsnorm_forward,
    .rmsnorm_backward = qn_cpu_rmsnorm_backward,
    .layernorm_forward = qn_cpu_layernorm_forward,
    .layernorm_backward = qn_cpu_layernorm_backward,
    .rope_table = qn_cpu_rope_table,
    .rope = qn_cpu_rope,
    .attention_forward_workspace = qn_cpu_attention_forward_workspace,
    .attention_forward = qn_cpu_attention_forward,
    .attention_backward_workspace = qn_cpu_attention_backward_workspace,
    .attention_backward = qn_cpu_attention_backward,
    .swiglu_forward = qn_cpu_swiglu_forward,
    .swiglu_backward = qn_cpu_swiglu_backward,
    .gelu = qn_cpu_gelu,
    .classifier_workspace = qn_cpu_classifier_workspace,
    .classifier = qn_cpu_classifier,
    .adamw = qn_cpu_adamw,
};

/* Cores that this process may use. A machine with more cores than a cpu_set_t holds
 * needs a larger set. */
static int usable_cores(void) {
    for (int cores = 1024; cores <= 65536; cores *= 2) {
        cpu_set_t *set = CPU_ALLOC(cores);
        if (!set) break;
        size_t size = CPU_ALLOC_SIZE(cores);
        int error = sched_getaffinity(0, size, set) ? errno : 0;
        int count = error ? 0 : CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (!error) return count;
        if (error != EINVAL) break;
    }
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

qn_status qn_cpu_open(int n_threads, qn_backend **out) {
    *out = NULL;
    if (n_threads < 0 || n_threads > MAX_THREADS)
        return qn_error(QN_CODE_USAGE, "%d threads: expected 1 to %d, or 0 for one a core",
                        n_threads, MAX_THREADS);
    QN_TRY(check_instruction_set());
    if (n_threads == 0) n_threads = (int)qn_min_i64(qn_max_i64(usable_cores(), 1), MAX_THREADS);
    qn_cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu) return qn_error(QN_CODE_MEMORY, "cannot allocate the CPU backend");
    cpu->base.ops = &cpu_ops;
    cpu->n_threads = n_threads;
    qn_status status = qn_bf16_gemm_open(&cpu->bf16);
    if (status) {
        free(cpu);
        return qn_context(status, "opening the CPU backend");
    }
    *out = &cpu->base;
    return QN_OK;
}
