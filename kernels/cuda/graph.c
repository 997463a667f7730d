/* graph.c: calls on a stream, recorded once and launched as one. */
#include "backend.h"

/* A qn_graph is an instantiated graph of CUDA's. */
static cudaGraphExec_t exec_of(qn_graph *graph) { return (cudaGraphExec_t)(void *)graph; }

qn_status qn_cuda_capture_begin(qn_stream *stream) {
    QN_CUDA_TRY(cudaStreamBeginCapture(qn_cuda_handle(stream), cudaStreamCaptureModeThreadLocal),
                "beginning to record a graph");
    return QN_OK;
}

qn_status qn_cuda_capture_end(qn_stream *stream, qn_graph **out) {
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    *out = NULL;
    QN_CUDA_TRY(cudaStreamEndCapture(qn_cuda_handle(stream), &graph), "recording a graph");
    const cudaError_t error = cudaGraphInstantiateWithFlags(&exec, graph, 0);
    cudaGraphDestroy(graph);
    if (error) return qn_cuda_error(error, "making a recorded graph ready");
    *out = (qn_graph *)(void *)exec;
    return QN_OK;
}

qn_status qn_cuda_graph_launch(qn_stream *stream, qn_graph *graph) {
    QN_CUDA_TRY(cudaGraphLaunch(exec_of(graph), qn_cuda_handle(stream)), "launching a graph");
    return QN_OK;
}

void qn_cuda_graph_destroy(qn_graph *graph) {
    if (graph) cudaGraphExecDestroy(exec_of(graph));
}
