/* status.h: how every quern function reports failure. */
#ifndef QUERN_STATUS_H
#define QUERN_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum qn_code {
    QN_CODE_OK = 0,
    QN_CODE_USAGE,       /* a flag or an argument is wrong: the program exits with 2 */
    QN_CODE_INVALID,     /* a file, a config or a value in it is wrong */
    QN_CODE_IO,          /* the operating system refused: not found, disk full, … */
    QN_CODE_MEMORY,      /* not enough host or device memory */
    QN_CODE_NUMERIC,     /* a loss or a gradient is not finite */
    QN_CODE_UNSUPPORTED, /* valid, but this build, backend or machine cannot do it */
} qn_code;

/* NULL means success. Otherwise the error owns its message, and whoever does
 * not pass it on frees it with qn_status_free. No state is shared or global. */
typedef struct qn_error *qn_status;

#define QN_OK ((qn_status)0)

/* Makes an error. The message names the thing, the value found, what was
 * expected and what to do, e.g.
 *   "data/train.bin: magic 17, expected 20240520; is this a token shard?" */
qn_status qn_error(qn_code code, const char *format, ...)
    __attribute__((format(printf, 2, 3), returns_nonnull));

/* Puts "<context>: " before the message of a failed status; passes success on.
 * Takes ownership of `status` and returns what replaces it. */
qn_status qn_context(qn_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The message of a failed status, "" for success; valid until it is freed. */
const char *qn_message(qn_status status);
qn_code qn_status_code(qn_status status);
void qn_status_free(qn_status status);

/* Returns from the calling function when `expr` fails. */
#define QN_TRY(expr)                                                                               \
    do {                                                                                           \
        qn_status qn_try_ = (expr);                                                                \
        if (qn_try_) return qn_try_;                                                               \
    } while (0)

/* Stores the status of `expr` and jumps to a clean-up label when it fails. */
#define QN_TRY_GOTO(status, label, expr)                                                           \
    do {                                                                                           \
        (status) = (expr);                                                                         \
        if (status) goto label;                                                                    \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
