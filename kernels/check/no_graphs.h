/* no_graphs.h: the graphs of a backend that has none: each call but destroying is refused. */
#ifndef QUERN_CHECK_NO_GRAPHS_H
#define QUERN_CHECK_NO_GRAPHS_H

#include "quern/ops.h"

qn_status qn_no_capture_begin(qn_stream *);
qn_status qn_no_capture_end(qn_stream *, qn_graph **out);
qn_status qn_no_graph_launch(qn_stream *, qn_graph *);
void qn_no_graph_destroy(qn_graph *);

#endif
