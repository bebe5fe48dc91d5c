#!/usr/bin/env bash
# Builds the native core with AddressSanitizer and UBSan in a copy of the tree and runs the tests there.
#
#   tests/sanitize.sh [pytest arguments; default: tests]
#
# PYTHON names the interpreter (default: python on PATH), which has the test dependencies and Cython installed.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

tar --no-wildcards-match-slash --exclude='*.so' --exclude='__pycache__' --exclude='./_ext/*.c' --exclude='./build' --exclude='./.git' \
    --exclude='./.venv' --exclude='./.*_cache' --exclude='./.hypothesis' -cf - . | tar -xf - -C "$copy"
cd "$copy"
FASTXFER_SANITIZE=1 FASTXFER_REQUIRE_NATIVE=1 "$python" setup.py -q build_ext --inplace

# A report goes to a file: pytest's capture would swallow that of a run which aborts.
status=0
env LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
    ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:log_path=$copy/report" UBSAN_OPTIONS="print_stacktrace=1:log_path=$copy/report" \
    PYTHONMALLOC=malloc PYTHONPATH="$copy" \
    "$python" -m pytest -q -p no:cacheprovider "${@:-tests}" || status=$?
if grep -qsE "ERROR: |runtime error: " "$copy"/report*; then
    cat "$copy"/report*
    exit 1
fi
exit "$status"
