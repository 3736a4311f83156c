#!/usr/bin/env bash
# in-tree-kernel.sh VERSION-in-tree: prints the folder of a guest kernel with the driver built in, making it first when
# it is not there:
#
#   bzImage   the kernel
#   modules/  none, but `load`, which names none
#   corpus    as kernel.sh makes it
#
# Exit status 3: the kernel's source cannot be fetched here.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/kernel-source.sh"

make_in_tree_kernel() {
  local folder=$1 tree=$2
  cp -a --reflink=auto "$tree" "$folder/build"
  bash "$lab/in-tree.sh" "$folder/build"
  cd "$folder/build"
  export KBUILD_BUILD_USER=tmemd KBUILD_BUILD_HOST=lab LC_ALL=C
  echo CONFIG_VIRTIO_TMEM=y >>.config
  make olddefconfig
  grep -qxF CONFIG_VIRTIO_TMEM=y .config
  # objtool is made anew, because its folder has moved; what it has checked is not.
  make -j"$(nproc)" prepare
  find tools/objtool -type f -exec touch -r "$tree/tools/objtool/objtool" {} +
  make -j"$(nproc)" bzImage
  cp arch/x86/boot/bzImage "$folder/bzImage"
  make_corpus "$folder/corpus"
  mkdir "$folder/modules"
  touch "$folder/modules/load"
  rm -rf "$folder/build"
}

kernel=${1:?usage: in-tree-kernel.sh VERSION-in-tree}
tree=$(bash "$lab/source-tree.sh" "${kernel%-in-tree}")
mapfile -t driver < <(find "$lab/.." -maxdepth 1 -type f \( -name '*.[ch]' -o -name 'K*' -o -name features.sh \) | LC_ALL=C sort)
artefact "kernel-$kernel" \
  "$(hash_of "$lab"/{in-tree-kernel,in-tree}.sh "$tree" "${driver[@]}" "$lab/../include/uapi/linux/virtio_tmem.h")" \
  make_in_tree_kernel "$tree"
