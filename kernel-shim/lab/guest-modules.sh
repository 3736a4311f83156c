# The modules of a guest's kernel that its init loads to see its disk and the device, as far as they are modules there.
# shellcheck shell=bash

guest_modules=(virtio_pci virtio_blk)

# collect_module FOLDER ROOT NAME: unpacks a module found anywhere in ROOT and, before it, those it depends on; appends
# their names to FOLDER/modules/load. A name that is no module is part of the kernel.
collect_module() {
  local folder=$1 root=$2 name=$3 file needed
  [ ! -e "$folder/modules/$name.ko" ] || return 0
  file=$(find "$root/" -name "${name//_/[-_]}.ko*" | head -n 1)
  [ -n "$file" ] || return 0
  case $file in
    *.xz) xz -dc "$file" >"$folder/modules/$name.ko" ;;
    *) cp "$file" "$folder/modules/$name.ko" ;;
  esac
  for needed in $(grep -aoz '^depends=.*' "$folder/modules/$name.ko" | tr ',\0' '  ' | sed 's/^depends=//'); do
    collect_module "$folder" "$root" "${needed//-/_}"
  done
  echo "$name" >>"$folder/modules/load"
}

# collect_modules FOLDER ROOT: all of them, in the order to load them.
collect_modules() {
  local name
  mkdir "$1/modules"
  touch "$1/modules/load"
  for name in "${guest_modules[@]}"; do collect_module "$1" "$2" "$name"; done
}
