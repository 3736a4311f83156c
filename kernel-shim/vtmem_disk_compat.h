/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: how kernels differ in what a disk is to them.
 *
 * 5.10..5.13	a queue and a disk are allocated apart
 * 5.14..6.8	together
 * 6.5 on	opened and closed as a disk, not as a block device
 * 6.9 on	together, with its limits in one structure
 * 6.11 on	features of it there, too, that were flags of the queue
 */
#ifndef _VTMEM_DISK_COMPAT_H
#define _VTMEM_DISK_COMPAT_H

#include <linux/blkdev.h>
#ifdef VTMEM_HAVE_GENHD_H
#include <linux/genhd.h>
#endif

static inline struct gendisk *vtmem_bio_disk(struct bio *bio)
{
#ifdef VTMEM_HAVE_BIO_BDEV
	return bio->bi_bdev->bd_disk;
#else
	return bio->bi_disk;
#endif
}

#ifdef VTMEM_HAVE_DISK_OPEN
#define vtmem_opened_t			struct gendisk
#define vtmem_open_mode_t		blk_mode_t
#define vtmem_opened_disk(disk)		(disk)
#define VTMEM_RELEASE_PARAMETERS	struct gendisk *disk
#else
#define vtmem_opened_t			struct block_device
#define vtmem_open_mode_t		fmode_t
#define vtmem_opened_disk(bdev)		((bdev)->bd_disk)
#define VTMEM_RELEASE_PARAMETERS	struct gendisk *disk, fmode_t mode
#endif

/* Before that nobody says when a disk is no longer open to anybody. */
#ifdef VTMEM_HAVE_FREE_DISK
#define VTMEM_FREE_DISK
#endif

/* bio-based disks return nothing from 5.16 on. */
#ifdef VTMEM_HAVE_VOID_SUBMIT_BIO
#define vtmem_submit_bio_t		void
#define VTMEM_SUBMIT_BIO_DONE
#else
#define vtmem_submit_bio_t		blk_qc_t
#define VTMEM_SUBMIT_BIO_DONE		BLK_QC_T_NONE
#endif

#ifndef VTMEM_HAVE_KMAP_LOCAL
#define kmap_local_page(page)		kmap_atomic(page)
#define kunmap_local(address)		kunmap_atomic(address)
#endif

#ifdef VTMEM_HAVE_ALLOC_DISK_LIMITS
static inline struct gendisk *vtmem_disk_make(unsigned int max_sectors)
{
	struct queue_limits limits = {
#ifdef VTMEM_HAVE_BLK_FEATURES
		.features = BLK_FEAT_STABLE_WRITES,
#endif
		.logical_block_size = PAGE_SIZE,
		.physical_block_size = PAGE_SIZE,
		.io_min = PAGE_SIZE,
		.io_opt = PAGE_SIZE,
		.max_hw_sectors = max_sectors,
		.max_hw_discard_sectors = UINT_MAX >> 1,
		.max_write_zeroes_sectors = UINT_MAX >> 1,
		.discard_granularity = PAGE_SIZE,
		.dma_alignment = SECTOR_SIZE - 1,
	};

	return blk_alloc_disk(&limits, NUMA_NO_NODE);
}
#else
/* A queue and its disk, or NULL. */
static inline struct gendisk *vtmem_disk_pair(void)
{
#ifdef VTMEM_HAVE_BLK_ALLOC_DISK
	return blk_alloc_disk(NUMA_NO_NODE);
#else
	struct request_queue *queue = blk_alloc_queue(NUMA_NO_NODE);
	struct gendisk *disk = queue ? alloc_disk(1) : NULL;

	if (disk)
		disk->queue = queue;
	else if (queue)
		blk_cleanup_queue(queue);
	return disk;
#endif
}

static inline struct gendisk *vtmem_disk_make(unsigned int max_sectors)
{
	struct gendisk *disk = vtmem_disk_pair();
	struct request_queue *queue;

	if (!disk)
		return ERR_PTR(-ENOMEM);
	queue = disk->queue;
	blk_queue_logical_block_size(queue, PAGE_SIZE);
	blk_queue_physical_block_size(queue, PAGE_SIZE);
	blk_queue_io_min(queue, PAGE_SIZE);
	blk_queue_io_opt(queue, PAGE_SIZE);
	blk_queue_max_hw_sectors(queue, max_sectors);
	blk_queue_max_discard_sectors(queue, UINT_MAX >> 1);
	blk_queue_max_write_zeroes_sectors(queue, UINT_MAX >> 1);
	queue->limits.discard_granularity = PAGE_SIZE;
#ifdef VTMEM_HAVE_QUEUE_DISCARD
	blk_queue_flag_set(QUEUE_FLAG_DISCARD, queue);
#endif
	return disk;
}
#endif

/*
 * A disk whose requests have at most @max_pages. Swap is not told that it is
 * synchronous (BLK_FEAT_SYNCHRONOUS, rw_page before 6.3); README.md says why.
 */
static inline struct gendisk *vtmem_disk_alloc(unsigned int max_pages)
{
	struct gendisk *disk =
		vtmem_disk_make(max_pages << (PAGE_SHIFT - SECTOR_SHIFT));

#ifndef VTMEM_HAVE_BLK_FEATURES
	if (!IS_ERR(disk)) {
		blk_queue_flag_set(QUEUE_FLAG_NONROT, disk->queue);
		blk_queue_flag_clear(QUEUE_FLAG_ADD_RANDOM, disk->queue);
		blk_queue_flag_set(QUEUE_FLAG_STABLE_WRITES, disk->queue);
	}
#endif
	return disk;
}

static inline int vtmem_disk_add(struct device *parent, struct gendisk *disk)
{
#ifdef VTMEM_HAVE_DISK_NO_PART
	disk->flags |= GENHD_FL_NO_PART;
#else
	disk->flags |= GENHD_FL_NO_PART_SCAN;
#endif
#ifdef VTMEM_HAVE_ADD_DISK_RESULT
	return device_add_disk(parent, disk, NULL);
#else
	device_add_disk(parent, disk, NULL);
	return 0;
#endif
}

/* Lets go of a disk that is not, or no longer, added. */
static inline void vtmem_disk_put(struct gendisk *disk)
{
#if defined(VTMEM_HAVE_BLK_CLEANUP_DISK)
	blk_cleanup_disk(disk);
#elif defined(VTMEM_HAVE_BLK_ALLOC_DISK)
	put_disk(disk);
#else
	blk_cleanup_queue(disk->queue);
	put_disk(disk);
#endif
}

#endif /* _VTMEM_DISK_COMPAT_H */
