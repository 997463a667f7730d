/* reduce.c: sums. Where they are cut depends on shapes only, so any thread count gives
 * the same bits. */
#include "reduce.h"

#include "check/elementwise.h"
#include "cpu.h"
#include "rows.h"

/* ---- over a whole tensor: 4 bytes an element ---------------------------------- */

enum { PARTS = 256, PART_MIN = 4096, DOUBLE_LANES = 16 };

static double fold_doubles(const double *lane) {
    double total = 0;
    for (int l = 0; l < DOUBLE_LANES; l++) total += lane[l];
    return total;
}

static double sum_part(const float *restrict x, int64_t n) {
    double lane[DOUBLE_LANES] = {0};
    int64_t whole = n - n % DOUBLE_LANES;
    for (int64_t i = 0; i < whole; i += DOUBLE_LANES)
        for (int l = 0; l < DOUBLE_LANES; l++) lane[l] += (double)x[i + l];
    for (int64_t i = whole; i < n; i++) lane[i - whole] += (double)x[i];
    return fold_doubles(lane);
}

static double sum_squares_part(const float *restrict x, int64_t n) {
    double lane[DOUBLE_LANES] = {0};
    int64_t whole = n - n % DOUBLE_LANES;
    for (int64_t i = 0; i < whole; i += DOUBLE_LANES)
        for (int l = 0; l < DOUBLE_LANES; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
    for (int64_t i = whole; i < n; i++) lane[i - whole] += (double)x[i] * (double)x[i];
    return fold_doubles(lane);
}

static qn_status reduce(const qn_stream *stream, const char *op, const qn_tensor *x, float *out,
                        double (*part)(const float *restrict, int64_t)) {
    QN_TRY(qn_check_sum(op, x, out));
    int64_t n = qn_tensor_numel(x), length = qn_max_i64((n + PARTS - 1) / PARTS, PART_MIN);
    int64_t parts = (n + length - 1) / length;
    double partial[PARTS];
#pragma omp parallel for num_threads(qn_cpu_threads(stream))                                       \
    schedule(static) if (n > QN_CPU_PARALLEL_MIN)
    for (int64_t p = 0; p < parts; p++)
        partial[p] = part((const float *)x->data + p * length, qn_min_i64(length, n - p * length));
    double total = 0;
    for (int64_t p = 0; p < parts; p++) total += partial[p];
    *out = (float)total;
    return QN_OK;
}

qn_status qn_cpu_sum(qn_stream *stream, qn_tensor x, float *out) {
    return reduce(stream, "sum", &x, out, sum_part);
}

qn_status qn_cpu_sum_squares(qn_stream *stream, qn_tensor x, float *out) {
    return reduce(stream, "sum_squares", &x, out, sum_squares_part);
}

/* ---- over one axis ---------------------------------------------------------------- */

enum { TILE = 64, ROW_BLOCK = 32 };

/* The sums of up to TILE columns: ROW_BLOCK rows at a time in fp32, those in fp64. */
static void add_tile_sums(const float *restrict x, int64_t stride, int64_t rows, int64_t width,
                          float *restrict out) {
    double total[TILE] = {0};
    for (int64_t first = 0; first < rows; first += ROW_BLOCK) {
        int64_t end = qn_min_i64(first + ROW_BLOCK, rows);
        float block[TILE] = {0};
        if (width == TILE)
            for (int64_t n = first; n < end; n++)
                for (int j = 0; j < TILE; j++) block[j] += x[n * stride + j];
        else
            for (int64_t n = first; n < end; n++)
                for (int64_t j = 0; j < width; j++) block[j] += x[n * stride + j];
        for (int j = 0; j < TILE; j++) total[j] += (double)block[j];
    }
    for (int64_t j = 0; j < width; j++) out[j] = (float)((double)out[j] + total[j]);
}

void qn_add_column_sums(int n_threads, const float *x, int64_t stride, int64_t rows, int64_t cols,
                        float *out) {
#pragma omp parallel for num_threads(n_threads)                                                    \
    schedule(static) if (rows * cols > QN_CPU_PARALLEL_MIN)
    for (int64_t j = 0; j < cols; j += TILE)
        add_tile_sums(x + j, stride, rows, qn_min_i64(TILE, cols - j), out + j);
}

void qn_add_row_sums(int n_threads, const float *x, int64_t stride, int64_t rows, int64_t cols,
                     float *out) {
#pragma omp parallel for num_threads(n_threads)                                                    \
    schedule(static) if (rows * cols > QN_CPU_PARALLEL_MIN)
    for (int64_t n = 0; n < rows; n++)
        out[n] = (float)((double)out[n] + sum_part(x + n * stride, cols));
}
