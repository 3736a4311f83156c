#!/usr/bin/env bash
# source-tree.sh VERSION: prints the folder of a kernel's source in bookworm, configured and prepared as far as building
# one folder of its drivers needs. Not enough for a whole kernel. Exit status 3: it cannot be fetched here.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/debian.sh"

config='CONFIG_64BIT=y
CONFIG_SMP=y
CONFIG_PCI=y
CONFIG_MODULES=y
CONFIG_VIRTIO_MENU=y
CONFIG_VIRTIO_PCI=y
CONFIG_BLOCK=y
CONFIG_BLK_DEV=y
CONFIG_SWAP=y
CONFIG_KPROBES=y
CONFIG_DEBUG_KERNEL=y
CONFIG_KALLSYMS=y
CONFIG_KALLSYMS_ALL=y
CONFIG_DEBUG_FS=y'

make_source_tree() {
  local folder=$1 top=linux-source-$2
  debian_unpack "$folder/package" bookworm "$top" || return 3
  tar -xf "$folder/package/usr/src/$top.tar.xz" --strip-components=1 -C "$folder" --wildcards '*/Kconfig*' \
    "$top"/{Makefile,Kbuild,scripts,include,kernel,arch/x86} "$top"/drivers/{Makefile,virtio} \
    "$top"/tools/{Makefile,arch/x86,build,include,lib,objtool,scripts}
  rm -rf "$folder/package"
  cd "$folder"
  export LC_ALL=C
  make tinyconfig
  echo "$config" >>.config
  make olddefconfig
  while read -r line; do grep -qxF -- "$line" .config; done <<<"$config"
  make -j"$(nproc)" modules_prepare
}

version=${1:?usage: source-tree.sh VERSION}
artefact "source-$version" "$(hash_of "$lab/source-tree.sh" "$lab/debian.sh" "$(gcc -dumpfullversion)")" make_source_tree \
  "$version"
