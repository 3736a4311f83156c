#!/usr/bin/env bash
# block-tools.sh PROGRAM: prints the command, one word a line, that runs QEMU's qemu-io, qemu-img or qemu-storage-daemon
# with its client of vhost-user disks (libblkio): Debian trixie's, unpacked with the libraries they need into the cache
# and run through their own dynamic loader.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/debian.sh"

make_block_tools() {
  dependencies=yes debian_unpack "$1" trixie qemu-utils qemu-block-extra
  rm -rf "$1/usr/share"
}

root=$(artefact block-tools "$(hash_of "$lab/block-tools.sh" "$lab/debian.sh")" make_block_tools)
libraries=$root/usr/lib/x86_64-linux-gnu
loader=$(find "$root" -name ld-linux-x86-64.so.2 -path '*x86_64-linux-gnu*' -type f)
[ -x "$root/usr/bin/$1" ] || die "block-tools.sh: $1 is none of Debian's qemu-utils"
printf '%s\n' env "QEMU_MODULE_DIR=$libraries/qemu" "$loader" --library-path "$libraries" --argv0 "$1" "$root/usr/bin/$1"
