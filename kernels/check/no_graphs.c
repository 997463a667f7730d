#include "check/no_graphs.h"

static qn_status refuse(void) {
    return qn_error(QN_CODE_UNSUPPORTED, "this backend records no graphs: its device_info says so");
}

qn_status qn_no_capture_begin(qn_stream *stream) {
    (void)stream;
    return refuse();
}

qn_status qn_no_capture_end(qn_stream *stream, qn_graph **out) {
    (void)stream;
    *out = NULL;
    return refuse();
}

qn_status qn_no_graph_launch(qn_stream *stream, qn_graph *graph) {
    (void)stream, (void)graph;
    return refuse();
}

void qn_no_graph_destroy(qn_graph *graph) { (void)graph; }
