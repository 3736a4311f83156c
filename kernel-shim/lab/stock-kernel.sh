#!/usr/bin/env bash
# stock-kernel.sh NAME: prints the folder of one of Debian's own kernels, fetching it first when it is not there.
#
#   bzImage   the kernel as Debian ships it
#   release   its `uname -r`
#   modules/  those of its modules that the lab's guest needs, and `load`: their names in the order to load them
#   build/    its headers, for building modules against
#   tools     the folder to put first in PATH for that: the compiler its headers ask for, and binutils
#   corpus    8 MiB of the kernel's headers and of its modules' machine code, which the guest's workload writes
#
# Headers, Kbuild's programs and the compiler come from the kernel's own release of Debian, whatever the machine runs,
# with the libraries they need. Each program's place is taken by a script that runs it through that release's
# dynamic loader. Exit status 3: the packages cannot be fetched here.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/debian.sh"
. "$lab/guest-modules.sh"

# The suites a kernel and its tools come from.
suites_of() {
  case $1 in
    6.1 | 6.1-generic) echo bookworm ;;
    6.12) echo trixie ;;
    7.x) echo trixie-backports trixie ;;
    *) die "no such stock kernel: $1" ;;
  esac
}

# How Debian names the build: made for clouds, or for any machine.
flavour_of() {
  case $1 in
    *-generic) echo amd64 ;;
    *) echo cloud-amd64 ;;
  esac
}

# The packages the kernel and its modules are in: from 7.x on one for each.
packages_of() {
  case $1 in
    7.x) echo linux-binary linux-modules ;;
    *) echo linux-image ;;
  esac
}

# Keeps what a module build runs; any other program of the release would hide the machine's own in PATH.
prune_root() {
  local root=$1 folder
  find "$root/usr/bin" -mindepth 1 ! -name 'x86_64-linux-gnu-*' ! -name 'gcc-*' \
    ! -name ld ! -name as ! -name ar ! -name nm ! -name objcopy ! -name objdump ! -name strip ! -name readelf -delete
  find "$root" -mindepth 1 -maxdepth 1 ! -name usr ! -name 'lib*' -exec rm -rf {} +
  find "$root/usr" -mindepth 1 -maxdepth 1 ! -name bin ! -name src ! -name 'lib*' -exec rm -rf {} +
  for folder in "$root/usr/lib" "$root/lib"; do
    if [ -d "$folder" ]; then
      find "$folder" -mindepth 1 -maxdepth 1 ! -name x86_64-linux-gnu ! -name gcc ! -name 'linux-kbuild-*' \
        -exec rm -rf {} +
    fi
  done
  find "$root" -name 'lto*' -path '*/gcc/*' -delete
}

# Every program becomes PROGRAM.elf, and PROGRAM a script that runs it through the loader of the same release.
wrap_programs() {
  local root=$1 loader program up
  loader=$(cd "$root" && find . -name ld-linux-x86-64.so.2 -type f)
  [ -n "$loader" ]
  find "$root" -type f -perm -u+x ! -name '*.so*' -print0 | while IFS= read -r -d '' program; do
    # A script, or a program that needs no loader.
    readelf -lW "$program" 2>/dev/null | grep -q INTERP || continue
    up=$(realpath --relative-to="$(dirname "$program")" "$root")
    mv "$program" "$program.elf"
    cat >"$program" <<EOF
#!/bin/sh
folder=\${0%/*}
root=\$folder/$up
exec "\$root/$loader" --library-path "\$root/lib/x86_64-linux-gnu:\$root/usr/lib/x86_64-linux-gnu" \\
  --argv0 "\$0" "\$folder/${program##*/}.elf" "\$@"
EOF
    chmod 755 "$program"
  done
}

# Debian's headers name one another by the place they are installed at.
relocate_headers() {
  local here='$(dir $(realpath $(firstword $(MAKEFILE_LIST))))..'
  sed -i "s|/usr/src/|$here/|" "$1/Makefile"
  # For type information, which a module for the lab has no use for.
  rm -f "$1/vmlinux"
}

# text in its first half, machine code in its second
make_corpus() {
  local root=$1 file=$2 half_bytes=$((4 * 1024 * 1024))
  find "$root"/usr/src/*-common/include -name '*.h' -print0 | LC_ALL=C sort -z | xargs -0 cat >"$file"
  truncate -s $half_bytes "$file"
  find "$root" -path '*/lib/modules/*/fs/*' -name '*.ko*' -print0 | LC_ALL=C sort -z |
    while IFS= read -r -d '' module; do
      case $module in *.xz) xz -dc "$module" ;; *) cat "$module" ;; esac
    done >"$file.code"
  [ "$(stat -c %s "$file.code")" -ge $half_bytes ]
  head -c $half_bytes "$file.code" >>"$file"
  rm "$file.code"
}

make_stock_kernel() {
  local folder=$1 suites=$2 packages=$3 flavour=$4 root=$1/root release
  dependencies=yes debian_unpack "$root" "$suites" "linux-headers-$flavour" || return 3
  release=$(cd "$root/usr/src" && echo linux-headers-*-"$flavour")
  release=${release#linux-headers-}
  # shellcheck disable=SC2086 # a list
  debian_unpack "$root" "$suites" $(printf "%s-$release " $packages) || return 3

  echo "$release" >"$folder/release"
  mv "$(find "$root" -path "*/vmlinuz*" -type f)" "$folder/bzImage"
  collect_modules "$folder" "$root"
  make_corpus "$root" "$folder/corpus"

  prune_root "$root"
  wrap_programs "$root"
  relocate_headers "$root/usr/src/linux-headers-$release"
  ln -s "root/usr/src/linux-headers-$release" "$folder/build"
  ln -s root/usr/bin "$folder/tools"
}

name=${1:?usage: stock-kernel.sh NAME}
suites=$(suites_of "$name")
artefact "stock-$name" \
  "$(hash_of "$lab/stock-kernel.sh" "$lab/guest-modules.sh" "$lab/debian.sh" "$suites")" make_stock_kernel "$suites" \
  "$(packages_of "$name")" "$(flavour_of "$name")"
