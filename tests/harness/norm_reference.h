// norm_reference.h: RMSNorm and LayerNorm over dense rows, forward and backward.
#ifndef QUERN_TESTS_NORM_REFERENCE_H
#define QUERN_TESTS_NORM_REFERENCE_H

#include <cmath>
#include <vector>

namespace reference {

template <typename T> struct Norm {
    bool centred; // LayerNorm
    size_t c;     // elements of a row
    T eps;
    std::vector<T> x, weight, bias, dout; // in
    std::vector<T> out, mean, rstd;       // forward
    std::vector<T> dx, dweight, dbias;    // backward

    void forward() {
        size_t rows = x.size() / c;
        out.assign(x.size(), 0);
        mean.assign(rows, 0);
        rstd.assign(rows, 0);
        for (size_t n = 0; n < rows; n++) {
            const T *row = &x[n * c];
            T squares = 0;
            if (centred) {
                for (size_t j = 0; j < c; j++) mean[n] += row[j];
                mean[n] /= (T)c;
            }
            for (size_t j = 0; j < c; j++) squares += (row[j] - mean[n]) * (row[j] - mean[n]);
            rstd[n] = 1 / std::sqrt(squares / (T)c + eps);
            for (size_t j = 0; j < c; j++)
                out[n * c + j] = (row[j] - mean[n]) * rstd[n] * weight[j] + (centred ? bias[j] : 0);
        }
    }

    // From mean and rstd as they stand.
    void backward() {
        size_t rows = x.size() / c;
        dx.assign(x.size(), 0);
        dweight.assign(c, 0);
        dbias.assign(c, 0);
        for (size_t n = 0; n < rows; n++) {
            T mean_g = 0, mean_gx = 0;
            auto normal = [&](size_t j) { return (x[n * c + j] - mean[n]) * rstd[n]; };
            for (size_t j = 0; j < c; j++) {
                T g = dout[n * c + j] * weight[j];
                mean_g += g / (T)c;
                mean_gx += g * normal(j) / (T)c;
                dweight[j] += dout[n * c + j] * normal(j);
                dbias[j] += dout[n * c + j];
            }
            for (size_t j = 0; j < c; j++)
                dx[n * c + j] = rstd[n] * (dout[n * c + j] * weight[j] - (centred ? mean_g : 0) -
                                           normal(j) * mean_gx);
        }
    }
};

} // namespace reference

#endif
