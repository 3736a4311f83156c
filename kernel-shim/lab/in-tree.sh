#!/usr/bin/env bash
# in-tree.sh TREE: puts the driver into a kernel's source tree, where CONFIG_VIRTIO_TMEM then says how it is built.
# Safe to repeat: the driver's files are replaced.
set -euo pipefail
driver=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tree=${1:?usage: in-tree.sh TREE}

# append LINE FILE: unless it is there.
append() {
  grep -qxF -- "$1" "$2" || echo "$1" >>"$2"
}

rm -rf "$tree/drivers/virtio/tmem"
mkdir "$tree/drivers/virtio/tmem"
cp "$driver"/*.[ch] "$driver/Kbuild" "$driver/Kconfig" "$driver/features.sh" "$tree/drivers/virtio/tmem/"
cp "$driver/include/uapi/linux/virtio_tmem.h" "$tree/include/uapi/linux/"
append 'source "drivers/virtio/tmem/Kconfig"' "$tree/drivers/virtio/Kconfig"
append 'obj-y += tmem/' "$tree/drivers/virtio/Makefile"
