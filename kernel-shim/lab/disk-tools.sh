#!/usr/bin/env bash
# disk-tools.sh: prints the path of an archive to put behind a guest's initramfs, making it first when it is not there:
# fio, mke2fs, e2fsck and debugfs from Debian trixie with the libraries they need, and disk-check, which uses them.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/debian.sh"

programs=(usr/bin/fio usr/sbin/mke2fs usr/sbin/e2fsck usr/sbin/debugfs)

# libraries_of ROOT PROGRAM ...: what the loader of that root would load, itself included.
libraries_of() {
  local root=$1 libraries=$1/usr/lib/x86_64-linux-gnu loader=$1/usr/lib64/ld-linux-x86-64.so.2
  shift
  echo "$loader"
  local program
  for program; do "$loader" --library-path "$libraries:$libraries/ceph" --list "$program"; done |
    sed -nE 's/.* => (\/[^ ]*) .*/\1/p' | LC_ALL=C sort -u
}

make_disk_tools() {
  local folder=$1 debian=$1/debian root=$1/root program library
  dependencies=yes debian_unpack "$debian" trixie fio e2fsprogs
  mkdir -p "$root"/{tools,etc,lib/x86_64-linux-gnu,lib64}
  for program in "${programs[@]}"; do cp "$debian/$program" "$root/tools/"; done
  libraries_of "$debian" "${programs[@]/#/$debian/}" >"$folder/libraries"
  while read -r library; do cp -L "$library" "$root/lib/x86_64-linux-gnu/"; done <"$folder/libraries"
  mv "$root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" "$root/lib64/"
  cp "$debian/etc/mke2fs.conf" "$root/etc/"
  cp "$lab/disk-check" "$root/tools/"
  chmod 755 "$root/tools"/*
  (cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible | gzip -n -1) \
    >"$folder/disk-tools.gz"
  rm -rf "$debian" "$root"
}

tools=$(artefact disk-tools "$(hash_of "$lab"/{disk-tools.sh,disk-check,debian.sh})" make_disk_tools)
echo "$tools/disk-tools.gz"
