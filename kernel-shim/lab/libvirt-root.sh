#!/usr/bin/env bash
# libvirt-root.sh PACKAGES FOLDER [PATH ...]: runs libvirtd out of PACKAGES, in the root FOLDER/root, where it also sees each
# PATH. It can do without root of the machine and without systemd, and leaves nothing behind: who ends this ends it, and its
# domains, for they have processes and mounts of their own.
set -euo pipefail
packages=$1 folder=$2
shift 2

# What libvirtd writes is in FOLDER; what it runs is in PACKAGES.
root=$folder/root
mkdir -p "$root"/{etc,proc,sys,dev,run,tmp,usr,var/{cache,lib,log}}
for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
cp -R "$packages/etc/libvirt" "$root/etc/"
# The user its package would make. Here it is the only one there is.
printf '%s:x:0:0::/:/bin/sh\n' root libvirt-qemu >"$root/etc/passwd"
printf '%s:x:0:\n' root kvm libvirt-qemu >"$root/etc/group"
cat >"$root/etc/libvirt/libvirtd.conf" <<'EOF'
auth_unix_ro = "none"
auth_unix_rw = "none"
EOF
cat >"$root/etc/libvirt/qemu.conf" <<'EOF'
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
EOF

as_root=()
[ "$(id -u)" = 0 ] || as_root=(--map-root-user)
# The shell stays the first process: it reaps what libvirtd's children leave.
# shellcheck disable=SC2016 # the inner shell's own
exec unshare "${as_root[@]}" --mount --pid --fork --kill-child bash -c '
  set -euo pipefail
  packages=$1 root=$2
  shift 2
  mount --rbind "$packages/usr" "$root/usr"
  mount --rbind /dev "$root/dev"
  mount --rbind /sys "$root/sys"
  mount -t proc proc "$root/proc"
  for path; do
    mkdir -p "$root$path"
    mount --bind "$path" "$root$path"
  done
  LC_ALL=C chroot "$root" /usr/sbin/libvirtd &
  wait $!
' bash "$packages" "$root" "$@"
