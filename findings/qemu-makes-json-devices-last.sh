#!/usr/bin/env bash
# QEMU 11.1 (trixie-backports): a `-device` given as JSON is made after every `-device` given as a list of words.
#
# A guess: devices are made in the order of the command line, as QEMU 7.2 (Debian 12) does, in either form.
# Seen: of two that name no slot, JSON first on the command line, the one in words gets slot 1 and the one in JSON slot 2;
#   both in JSON keep their order.
# What writes JSON and counts on its own order, as libvirt does for its root ports, finds a slot taken by a device in words
# from the end of the command line (libvirt's qemu:commandline): "slot 1 function 0 not available".
set -euo pipefail
version='1:11.1.'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"/{debs/partial,lists/partial,root}
: >"$folder/status"
mirror=$(LC_ALL=C apt-get update --print-uris | sed -nE "s|^'(.*)/dists/[a-z]+/InRelease' .*|\1|p" | head -n 1)
for suite in trixie trixie-backports; do
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >>"$folder/sources"
done
apt=(apt-get -q -t trixie-backports -o Dir::Etc::SourceList="$folder/sources" -o Dir::Etc::SourceParts=/dev/null
  -o Dir::State="$folder" -o Dir::State::Lists="$folder/lists" -o Dir::State::status="$folder/status"
  -o Dir::Cache="$folder" -o Dir::Cache::Archives="$folder/debs" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
  -o Debug::NoLocking=true -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o Acquire::Languages=none)
export LC_ALL=C
{ "${apt[@]}" update && "${apt[@]}" install -y --download-only qemu-system-x86; } >"$folder/log" 2>&1 || {
  tail -n 5 "$folder/log" >&2
  exit 1
}
for deb in "$folder"/debs/*.deb; do dpkg-deb --extract "$deb" "$folder/root"; done
found=$(dpkg-deb --field "$folder"/debs/qemu-system-x86_*.deb Version)
[[ $found == "$version"* ]] || {
  echo "QEMU is $found, this is about $version" >&2
  exit 1
}
libraries=$folder/root/usr/lib/x86_64-linux-gnu
# slots DEVICE DEVICE: "ID SLOT" of each, in the order of slots.
slots() {
  printf 'info pci\nquit\n' | QEMU_MODULE_DIR=$libraries/qemu timeout 60 "$libraries/ld-linux-x86-64.so.2" \
    --library-path "$libraries" "$folder/root/usr/bin/qemu-system-x86_64" -L "$folder/root/usr/share/qemu" \
    -L "$folder/root/usr/share/seabios" -machine q35,accel=tcg -nodefaults -display none -monitor stdio -S \
    -device "$1" -device "$2" |
    awk '/Bus .*device/ { slot = $4 + 0 } /id "(first|second)"/ { gsub(/[^a-z]/, "", $2); print $2, slot }'
}
mixed=$(slots '{"driver":"virtio-rng-pci","id":"first"}' 'virtio-rng-pci,id=second')
alike=$(slots '{"driver":"virtio-rng-pci","id":"first"}' '{"driver":"virtio-rng-pci","id":"second"}')
printf 'JSON, then words:\n%s\nJSON, then JSON:\n%s\n' "$mixed" "$alike"
[ "$mixed" = $'second 1\nfirst 2' ] || {
  echo 'no longer: the device in words comes first' >&2
  exit 1
}
[ "$alike" = $'first 1\nsecond 2' ] || {
  echo 'no longer: two devices in JSON keep their order' >&2
  exit 1
}
echo "QEMU $found behaves as described"
