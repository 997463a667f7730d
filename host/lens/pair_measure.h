/* pair_measure.h: how close pairs of words are, and how sure that is. */
#ifndef QUERN_LENS_PAIR_MEASURE_H
#define QUERN_LENS_PAIR_MEASURE_H

#include "lens/pair_sample.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qn_measure {
    double value, error;
} qn_measure;

/* Subtracts the mean over words from vectors (n_words, width). */
void qn_centre(double *vectors, int64_t n_words, int64_t width);

/* Cosines (pairs->count) of vectors of words; 0 where a vector is 0. */
void qn_cosines(const qn_pair_set *pairs, const double *vectors, int64_t width, double *out);

/* Standard errors below are those of statistics over pairs that share words, where pairs that share
 * none are independent (Aronow, Samii & Assenova 1312.3398, equation 3): the sum, over two pairs
 * that share a word, of the product of what each contributes to the deviation; at least what it
 * would be of independent pairs. A bootstrap that draws words would count the noise of a pair
 * whose words are in no other one three times. */

/* Mean of `values`, one a pair. */
qn_status qn_pair_mean(const qn_pair_set *pairs, const double *values, int64_t n_words,
                       qn_measure *out);

/* Probability that a pair of x, of values xs, has a larger one than a pair of y; ties count half
 * (Mann and Whitney 1947). NaN where a value is. */
qn_status qn_pair_auc(const qn_pair_set *x, const double *xs, const qn_pair_set *y,
                      const double *ys, int64_t n_words, qn_measure *out);

#ifdef __cplusplus
}
#endif
#endif
