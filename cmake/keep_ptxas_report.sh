#!/bin/sh
# keep_ptxas_report.sh NVCC ARGUMENT...: compiles, and keeps what ptxas says of each kernel in
# OBJECT.ptxas; what else nvcc says goes to stderr.
object=
previous=
for argument; do
    [ "$previous" != -o ] || object=$argument
    previous=$argument
done
status=0
"$@" 2>"$object.ptxas" || status=$?
grep -v '^ptxas info\|bytes stack frame, ' "$object.ptxas" >&2
exit $status
