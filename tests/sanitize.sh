#!/usr/bin/env bash
# Builds the native core with sanitizers in a copy of the tree and runs the tests there.
#
#   tests/sanitize.sh [pytest arguments; default: all tests but those that measure, judge
#                                           the allocator, or run foreign programs: no use for a sanitizer]
#
# SANITIZER is "address" (the default: AddressSanitizer and UBSan) or "thread" (ThreadSanitizer). PYTHON names the
# interpreter (default: python on PATH), which has the test dependencies and Cython installed.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

tar --no-wildcards-match-slash --exclude='*.so' --exclude='__pycache__' --exclude='./_ext/*.c' --exclude='./build' --exclude='./.git' \
    --exclude='./.venv*' --exclude='./.*_cache' --exclude='./.hypothesis' -cf - . | tar -xf - -C "$copy"
cd "$copy"

# A report goes to a file: pytest's capture would swallow that of a run which aborts.
export PYTHONMALLOC=malloc PYTHONPATH="$copy" FASTXFER_REQUIRE_NATIVE=1
# Sanitizers look for crypt() when they start, and call what they found then when Python's crypt module is imported.
crypt=$("$python" -c 'import ctypes.util; print(ctypes.util.find_library("crypt") or "")')
case ${SANITIZER:-address} in
address)
    build=1
    command=(env LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so) $crypt"
        ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:log_path=$copy/report"
        UBSAN_OPTIONS="print_stacktrace=1:log_path=$copy/report")
    ;;
thread)
    build=thread
    # It cannot place its shadow memory wherever a random layout leaves room.
    command=(setarch "$(uname -m)" -R env LD_PRELOAD="$(gcc -print-file-name=libtsan.so) $crypt"
        TSAN_OPTIONS="allocator_may_return_null=1:die_after_fork=0:exitcode=0:log_path=$copy/report")
    ;;
*)
    echo "SANITIZER must be address or thread" >&2
    exit 2
    ;;
esac
PYTHONMALLOC='' FASTXFER_SANITIZE=$build "$python" setup.py -q build_ext --inplace

[ $# -gt 0 ] || set -- tests --ignore=tests/benchmarks --ignore=tests/guard --ignore=tests/web/test_file_manager.py \
    --ignore=tests/server/test_server_clients.py --ignore=tests/server/test_server_client_matrix.py -m "not allocator and not foreign" -n "${JOBS:-2}" --dist worksteal
status=0
"${command[@]}" "$python" -m pytest -q -p no:cacheprovider --timeout 600 -o faulthandler_timeout=590 "$@" || status=$?
if grep -qsE "ERROR: |runtime error: |WARNING: ThreadSanitizer" "$copy"/report*; then
    cat "$copy"/report*
    exit 1
fi
exit "$status"
