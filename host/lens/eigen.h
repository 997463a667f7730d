/* eigen.h: eigenvalues of small symmetric matrices. */
#ifndef QUERN_LENS_EIGEN_H
#define QUERN_LENS_EIGEN_H

#include <stdint.h>

/* Eigenvalues of a symmetric (n,n) matrix, in no order, by cyclic Jacobi rotations (Golub & Van
 * Loan, Matrix Computations, 8.5); the matrix is lost. To rounding: for n to some hundreds. */
void qn_eigenvalues(double *matrix, int64_t n, double *out);

#endif
