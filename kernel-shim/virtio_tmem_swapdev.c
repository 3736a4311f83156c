// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: the swap block device, /dev/tmemswapN.
 *
 * A disk of exactly as many pages as the host guarantees to take, in one
 * persistent pool. Page P of it is
 *	oid = { P >> VTMEM_DISK_OBJECT_SHIFT, 0, 0 }, index = the low bits
 * It is the way in for kernels without frontswap, and where frontswap is there
 * it can take its place (parameter swap_device), never both: they would share
 * one reserve, and the disk's size would be promised twice.
 *
 * Swap tells the disk when it lets go of a slot (swap_slot_free_notify, with
 * interrupts off); that and discards are flushes. Swap is not told that the disk
 * is synchronous, though it is: it would then let go of a page as soon as it is
 * read, and write it anew however little had changed. README.md has figures.
 *
 * The device does not go while somebody, such as swap, has the disk open, see
 * virtio_tmem_drain.c. When it has to all the same, the disk stays until it is
 * closed, and fails whatever it is asked for.
 */
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "vtmem.h"
#include "vtmem_disk_compat.h"
#include "vtmem_session.h"
#include "vtmem_swapdev.h"

static int vtmem_disk_major;
static DEFINE_IDA(vtmem_disk_numbers);

static bool vtmem_swap_device;
module_param_named(swap_device, vtmem_swap_device, bool, 0444);
MODULE_PARM_DESC(swap_device,
		 "offer a swap block device instead of using frontswap (default: where frontswap cannot be used)");

/**
 * vtmem_swapdev_wanted() - the disk, even where frontswap can be used?
 */
bool vtmem_swapdev_wanted(void)
{
	return vtmem_swap_device;
}

static vtmem_submit_bio_t vtmem_swapdev_submit_bio(struct bio *bio)
{
	struct vtmem_swapdev *swapdev = vtmem_bio_disk(bio)->private_data;
	struct vtmem_pool *pool;
	int srcu;

	srcu = srcu_read_lock(&vtmem_srcu);
	pool = srcu_dereference(swapdev->pool, &vtmem_srcu);
	if (pool)
		vtmem_disk_submit(pool, bio);
	else
		bio_io_error(bio);
	srcu_read_unlock(&vtmem_srcu, srcu);
	return VTMEM_SUBMIT_BIO_DONE;
}

/* Swap lets go of a page. Called under a spin lock. */
static void vtmem_swapdev_slot_free(struct block_device *bdev,
				    unsigned long page)
{
	struct vtmem_swapdev *swapdev = bdev->bd_disk->private_data;
	struct vtmem_pool *pool;
	struct vtmem_key key;
	int srcu;

	srcu = srcu_read_lock(&vtmem_srcu);
	pool = srcu_dereference(swapdev->pool, &vtmem_srcu);
	if (pool) {
		vtmem_disk_key(&key, page);
		vtmem_flush(pool, &key);
		vtmem_count(pool->dev, invalidates);
	}
	srcu_read_unlock(&vtmem_srcu, srcu);
}

#ifdef VTMEM_FREE_DISK
/* The last one who had the disk open is gone. */
static void vtmem_swapdev_free_disk(struct gendisk *disk)
{
	struct vtmem_swapdev *swapdev = disk->private_data;

	ida_free(&vtmem_disk_numbers, swapdev->number);
	kfree(swapdev);
}
#endif

/* Refused while the machine hibernates, see virtio_tmem_power.c. */
static int vtmem_swapdev_open(vtmem_opened_t *opened, vtmem_open_mode_t mode)
{
	struct vtmem_swapdev *swapdev = vtmem_opened_disk(opened)->private_data;
	struct vtmem_pool *pool;
	int srcu, err = -ENXIO;

	srcu = srcu_read_lock(&vtmem_srcu);
	pool = srcu_dereference(swapdev->pool, &vtmem_srcu);
	if (pool && READ_ONCE(pool->dev->refuse_puts))
		err = -EBUSY;
	else if (atomic_inc_unless_negative(&swapdev->nr_openers))
		err = 0;
	srcu_read_unlock(&vtmem_srcu, srcu);
	return err;
}

static void vtmem_swapdev_release(VTMEM_RELEASE_PARAMETERS)
{
	struct vtmem_swapdev *swapdev = disk->private_data;

	atomic_dec(&swapdev->nr_openers);
}

static const struct block_device_operations vtmem_swapdev_ops = {
	.owner = THIS_MODULE,
	.open = vtmem_swapdev_open,
	.release = vtmem_swapdev_release,
	.submit_bio = vtmem_swapdev_submit_bio,
	.swap_slot_free_notify = vtmem_swapdev_slot_free,
#ifdef VTMEM_FREE_DISK
	/* Before that nobody tells; what little there is stays. */
	.free_disk = vtmem_swapdev_free_disk,
#endif
};

/* Makes what is remembered of the pages, for all of them: puts find it. */
static int vtmem_populate(struct vtmem_pool *pool, u64 nr_pages)
{
	struct vtmem_key key;
	u64 page;
	int err;

	for (page = 0; page < nr_pages; page += VTMEM_CHUNK_PAGES) {
		vtmem_disk_key(&key, page);
		err = vtmem_chunk_populate(vtmem_pool_queue(pool, key.oid),
					   pool, &key);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

static struct vtmem_swapdev *vtmem_swapdev_alloc(struct vtmem_device *dev)
{
	struct vtmem_swapdev *swapdev = kzalloc(sizeof(*swapdev), GFP_KERNEL);
	struct gendisk *disk;

	if (!swapdev)
		return ERR_PTR(-ENOMEM);
	swapdev->number = ida_alloc_max(&vtmem_disk_numbers, MINORMASK,
					GFP_KERNEL);
	if (swapdev->number < 0) {
		int err = swapdev->number;

		kfree(swapdev);
		return ERR_PTR(err);
	}
	disk = vtmem_disk_alloc(dev->max_pages_per_request);
	if (IS_ERR(disk)) {
		ida_free(&vtmem_disk_numbers, swapdev->number);
		kfree(swapdev);
		return ERR_CAST(disk);
	}
	swapdev->disk = disk;
	disk->major = vtmem_disk_major;
	disk->first_minor = swapdev->number;
	disk->minors = 1;
	disk->fops = &vtmem_swapdev_ops;
	disk->private_data = swapdev;
	snprintf(disk->disk_name, sizeof(disk->disk_name), "tmemswap%d",
		 swapdev->number);
	return swapdev;
}

/**
 * vtmem_swapdev_attach() - offer a device's reserve as a disk
 * @dev: a device with a session
 *
 * Return: 0, also if there is no reserve and so no disk; a negative errno.
 */
int vtmem_swapdev_attach(struct vtmem_device *dev)
{
	struct vtmem_swapdev *swapdev;
	struct vtmem_pool *pool;
	int err;

	if (!dev->reserve) {
		dev_warn(&dev->vdev->dev,
			 "no swap device: the service gives this guest no reserve\n");
		return 0;
	}
	if (dev->reserve > U32_MAX) {
		dev_err(&dev->vdev->dev, "a reserve of %llu pages is too large\n",
			dev->reserve);
		return -EINVAL;
	}
	pool = vtmem_pool_create(dev, true);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	err = vtmem_populate(pool, dev->reserve);
	if (err)
		goto err_pool;
	swapdev = vtmem_swapdev_alloc(dev);
	if (IS_ERR(swapdev)) {
		err = PTR_ERR(swapdev);
		goto err_pool;
	}
	rcu_assign_pointer(swapdev->pool, pool);
	WRITE_ONCE(dev->disk_pool, pool);
	set_capacity(swapdev->disk,
		     dev->reserve << (PAGE_SHIFT - SECTOR_SHIFT));
	err = vtmem_disk_add(&dev->vdev->dev, swapdev->disk);
	if (err) {
		vtmem_disk_put(swapdev->disk);
		goto err_pool;
	}
	dev->swapdev = swapdev;
	return 0;

err_pool:
	vtmem_session_hold(dev);
	vtmem_pool_destroy(pool);
	return err;
}

/**
 * vtmem_swapdev_populate() - see to it that every page of a disk can be put
 * @dev: a device whose pools were made anew
 *
 * Return: 0, also without a disk, or -ENOMEM.
 */
int vtmem_swapdev_populate(struct vtmem_device *dev)
{
	return dev->disk_pool ? vtmem_populate(dev->disk_pool, dev->reserve) : 0;
}

/**
 * vtmem_swapdev_used_pool() - the pages of which somebody would miss one
 * @dev: a device whose disk nobody opens or closes at the moment
 *
 * Return: the disk's pool; NULL without a disk, or if it is not open.
 */
struct vtmem_pool *vtmem_swapdev_used_pool(struct vtmem_device *dev)
{
	struct vtmem_swapdev *swapdev = dev->swapdev;

	return swapdev && vtmem_swapdev_is_open(swapdev) ? dev->disk_pool : NULL;
}

/**
 * vtmem_swapdev_is_open() - has somebody a disk open?
 * @swapdev: a disk
 */
bool vtmem_swapdev_is_open(struct vtmem_swapdev *swapdev)
{
	return atomic_read(&swapdev->nr_openers) > 0;
}

/**
 * vtmem_swapdev_claim() - let nobody open a disk any more, if it is not open
 * @swapdev: a disk
 *
 * Return: whether that is so.
 */
bool vtmem_swapdev_claim(struct vtmem_swapdev *swapdev)
{
	return atomic_cmpxchg(&swapdev->nr_openers, 0, VTMEM_DISK_CLAIMED) <= 0;
}

/**
 * vtmem_swapdev_detach() - take a device's disk away
 * @dev: a device whose queues are dead; those still inside a call are waited
 *	 for by the caller
 */
void vtmem_swapdev_detach(struct vtmem_device *dev)
{
	struct vtmem_swapdev *swapdev = dev->swapdev;

	if (!swapdev)
		return;
	dev->swapdev = NULL;
	del_gendisk(swapdev->disk);
	RCU_INIT_POINTER(swapdev->pool, NULL);
	vtmem_disk_put(swapdev->disk);
}

int __init vtmem_swapdev_init(void)
{
	vtmem_disk_major = register_blkdev(0, "tmemswap");
	return vtmem_disk_major < 0 ? vtmem_disk_major : 0;
}

void vtmem_swapdev_exit(void)
{
	unregister_blkdev(vtmem_disk_major, "tmemswap");
	ida_destroy(&vtmem_disk_numbers);
}
