#!/usr/bin/env bash
# qemu.sh [debian12]: prints the command, one word a line, that runs a QEMU which can create the generic vhost-user device.
#
# That is the machine's own where it can (QEMU 10.2 and later; a few before), else a private one: Debian trixie's
# backport, unpacked with the libraries it needs into the cache and run through its own dynamic loader. With
# `debian12` it is that release's QEMU 7.2, which has vhost-user-blk but no generic device.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/debian.sh"

make_qemu() {
  dependencies=yes debian_unpack "$1" "$2" qemu-system-x86
  rm -rf "$1/usr/share/doc" "$1/usr/share/man" "$1/usr/share/locale"
}

# private_qemu NAME SUITES
private_qemu() {
  local root libraries loader
  root=$(artefact "$1" "$(hash_of "$lab/qemu.sh" "$lab/debian.sh")" make_qemu "$2")
  libraries=$root/usr/lib/x86_64-linux-gnu
  # Where it is depends on whether the release has merged /lib into /usr.
  loader=$(find "$root" -name ld-linux-x86-64.so.2 -path '*x86_64-linux-gnu*' -type f)
  printf '%s\n' env "QEMU_MODULE_DIR=$libraries/qemu" "$loader" \
    --library-path "$libraries:$root/lib/x86_64-linux-gnu" --argv0 qemu-system-x86_64 "$root/usr/bin/qemu-system-x86_64" \
    -L "$root/usr/share/qemu" -L "$root/usr/share/seabios"
}

# Really creates the device: some versions list one that they then refuse. "properties" of a device that cannot be
# created by a user end in an error; a chardev that is missing is the only complaint of one that can.
can_create_device() {
  local answer
  answer=$(LC_ALL=C timeout 20 "$@" -accel tcg -machine q35 -nodefaults -display none -S \
    -device vhost-user-test-device-pci,virtio-id=13,num_vqs=3,vq_size=256,config_size=64 </dev/null 2>&1) || true
  [[ $answer == *chardev* ]]
}

if [ "${1:-}" = debian12 ]; then
  private_qemu qemu-debian12 bookworm
elif machine=$(command -v qemu-system-x86_64) && can_create_device "$machine"; then
  echo "$machine"
else
  private_qemu qemu 'trixie-backports trixie'
fi
