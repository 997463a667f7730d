/* suite.c: the experiments that were asked for, one after the other. */
#include "planted/experiment.h"

static qn_status (*const experiments[QN_PLANTED_EXPERIMENTS])(qn_garden *) = {
    qn_planted_induction, qn_planted_offset, qn_planted_synonyms, qn_planted_noise,
    qn_planted_invariants};

qn_status qn_planted_run(const qn_planted_options *options, const qn_planted_hooks *hooks,
                         qn_planted_result *out) {
    qn_garden garden = {.options = options, .hooks = hooks, .result = out};
    qn_status status = QN_OK;
    *out = (qn_planted_result){0};
    for (int i = 0; i < QN_PLANTED_EXPERIMENTS && !status; i++) {
        if (!options->run[i]) continue;
        status = qn_context(experiments[i](&garden), "T%d", i + 1);
    }
    qn_trained_free(&garden.copier);
    qn_trained_free(&garden.synonyms);
    return status;
}
