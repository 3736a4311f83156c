/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: the swap block device.
 */
#ifndef _VTMEM_SWAPDEV_H
#define _VTMEM_SWAPDEV_H

#include <linux/bio.h>
#include <linux/types.h>

#include "vtmem_pool.h"

struct vtmem_device;
struct gendisk;

#define VTMEM_DISK_CLAIMED	(-1)

/* Pages of an object: neighbours share a queue. */
#define VTMEM_DISK_OBJECT_SHIFT	10

/**
 * struct vtmem_swapdev - a disk whose blocks are the pages of a pool
 * @disk:	the disk
 * @number:	the N of tmemswapN
 * @nr_openers:	how often it is open; VTMEM_DISK_CLAIMED: never again
 * @pool:	its pool; NULL once the device is gone, while swap may still hold
 *		the disk open. Read under vtmem_srcu
 */
struct vtmem_swapdev {
	struct gendisk *disk;
	int number;
	atomic_t nr_openers;
	struct vtmem_pool __rcu *pool;
};

static inline void vtmem_disk_key(struct vtmem_key *key, u64 page)
{
	key->oid[0] = page >> VTMEM_DISK_OBJECT_SHIFT;
	key->oid[1] = 0;
	key->oid[2] = 0;
	key->index = page & (BIT(VTMEM_DISK_OBJECT_SHIFT) - 1);
}

bool vtmem_swapdev_wanted(void);
int vtmem_swapdev_attach(struct vtmem_device *dev);
int vtmem_swapdev_populate(struct vtmem_device *dev);
struct vtmem_pool *vtmem_swapdev_used_pool(struct vtmem_device *dev);
bool vtmem_swapdev_is_open(struct vtmem_swapdev *swapdev);
bool vtmem_swapdev_claim(struct vtmem_swapdev *swapdev);
void vtmem_swapdev_detach(struct vtmem_device *dev);
int vtmem_swapdev_init(void);
void vtmem_swapdev_exit(void);

/* virtio_tmem_bio.c: what the disk is asked for. */
void vtmem_disk_submit(struct vtmem_pool *pool, struct bio *bio);

#endif /* _VTMEM_SWAPDEV_H */
