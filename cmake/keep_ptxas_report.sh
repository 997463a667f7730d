#!/bin/sh
# keep_ptxas_report.sh NVCC ARGUMENT...: compiles, and keeps what ptxas says of each kernel in
# OBJECT.ptxas, which is there when the object is; what else nvcc says goes to stderr. NVCC may be a
# launcher, with nvcc and its arguments behind it.
object=
previous=
for argument; do
    [ "$previous" != -o ] || object=$argument
    previous=$argument
done
[ "$object" ] || exec "$@"
status=0
"$@" 2>"$object.ptxas" || status=$?
grep -v '^ptxas info\|bytes stack frame, ' "$object.ptxas" >&2
[ $status = 0 ] || rm -f "$object.ptxas"
exit $status
