#!/usr/bin/env bash
# source-tree.sh VERSION: prints the folder of a kernel's source tree, built small, with all that the driver needs but
# the driver. It is not to be written to; in a copy little is left to build. Exit status 3: the source cannot be fetched
# here.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/kernel-source.sh"

# Half of the source, of which nothing is built. Kconfig and Makefiles are read all the same.
unused=('Documentation/*.rst' {sound,drivers/{gpu,net,media,staging,scsi}}'/*.[ch]')

make_source_tree() {
  local folder=$1 version=$2 config=$3
  unpack_source "$folder" "$version" "${unused[@]/#/--exclude=*/}"
  cd "$folder"
  find arch -mindepth 2 -type f ! -path 'arch/x86/*' ! -name 'Kconfig*' -delete
  export KBUILD_BUILD_USER=tmemd KBUILD_BUILD_HOST=lab LC_ALL=C
  configure "$config"
  make -j"$(nproc)" bzImage modules
}

version=${1:?usage: source-tree.sh VERSION}
config=$lab/source-tree.config
artefact "source-$version" "$(hash_of "$lab"/{source-tree,kernel-source,debian}.sh "$config" "$(gcc -dumpfullversion)")" \
  make_source_tree "$version" "$config"
