#include "lens/eigen.h"

#include <math.h>

enum { MOST_SWEEPS = 60 }; /* convergence is quadratic: some ten do */

/* Rotates rows and columns p and q so that a(p,q) becomes 0. */
static void rotate(double *a, int64_t n, int64_t p, int64_t q) {
    const double apq = a[p * n + q];
    const double tau = (a[q * n + q] - a[p * n + p]) / (2 * apq);
    const double t = (tau >= 0 ? 1 : -1) / (fabs(tau) + sqrt(1 + tau * tau));
    const double c = 1 / sqrt(1 + t * t), s = t * c;
    for (int64_t i = 0; i < n; i++) {
        const double x = a[p * n + i], y = a[q * n + i];
        a[p * n + i] = c * x - s * y;
        a[q * n + i] = s * x + c * y;
    }
    for (int64_t i = 0; i < n; i++) {
        const double x = a[i * n + p], y = a[i * n + q];
        a[i * n + p] = c * x - s * y;
        a[i * n + q] = s * x + c * y;
    }
}

/* One rotation of every pair that is not 0 to rounding; how many there were. */
static int64_t sweep(double *a, int64_t n) {
    int64_t rotated = 0;
    for (int64_t p = 0; p < n; p++) {
        for (int64_t q = p + 1; q < n; q++) {
            const double size = sqrt(fabs(a[p * n + p] * a[q * n + q]));
            if (fabs(a[p * n + q]) <= 1e-15 * size || a[p * n + q] == 0) continue;
            rotate(a, n, p, q);
            rotated++;
        }
    }
    return rotated;
}

void qn_eigenvalues(double *a, int64_t n, double *out) {
    for (int i = 0; i < MOST_SWEEPS && sweep(a, n); i++) continue;
    for (int64_t i = 0; i < n; i++) out[i] = a[i * n + i];
}
