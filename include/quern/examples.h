/* examples.h: data of examples of one length, each read whole and apart from the others, instead of
 * running text: tasks with a question and an answer, synthetic experiments. */
#ifndef QUERN_EXAMPLES_H
#define QUERN_EXAMPLES_H

#include <stdint.h>

#include "quern/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The shape of the examples in a data folder, as "examples" of its data.json has it. A sequence of
 * training is one example: its tokens but the last are what the model reads, seq_len = length − 1,
 * its tokens but the first what it may have to predict. */
typedef struct qn_examples {
    int64_t length;    /* tokens of an example, at least 2; 0: the data are running text */
    int64_t *targets;  /* positions in an example, ascending, from 1, of the tokens that count
                               in the loss; NULL: all but the first */
    int64_t n_targets; /* of `targets` */
} qn_examples;

/* Targets of an example. */
int64_t qn_examples_targets(const qn_examples *examples);

/* Checks lengths and positions; `name` (a file) begins the message of an error. */
qn_status qn_examples_check(const qn_examples *examples, const char *name);

/* Examples in host memory, one after the other. */
typedef struct qn_example_split {
    const int32_t *tokens; /* (count, length), each in [0, vocab_size) */
    int64_t count;         /* examples */
} qn_example_split;

/* Writes a data folder that qn_dataset_open opens: shards of both splits and data.json, into a
 * folder that is there, or is made, and holds no other data. */
qn_status qn_examples_write(const char *dir, const qn_examples *examples, int64_t vocab_size,
                            qn_example_split train, qn_example_split val);

#ifdef __cplusplus
}
#endif
#endif
