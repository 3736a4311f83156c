#!/usr/bin/env bash
# initramfs.sh KERNEL-FOLDER: prints the path of the guest's initramfs, made first when it is not there: busybox, init,
# the workloads with their corpus, and the driver built against that kernel's tree, unless the kernel has it in it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
. "$lab/debian.sh"

driver=$lab/..

make_busybox() {
  debian_unpack "$1/package" trixie busybox-static
  mv "$1/package/usr/bin/busybox" "$1/busybox"
  rm -rf "$1/package"
}

make_module() {
  local folder=$1 kernel=$2
  cp -R "$driver"/*.[ch] "$driver/Kbuild" "$driver/features.sh" "$driver/include" "$folder/"
  cp -R "$lab/stall" "$folder/"
  # A stock kernel brings the compiler its headers ask for.
  if [ -d "$kernel/tools" ]; then PATH=$kernel/tools:$PATH; fi
  LC_ALL=C make -C "$kernel/build" M="$folder" -j"$(nproc)" modules
  if grep -qx CONFIG_KPROBES=y "$kernel/build/.config"; then
    LC_ALL=C make -C "$kernel/build" M="$folder/stall" modules
    mv "$folder/stall/stall.ko" "$folder/"
  fi
  find "$folder" -mindepth 1 ! -name '*.ko' -delete 2>/dev/null || true
}

make_initramfs() {
  local folder=$1 kernel=$2 busybox=$3 module=$4 root=$1/root program
  mkdir -p "$root"/{bin,dev,proc,sys,modules,mnt,tmp}
  cp "$busybox/busybox" "$root/bin/busybox"
  ln -s busybox "$root/bin/sh"
  gcc -std=gnu11 -O2 -Wall -Wextra -static -s -o "$root/bin/swap-on" "$lab/swap_on.c"
  gcc -std=gnu11 -O2 -Wall -Wextra -static -s -o "$root/bin/kexec" "$lab/kexec.c"
  for program in anonymous files forks; do
    gcc -std=gnu11 -O2 -Wall -Wextra -static -s -o "$root/bin/$program" \
      "$lab"/workload/{$program,content,order,program}.c -lpthread
  done
  cp "$kernel/corpus" "$root/corpus"
  cp "$lab/init" "$root/init"
  cp "$lab"/{counters,disk_check,domain_check,life,takeover_check,stress} "$root/bin/"
  chmod 755 "$root/init" "$root/bin"/*
  if [ -d "$kernel/modules" ]; then cp "$kernel"/modules/* "$root/modules/"; fi
  # One of the lab's own, which has no modules, is booted by another in a stress test.
  if [ ! -d "$kernel/modules" ]; then cp "$kernel/bzImage" "$root/bzImage"; fi
  if [ -n "$module" ]; then cp "$module"/*.ko "$root/modules/"; fi
  (cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible | gzip -n -1) \
    >"$folder/initramfs.gz"
  rm -rf "$root"
}

kernel=$1
busybox=$(artefact busybox "$(hash_of trixie busybox-static)" make_busybox)
mapfile -t sources < <(find "$driver" -maxdepth 1 -name '*.[ch]' -o -name Kbuild -o -name features.sh | LC_ALL=C sort)
mapfile -t headers < <(find "$driver/include" -name '*.h' | LC_ALL=C sort)
module=
if [ -d "$kernel/build" ]; then
  module=$(artefact module "$(hash_of "$kernel" "${sources[@]}" "${headers[@]}" "$lab"/stall/*)" make_module "$kernel")
fi
initramfs=$(artefact initramfs \
  "$(hash_of "$kernel" "$busybox" "$module" \
    "$lab"/{initramfs.sh,init,counters,disk_check,domain_check,life,takeover_check,stress,swap_on.c,kexec.c} "$lab"/workload/*)" \
  make_initramfs "$kernel" "$busybox" "$module")
echo "$initramfs/initramfs.gz"
