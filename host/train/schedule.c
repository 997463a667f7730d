#include "train/schedule.h"

#include <math.h>

static double share_after_warmup(const qn_train_options *o, int64_t step) {
    const double steps = (double)o->steps, warmup = (double)o->warmup, at = (double)(step - 1);
    if (o->schedule == QN_SCHEDULE_CONSTANT) return 1;
    double fall; /* 0: at the top, 1: at the end */
    if (o->schedule == QN_SCHEDULE_COSINE) {
        const double pi = 3.14159265358979323846;
        fall = steps > warmup ? 0.5 * (1 - cos(pi * (at - warmup) / (steps - warmup))) : 0;
    } else {
        const double length = o->decay * steps;
        fall = length > 0 ? (at - (steps - length)) / length : 0;
    }
    fall = fmin(fmax(fall, 0), 1);
    return 1 - fall * (1 - o->min_lr);
}

double qn_learning_rate(const qn_train_options *o, int64_t step) {
    if (step <= o->warmup) return o->lr * (double)step / (double)o->warmup;
    return o->lr * share_after_warmup(o, step);
}
