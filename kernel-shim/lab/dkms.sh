#!/usr/bin/env bash
# dkms.sh KERNEL-FOLDER: builds the driver for a stock kernel the way DKMS does on a user's machine, with Debian's dkms
# and nothing installed, and says what it built.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/debian.sh"

driver=$lab/..

make_dkms() {
  debian_unpack "$1/package" trixie dkms
  mv "$1/package/usr/sbin/dkms" "$1/dkms"
  rm -rf "$1/package"
  # What dkms asks of kmod where nothing is installed: that a module was built is seen from its file.
  mkdir "$1/bin"
  printf '#!/bin/sh\nexit 0\n' | tee "$1/bin/modinfo" "$1/bin/depmod" "$1/bin/lsmod" "$1/bin/modprobe" >/dev/null
  chmod 755 "$1/bin"/*
}

kernel=${1:?usage: dkms.sh KERNEL-FOLDER}
dkms=$(artefact dkms "$(hash_of "$lab/dkms.sh" "$lab/debian.sh")" make_dkms)
version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$driver/dkms.conf")
work=$(mktemp -d "$cache/.dkms.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/source" "$work/tree" "$work/install"
cp -R "$driver" "$work/source/virtio_tmem-$version"
PATH=$kernel/tools:$dkms/bin:$PATH bash "$dkms/dkms" build "virtio_tmem/$version" -k "$(cat "$kernel/release")" \
  --kernelsourcedir "$(realpath "$kernel/build")" --sourcetree "$work/source" --dkmstree "$work/tree" \
  --installtree "$work/install" </dev/null >"$work/log" 2>&1 || {
  cat "$work/log" "$work"/tree/virtio_tmem/"$version"/build/make.log >&2 || true
  die "dkms does not build the driver for $(cat "$kernel/release")"
}
module=$(find "$work/tree" -name 'virtio_tmem.ko*' -type f)
[ -n "$module" ] || die "dkms built no module for $(cat "$kernel/release")"
echo "${module##*/} of $(stat -c %s "$module") bytes"
