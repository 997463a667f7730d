// planted_model.h: a model whose heads attend by distance alone, to where a test says.
#ifndef QUERN_TESTS_PLANTED_MODEL_H
#define QUERN_TESTS_PLANTED_MODEL_H

#include <cmath>
#include <vector>

#include "harness/small_model.h"
#include "quern/probe.h"

// Reads a parameter, lets `change` work on it, and writes it back.
template <class Change>
void change_param(SmallModel &m, qn_role role, int64_t layer, Change change) {
    const qn_param *p = qn_params_find(m.params(), role, layer);
    ASSERT_NE(p, nullptr);
    std::vector<float> all = m.buffer(m.params_id());
    std::vector<float> values(all.begin() + p->offset, all.begin() + p->offset + p->count);
    change(values);
    m.set_param(*p, values);
}

inline void scale_param(SmallModel &m, qn_role role, int64_t layer, float factor) {
    change_param(m, role, layer, [&](std::vector<float> &v) {
        for (float &x : v) x *= factor;
    });
}

// q and k of every head are the same for all tokens: biases, and matrices of zeros. The score at
// distance Δ is strength·Σ cos(θ(Δ − distance)) over the frequencies, largest at `distance`.
inline void plant_distance(SmallModel &m, int64_t layer, double distance, double strength) {
    const int64_t D = m.config.head_dim, half = D / 2;
    scale_param(m, QN_Q_W, layer, 0);
    scale_param(m, QN_K_W, layer, 0);
    change_param(m, QN_Q_B, layer, [&](std::vector<float> &v) {
        for (size_t i = 0; i < v.size(); i++)
            v[i] = (int64_t)i % D < half ? (float)(strength * std::sqrt((double)D)) : 0.0f;
    });
    change_param(m, QN_K_B, layer, [&](std::vector<float> &v) {
        for (size_t i = 0; i < v.size(); i++) {
            const int64_t d = (int64_t)i % D, c = d % half;
            const double angle =
                distance * std::pow(m.config.rope_theta, -(double)c / (double)half);
            v[i] = (float)(d < half ? std::cos(angle) : std::sin(angle));
        }
    });
}

inline double planted_score(const qn_config &c, double planted, double strength, int64_t distance) {
    const int64_t half = c.head_dim / 2;
    double sum = 0;
    for (int64_t i = 0; i < half; i++) {
        const double theta = std::pow(c.rope_theta, -(double)i / (double)half);
        sum += std::cos(theta * ((double)distance - planted));
    }
    return strength * sum;
}

#endif
