#!/usr/bin/env bash
# own-kernel.sh IMAGE BUILD: prints a folder that makes a guest kernel of somebody's own build: what stock-kernel.sh
# makes of Debian's, with BUILD as it is, and so the compiler it was built with.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/guest-modules.sh"

# Its first half headers, its second the image, each as often as it takes.
make_own_corpus() {
  local image=$1 build=$2 file=$3 half_bytes=$((4 * 1024 * 1024))
  find -L "$build/include" -name '*.h' -print0 | LC_ALL=C sort -z | xargs -0 cat >"$file.text"
  for half in "$file.text" "$image"; do
    [ -s "$half" ]
    while cat "$half"; do :; done 2>/dev/null | head -c $half_bytes >>"$file"
  done
  rm "$file.text"
}

make_own_kernel() {
  local folder=$1 image=$2 build=$3
  cp "$image" "$folder/bzImage"
  ln -s "$build" "$folder/build"
  collect_modules "$folder" "$build"
  make_own_corpus "$image" "$build" "$folder/corpus"
}

image=$(realpath "${1:?usage: own-kernel.sh IMAGE BUILD}")
build=$(realpath "${2:?usage: own-kernel.sh IMAGE BUILD}")
[ -f "$image" ] || die "$image is no kernel image"
[ -f "$build/include/config/kernel.release" ] || die "$build is no build folder of a kernel: no include/config/kernel.release in it"
artefact own-kernel "$(hash_of "$lab/own-kernel.sh" "$lab/guest-modules.sh" "$image" "$build" "$build/.config" "$build/Module.symvers")" \
  make_own_kernel "$image" "$build"
