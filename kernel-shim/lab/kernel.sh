#!/usr/bin/env bash
# kernel.sh VERSION[-VARIANT]: prints the folder of a guest kernel, making it first when it is not there.
#
#   bzImage   the kernel
#   build/    its build tree, as far as building a module against it needs
#   config    what its configuration has beyond tinyconfig's
#   corpus    8 MiB of the kernel's own source text and machine code, which the guest's workload writes
#
# 5.10 is the last kernel series in Debian that lets a module register with both frontswap and cleancache: bullseye's
# source, `make tinyconfig` and kernel-5.10.config. A variant adds the lines of its own kernel-VERSION-VARIANT.config.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/kernel-source.sh"

# What no module build reads goes: it is nine tenths of the tree.
prune_tree() {
  find . \( -name '*.o' -o -name '*.a' -o -name '.*.cmd' \) ! -path './scripts/*' ! -path './tools/*' -delete
  find arch -mindepth 1 -maxdepth 1 ! -name x86 ! -name Kconfig -exec rm -rf {} +
  rm -rf Documentation LICENSES block crypto drivers fs ipc lib mm net samples security sound virt vmlinux \
    arch/x86/boot arch/x86/kvm
  find tools -mindepth 1 -maxdepth 1 ! -name objtool -exec rm -rf {} +
}

# make_kernel FOLDER VERSION CONFIGURATION
make_kernel() {
  local folder=$1 version=$2
  echo "$3" >"$folder/config"
  unpack_source "$folder/build" "$version"
  cd "$folder/build"
  export KBUILD_BUILD_USER=tmemd KBUILD_BUILD_HOST=lab LC_ALL=C
  configure "$folder/config"
  make -j"$(nproc)" bzImage modules
  cp arch/x86/boot/bzImage "$folder/bzImage"
  make_corpus "$folder/corpus"
  prune_tree
}

kernel=${1:-5.10}
version=${kernel%%-*}
configs=("$lab/kernel-$version.config")
[ "$kernel" = "$version" ] || configs+=("$lab/kernel-$kernel.config")
for config in "${configs[@]}"; do
  [ -f "$config" ] || die "no such guest kernel: $kernel"
done
# Read once: a file that is edited while the kernel is made is for the next.
configuration=$(cat "${configs[@]}")
artefact "kernel-$kernel" "$(hash_of "$lab"/kernel{,-source}.sh "$configuration" "$(gcc -dumpfullversion)")" \
  make_kernel "$version" "$configuration"
