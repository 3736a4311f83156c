#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# features.sh KERNEL-SOURCE: prints a -DVTMEM_HAVE_... for everything in which kernels differ and that this one has.
#
# Kbuild runs it when the driver is built. It reads the kernel's own headers: a version number says nothing of what a
# distribution has taken from later kernels. Each line says since when the thing is there, or until when, in Linus's.
# Names are looked for as declared, without regard to how the line is spaced.
headers=${1:?usage: features.sh KERNEL-SOURCE}/include/linux

# has FILES PATTERN: whether one of the headers, those there are, has a line with the extended regular expression.
has() {
	for file in $1; do
		if [ -e "$headers/$file" ] && grep -Eq -- "$2" "$headers/$file"; then
			return 0
		fi
	done
	return 1
}

# feature NAME FILES PATTERN
feature() {
	if has "$2" "$3"; then
		printf -- '-DVTMEM_HAVE_%s ' "$1"
	fi
}

s='[[:space:]]'
disk='blkdev.h genhd.h'

[ -d "$headers" ] || {
	echo "features.sh: no $headers" >&2
	exit 1
}

# virtio
feature VIRTQUEUE_INFO	virtio_config.h "^struct$s+virtqueue_info$s*\\{"		# 6.11

# disks
feature GENHD_H		genhd.h .							# until 5.17
feature BIO_BDEV	blk_types.h "struct$s+block_device$s*\\*$s*bi_bdev$s*;"		# 5.12
feature KMAP_LOCAL	'highmem.h highmem-internal.h' "kmap_local_page$s*\\("		# 5.11
feature DISK_OPEN	"$disk" "\\(\\*$s*open$s*\\)$s*\\($s*struct$s+gendisk"		# 6.5
feature FREE_DISK	"$disk" "\\(\\*$s*free_disk$s*\\)"				# 5.18
feature VOID_SUBMIT_BIO	"$disk" "void$s+\\(\\*$s*submit_bio$s*\\)"			# 5.16
feature BLK_ALLOC_DISK	"$disk" "define$s+blk_alloc_disk$s*\\("				# 5.14
feature ALLOC_DISK_LIMITS "$disk" "define$s+blk_alloc_disk$s*\\($s*lim"			# 6.9
feature BLK_FEATURES	"$disk" "BLK_FEAT_STABLE_WRITES"				# 6.11
feature QUEUE_DISCARD	"$disk" "define$s+QUEUE_FLAG_DISCARD"				# until 5.18
feature DISK_NO_PART	"$disk" "GENHD_FL_NO_PART($s|,|\$)"				# 5.18
feature ADD_DISK_RESULT	"$disk" "int$s+(__must_check$s+)?device_add_disk$s*\\("		# 5.15
feature BLK_CLEANUP_DISK "$disk" "blk_cleanup_disk$s*\\("				# 5.14 to 5.18

# frontswap
feature FRONTSWAP_SHRINK frontswap.h "frontswap_shrink$s*\\("				# until 5.16
feature FRONTSWAP_RESULT frontswap.h "int$s+frontswap_register_ops$s*\\("		# 5.17
feature FRONTSWAP_EXCLUSIVE frontswap.h "\\(\\*$s*load$s*\\)$s*\\([^)]*bool$s*\\*"	# 6.5
echo
