#!/usr/bin/env bash
# microvm-tools.sh KERNEL-FOLDER: prints the path of an archive to put behind the initramfs of one of Debian's kernels, making
# it first when it is not there: virtio_mmio, whose devices QEMU's microvm has, and microvm-check, which uses them. Exit
# status 3: that kernel's packages cannot be fetched here.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/debian.sh"
. "$lab/guest-modules.sh"

make_microvm_tools() {
  local folder=$1 release=$2 image=$1/image root=$1/root
  debian_unpack "$image" trixie "linux-image-$release" || return 3
  mkdir -p "$root/tools" "$folder/modules"
  touch "$folder/modules/load"
  collect_module "$folder" "$image" virtio_mmio
  mv "$folder"/modules/*.ko "$root/tools/"
  cp "$lab/microvm-check" "$root/tools/"
  chmod 755 "$root/tools"/*
  (cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible | gzip -n -1) \
    >"$folder/microvm-tools.gz"
  rm -rf "$image" "$root" "$folder/modules"
}

release=$(cat "$1/release")
tools=$(artefact microvm-tools "$(hash_of "$release" "$lab"/{microvm-tools.sh,microvm-check,guest-modules.sh,debian.sh})" \
  make_microvm_tools "$release")
echo "$tools/microvm-tools.gz"
