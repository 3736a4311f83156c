#!/usr/bin/env bash
# All tests: `npm test`, or `npm test -- FILTER...` for the files whose path contains one of the filters. A filter
# may name a native test's source too: `npm test -- test/native/store_put`.
# The set-up before it has built the addon and the TypeScript; here is built what the chosen tests run and, for all
# tests, what the guests boot is made; then vitest runs them and prints the closing line.
set -euo pipefail
cd "$(dirname "$0")/.."

natives=() # programs of test/native that a filter names
filters=()
for filter; do
  mapfile -t named < <(find test/native test/driver-ring -name '*_test.cc' -path "*$filter*" -printf '%f\n' | sed 's/\.cc$//')
  if [ ${#named[@]} -gt 0 ] && [ -z "$(find test -name '*.test.ts' -path "*$filter*" -print -quit)" ]; then
    natives+=("${named[@]}")
    filters+=(test/native/native.test.ts)
  else
    filters+=("$filter")
  fi
done

# Whether a file that runs is in that folder of test/.
chosen() {
  [ ${#filters[@]} -gt 0 ] || return 0
  local filter
  for filter in "${filters[@]}"; do
    [ -z "$(find "test/$1" -name '*.test.ts' -path "*$filter*" -print -quit)" ] || return 0
  done
  return 1
}

# What ninja is to build in FOLDER: all, or of the programs that filters name those that this build has.
targets_in() {
  [ ${#natives[@]} -gt 0 ] || {
    echo all
    return
  }
  ninja -C "$1" -t targets all | grep -oxF "$(printf '%s: phony\n' "${natives[@]}")" | cut -d : -f 1 || true
}

# build WHAT FOLDER COMPILER SANITIZER
build() {
  local what=$1 folder=$2 compiler=$3 sanitizer=$4 log=$2/build.log
  echo "building $what" >&2
  mkdir -p "$folder"
  cmake -S addon -B "$folder" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" -DTMEMD_SANITIZE="$sanitizer" >"$log" 2>&1 &&
    targets_in "$folder" | xargs -r ninja -C "$folder" >>"$log" 2>&1 || {
    tail -n 40 "$log" >&2
    exit 1
  }
}

if chosen native || chosen bench; then build 'the native tests and benches' build c++ ''; fi
if chosen native; then
  build 'the native tests under the address sanitizer' build/address c++ address
  build 'the native tests under the thread sanitizer' build/thread c++ thread
fi
# libFuzzer is a part of clang.
if chosen fuzz; then build 'the fuzzers' build/fuzzer clang++ fuzzer; fi

# Of a filtered run's tests each makes what it needs. Coverage is of the whole; a filtered run goes without.
if [ $# -eq 0 ]; then
  timeout 2700 node dist/kernel-shim/lab/make-all.js || echo "tests go on without all of what guests boot" >&2
  filters=(--coverage)
fi
export TMEMD_NATIVE_TESTS="${natives[*]}"
exec npx vitest run --config test/vitest.config.ts "${filters[@]}"
