#!/usr/bin/env bash
# libvirt.sh libvirtd FOLDER [PATH ...]
# libvirt.sh virsh FOLDER
# Prints the command, one word a line, that runs libvirtd with a root of its own in FOLDER (libvirt-root.sh), where it also
# sees each PATH; or virsh, its client. Both are Debian trixie-backports', with the QEMU that has the generic vhost-user
# device, unpacked into the cache with all they need.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/debian.sh"

make_libvirt() {
  dependencies=yes debian_unpack "$1" 'trixie-backports trixie' libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients \
    qemu-system-x86
  rm -rf "$1"/usr/share/{doc,man,locale,icons}
}

packages=$(artefact libvirt "$(hash_of "$lab/libvirt.sh" "$lab/debian.sh")" make_libvirt)
case $1 in
  libvirtd) printf '%s\n' bash "$lab/libvirt-root.sh" "$packages" "${@:2}" ;;
  virsh)
    libraries=$packages/usr/lib/x86_64-linux-gnu
    loader=$(find "$packages" -name ld-linux-x86-64.so.2 -path '*x86_64-linux-gnu*' -type f)
    printf '%s\n' "$loader" --library-path "$libraries:$libraries/systemd" --argv0 virsh "$packages/usr/bin/virsh" \
      --connect "qemu+unix:///system?socket=$2/root/run/libvirt/libvirt-sock"
    ;;
  *) die "libvirt.sh: $1 is neither libvirtd nor virsh" ;;
esac
