// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: cleancache.
 *
 * An ephemeral pool for each file system. The object is the file, by the key
 * cleancache makes of its exported handle or its inode number, and the index is
 * the page of the file. Gets are exclusive: a page is in the page cache or on
 * the host, not in both.
 *
 * Contexts (5.10): put_page and invalidate_page run with the i_pages lock held
 * and interrupts off, so they neither sleep nor wait; invalidate_inode runs
 * anywhere, often for files without a page here; get_page runs under the page's
 * lock and may sleep; init_fs and invalidate_fs run in mount and unmount.
 *
 * A put may be dropped, but then the host must not keep an older page under the
 * key: it is flushed, as it is when a page is invalidated. What the host does
 * not have is known here (virtio_tmem_object.c), so a miss costs no request.
 *
 * cleancache has no way to unregister. A device may come and go behind it:
 * vtmem_cleancache_ids are the file systems the kernel has told us of, so that
 * a device that comes later gets their pools. An ext4 that is remounted
 * read-write is told of twice; its first pool stays, unused, until the device
 * goes.
 */
#include <linux/cleancache.h>
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "vtmem.h"
#include "vtmem_cleancache.h"

/* File systems at a time; those beyond are not cached. */
#define MAX_FILE_SYSTEMS	64

static bool vtmem_cleancache_enabled = true;
module_param_named(cleancache, vtmem_cleancache_enabled, bool, 0444);
MODULE_PARM_DESC(cleancache, "cache clean pages of files on the host (default on)");

/* Not vtmem_srcu: a load that waits for the host must not hold up an unmount. */
static struct srcu_struct vtmem_cleancache_srcu;

/* Guards attaching and detaching, init_fs and invalidate_fs. */
static DEFINE_MUTEX(vtmem_cleancache_mutex);
static DECLARE_BITMAP(vtmem_cleancache_ids, MAX_FILE_SYSTEMS);
static bool vtmem_cleancache_registered;
static struct vtmem_device *vtmem_cleancache_device;

/* Written under the mutex, read under vtmem_cleancache_srcu. */
static struct vtmem_pool __rcu *vtmem_cleancache_pools[MAX_FILE_SYSTEMS];

/* The kernel's key is copied as it is; the tail it does not use is zero. */
static void vtmem_cleancache_oid(u64 oid[3],
				 const struct cleancache_filekey *file)
{
	BUILD_BUG_ON(sizeof(file->u) != 3 * sizeof(*oid));
	memcpy(oid, &file->u, sizeof(file->u));
}

/* The pool of a file system, or NULL. Under vtmem_cleancache_srcu. */
static struct vtmem_pool *vtmem_cleancache_pool(int id)
{
	if (id < 0 || id >= MAX_FILE_SYSTEMS)
		return NULL;
	return srcu_dereference(vtmem_cleancache_pools[id],
				&vtmem_cleancache_srcu);
}

static int vtmem_cleancache_get_page(int id, struct cleancache_filekey file,
				     pgoff_t index, struct page *page)
{
	struct vtmem_key key = { .index = index };
	struct vtmem_pool *pool;
	int srcu, err = -ENOENT;

	srcu = srcu_read_lock(&vtmem_cleancache_srcu);
	pool = vtmem_cleancache_pool(id);
	if (pool && index <= U32_MAX) {
		vtmem_cleancache_oid(key.oid, &file);
		err = vtmem_get(pool, &key, page);
		if (!err) {
			flush_dcache_page(page);
			vtmem_admission_lent(&pool->dev->admission, pool, &key);
			vtmem_count(pool->dev, clean_hits);
		}
	}
	srcu_read_unlock(&vtmem_cleancache_srcu, srcu);
	return err ? -1 : 0;
}

/* Puts the page if it is worth it and there is room. */
static bool vtmem_cleancache_try_put(struct vtmem_pool *pool,
				     const struct vtmem_key *key,
				     struct page *page)
{
	struct vtmem_device *dev = pool->dev;

	if (PageCompound(page) || vtmem_refuses_puts(dev)) {
		vtmem_count(dev, clean_dropped);
		return false;
	}
	if (!vtmem_admit(&dev->admission, pool, key)) {
		vtmem_count(dev, clean_rejected);
		return false;
	}
	if (vtmem_put_staged(pool, key, page)) {
		vtmem_count(dev, clean_dropped);
		return false;
	}
	vtmem_count(dev, clean_puts);
	return true;
}

static void vtmem_cleancache_put_page(int id, struct cleancache_filekey file,
				      pgoff_t index, struct page *page)
{
	struct vtmem_key key = { .index = index };
	struct vtmem_pool *pool;
	unsigned long i;
	int srcu;

	srcu = srcu_read_lock(&vtmem_cleancache_srcu);
	pool = vtmem_cleancache_pool(id);
	if (pool && index <= U32_MAX) {
		vtmem_cleancache_oid(key.oid, &file);
		if (!vtmem_cleancache_try_put(pool, &key, page)) {
			for (i = 0; i < compound_nr(page); i++, key.index++)
				vtmem_flush(pool, &key);
		}
	}
	srcu_read_unlock(&vtmem_cleancache_srcu, srcu);
}

static void vtmem_cleancache_invalidate_page(int id,
					     struct cleancache_filekey file,
					     pgoff_t index)
{
	struct vtmem_key key = { .index = index };
	struct vtmem_pool *pool;
	int srcu;

	srcu = srcu_read_lock(&vtmem_cleancache_srcu);
	pool = vtmem_cleancache_pool(id);
	if (pool && index <= U32_MAX) {
		vtmem_cleancache_oid(key.oid, &file);
		vtmem_flush(pool, &key);
	}
	srcu_read_unlock(&vtmem_cleancache_srcu, srcu);
}

static void vtmem_cleancache_invalidate_inode(int id,
					      struct cleancache_filekey file)
{
	struct vtmem_pool *pool;
	u64 oid[3];
	int srcu;

	srcu = srcu_read_lock(&vtmem_cleancache_srcu);
	pool = vtmem_cleancache_pool(id);
	if (pool) {
		vtmem_cleancache_oid(oid, &file);
		vtmem_flush_object(pool, oid);
	}
	srcu_read_unlock(&vtmem_cleancache_srcu, srcu);
}

/* Under the mutex: make the pool of a file system. */
static int vtmem_cleancache_open_pool(struct vtmem_device *dev, int id)
{
	struct vtmem_pool *pool = vtmem_pool_create(dev, false);

	if (IS_ERR(pool)) {
		dev_warn(&dev->vdev->dev, "a file system is not cached: no pool (%ld)\n",
			 PTR_ERR(pool));
		return PTR_ERR(pool);
	}
	rcu_assign_pointer(vtmem_cleancache_pools[id], pool);
	return 0;
}

/* Returns the id by which the kernel names the file system from now on, or -1. */
static int vtmem_cleancache_init_fs(size_t page_size)
{
	int id;

	if (page_size != PAGE_SIZE)
		return -1;
	mutex_lock(&vtmem_cleancache_mutex);
	id = find_first_zero_bit(vtmem_cleancache_ids, MAX_FILE_SYSTEMS);
	if (id == MAX_FILE_SYSTEMS ||
	    (vtmem_cleancache_device &&
	     vtmem_cleancache_open_pool(vtmem_cleancache_device, id)))
		id = -1;
	else
		__set_bit(id, vtmem_cleancache_ids);
	mutex_unlock(&vtmem_cleancache_mutex);
	return id;
}

/* A pool between guests cannot be had, and a private one would be wrong. */
static int vtmem_cleancache_init_shared_fs(uuid_t *uuid, size_t page_size)
{
	return -1;
}

static void vtmem_cleancache_invalidate_fs(int id)
{
	struct vtmem_pool *pool;

	if (id < 0 || id >= MAX_FILE_SYSTEMS)
		return;
	mutex_lock(&vtmem_cleancache_mutex);
	pool = rcu_dereference_protected(vtmem_cleancache_pools[id],
					 lockdep_is_held(&vtmem_cleancache_mutex));
	if (pool) {
		RCU_INIT_POINTER(vtmem_cleancache_pools[id], NULL);
		synchronize_srcu(&vtmem_cleancache_srcu);
		vtmem_pool_destroy(pool);
	}
	__clear_bit(id, vtmem_cleancache_ids);
	mutex_unlock(&vtmem_cleancache_mutex);
}

static const struct cleancache_ops vtmem_cleancache_ops = {
	.init_fs = vtmem_cleancache_init_fs,
	.init_shared_fs = vtmem_cleancache_init_shared_fs,
	.get_page = vtmem_cleancache_get_page,
	.put_page = vtmem_cleancache_put_page,
	.invalidate_page = vtmem_cleancache_invalidate_page,
	.invalidate_inode = vtmem_cleancache_invalidate_inode,
	.invalidate_fs = vtmem_cleancache_invalidate_fs,
};

/* Once. The kernel then calls init_fs for every file system that is mounted. */
static void vtmem_cleancache_register(struct vtmem_device *dev)
{
	if (init_srcu_struct(&vtmem_cleancache_srcu)) {
		vtmem_admission_stop(&dev->admission);
		return;
	}
	vtmem_cleancache_device = dev;
	__module_get(THIS_MODULE);
	if (!cleancache_register_ops(&vtmem_cleancache_ops)) {
		vtmem_cleancache_registered = true;
		return;
	}
	dev_warn(&dev->vdev->dev, "cleancache has another back end: files are not cached\n");
	vtmem_cleancache_device = NULL;
	vtmem_admission_stop(&dev->admission);
	module_put(THIS_MODULE);
	cleanup_srcu_struct(&vtmem_cleancache_srcu);
}

/* Gives the file systems there are their pools on a device. */
static void vtmem_cleancache_use(struct vtmem_device *dev)
{
	int id;

	mutex_lock(&vtmem_cleancache_mutex);
	for_each_set_bit(id, vtmem_cleancache_ids, MAX_FILE_SYSTEMS)
		vtmem_cleancache_open_pool(dev, id);
	vtmem_cleancache_device = dev;
	mutex_unlock(&vtmem_cleancache_mutex);
}

/**
 * vtmem_cleancache_attach() - let cleancache use a device
 * @dev: a device with a session; there is no other
 */
void vtmem_cleancache_attach(struct vtmem_device *dev)
{
	const u32 needed = VIRTIO_TMEM_CAP_EPHEMERAL |
			   VIRTIO_TMEM_CAP_EXCLUSIVE_GET;

	if (!vtmem_cleancache_enabled || (dev->capabilities & needed) != needed)
		return;
	vtmem_admission_start(&dev->admission);
	if (!vtmem_cleancache_registered) {
		vtmem_cleancache_register(dev);
		if (!vtmem_cleancache_registered)
			return;
	} else {
		vtmem_cleancache_use(dev);
	}
	vtmem_blocks_alloc(dev, VTMEM_SLOT_WINDOW);
	vtmem_blocks_alloc(dev, VTMEM_SLOT_STAGED);
}

/**
 * vtmem_cleancache_detach() - cleancache does not use a device any more
 * @dev: a device; nobody is inside a call on return
 */
void vtmem_cleancache_detach(struct vtmem_device *dev)
{
	int id;

	if (vtmem_cleancache_device != dev)
		return;
	mutex_lock(&vtmem_cleancache_mutex);
	vtmem_cleancache_device = NULL;
	for (id = 0; id < MAX_FILE_SYSTEMS; id++)
		RCU_INIT_POINTER(vtmem_cleancache_pools[id], NULL);
	mutex_unlock(&vtmem_cleancache_mutex);
	synchronize_srcu(&vtmem_cleancache_srcu);
}
