#!/usr/bin/env bash
# All tests: `npm test`, or `npm test -- FILTER...` for the files whose path contains one of the filters.
# The set-up before it has built the addon and the TypeScript; here the instrumented native tests are built and, for all
# tests, what the guests boot is made; then vitest runs every suite and prints the closing line.
set -euo pipefail
cd "$(dirname "$0")/.."

for sanitizer in address thread fuzzer; do
  compiler=c++
  what="the native tests under the $sanitizer sanitizer"
  # libFuzzer is a part of clang.
  [ $sanitizer != fuzzer ] || { compiler=clang++ what='the fuzzers'; }
  echo "building $what" >&2
  cmake -S addon -B "build/$sanitizer" -G Ninja -DCMAKE_CXX_COMPILER=$compiler -DTMEMD_SANITIZE="$sanitizer" >"build/$sanitizer.log" 2>&1 &&
    ninja -C "build/$sanitizer" >>"build/$sanitizer.log" 2>&1 || {
    tail -n 40 "build/$sanitizer.log" >&2
    exit 1
  }
done

# Of a filtered run's tests each makes what it needs. Coverage is of the whole; a filtered run goes without.
if [ $# -eq 0 ]; then
  timeout 2700 node dist/kernel-shim/lab/make-all.js || echo "tests go on without all of what guests boot" >&2
  set -- --coverage
fi
exec npx vitest run --config test/vitest.config.ts "$@"
