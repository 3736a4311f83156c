# A kernel's source as Debian packages it: what the scripts that build from it share. Sourced after artefact.sh.
# shellcheck shell=bash

. "$lab/debian.sh"

# unpack_source TREE VERSION [TAR-OPTION ...]: from the release of Debian whose kernel that is. Status 3: it cannot be
# fetched here.
unpack_source() {
  local tree=$1 version=$2 suite
  shift 2
  case $version in
    5.10) suite=bullseye ;;
    6.1) suite=bookworm ;;
    *) die "no such kernel source: $version" ;;
  esac
  debian_unpack "$tree/.package" "$suite" "linux-source-$version" || return 3
  tar -xf "$tree/.package/usr/src/linux-source-$version.tar.xz" --strip-components=1 -C "$tree" "$@"
  rm -rf "$tree/.package"
}

# configure CONFIG...: `make tinyconfig` and these, in the current folder; no line of them may be lost.
configure() {
  local config line
  make tinyconfig
  cat "$@" >>.config
  make olddefconfig
  for config; do
    while read -r line; do
      case $line in
        CONFIG_* | '# CONFIG_'*) grep -qxF -- "$line" .config || {
          echo "the kernel's configuration does not take: $line"
          return 1
        } ;;
      esac
    done <"$config"
  done
}

# make_corpus FILE: text in its first half, machine code in its second.
make_corpus() {
  local half_bytes=$((4 * 1024 * 1024))
  find mm kernel fs/ext4 fs/xfs fs/btrfs -name '*.c' -print0 | LC_ALL=C sort -z | xargs -0 cat >"$1"
  truncate -s $half_bytes "$1"
  head -c $half_bytes vmlinux >>"$1"
}
