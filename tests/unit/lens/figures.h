// figures.h: figures of a probe, found by what they are of.
#ifndef QUERN_TESTS_FIGURES_H
#define QUERN_TESTS_FIGURES_H

#include <cmath>
#include <string>
#include <vector>

#include "harness/status.h"
#include "quern/lens.h"

class Figures {
  public:
    Figures() = default;
    ~Figures() { qn_lens_figures_free(&list); }
    Figures(const Figures &) = delete;
    Figures &operator=(const Figures &) = delete;

    qn_lens_figure at(const std::string &metric, int64_t layer, int64_t head = -1,
                      int64_t at = -1) const {
        for (int64_t i = 0; i < list.count; i++) {
            const qn_lens_figure &f = list.items[i];
            if (f.metric == metric && f.layer == layer && f.head == head && f.at == at) return f;
        }
        ADD_FAILURE() << "no " << metric << " of layer " << layer << ", head " << head;
        return {layer, head, "", NAN, NAN, 0, at, NAN};
    }
    double value(const std::string &metric, int64_t layer, int64_t head = -1,
                 int64_t at = -1) const {
        return this->at(metric, layer, head, at).value;
    }

    std::vector<qn_lens_figure> all(const std::string &metric, int64_t layer, int64_t head) const {
        std::vector<qn_lens_figure> out;
        for (int64_t i = 0; i < list.count; i++) {
            const qn_lens_figure &f = list.items[i];
            if (f.metric == metric && f.layer == layer && f.head == head) out.push_back(f);
        }
        return out;
    }

    qn_lens_figures list = {};
};

#endif
