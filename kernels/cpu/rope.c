/* rope.c: rotary position embeddings (Su et al. 2104.09864), pairs (i, i + D/2). */
#include <math.h>

#include "check/check.h"
#include "check/rope.h"
#include "cpu.h"
#include "rows.h"

qn_status qn_cpu_rope_table(qn_stream *stream, qn_tensor table, double theta) {
    QN_TRY(qn_check_rope_table(&table, theta));
    int64_t positions = table.shape[0], half = table.shape[1] / 2;
#pragma omp parallel for num_threads(qn_cpu_threads(stream))                                       \
    schedule(static) if (positions * half > QN_CPU_PARALLEL_MIN)
    for (int64_t p = 0; p < positions; p++) {
        float *row = qn_row(&table, p);
        for (int64_t i = 0; i < half; i++) {
            double angle = (double)p * pow(theta, -2.0 * (double)i / (double)(2 * half));
            row[i] = (float)cos(angle);
            row[half + i] = (float)sin(angle);
        }
    }
    return QN_OK;
}

static qn_status check_rope(const qn_rope_args *args) {
    QN_TRY(qn_check_rope(args, QN_F32));
    if (args->x.shape[2] == 0) return QN_OK;
    return qn_check_indices("rope", "position", args->positions.data, args->x.shape[0], 0,
                            args->table.shape[0]);
}

/* (a, b) becomes (a·cos − b·sin, b·cos + a·sin), where sign turns the sine around. */
static void rotate_head(float *restrict head, const float *restrict cosine,
                        const float *restrict sine, float sign, int64_t half) {
    float *restrict first = head, *restrict second = head + half;
    for (int64_t i = 0; i < half; i++) {
        float a = first[i], b = second[i], s = sign * sine[i];
        first[i] = a * cosine[i] - b * s;
        second[i] = b * cosine[i] + a * s;
    }
}

/* 8 bytes an element; a row of the table serves all heads of a token. */
qn_status qn_cpu_rope(qn_stream *stream, const qn_rope_args *args) {
    QN_TRY(check_rope(args));
    int64_t tokens = args->x.shape[0], heads = args->x.shape[1], half = args->x.shape[2] / 2;
    const int32_t *positions = args->positions.data;
    float sign = args->inverse ? -1.0f : 1.0f;
    if (half == 0) return QN_OK;
#pragma omp parallel for num_threads(qn_cpu_threads(stream))                                       \
    schedule(static) if (tokens * heads * half > QN_CPU_PARALLEL_MIN)
    for (int64_t n = 0; n < tokens; n++) {
        const float *cosine = qn_row(&args->table, positions[n]);
        for (int64_t h = 0; h < heads; h++)
            rotate_head(qn_row3(&args->x, n, h), cosine, cosine + half, sign, half);
    }
    return QN_OK;
}
