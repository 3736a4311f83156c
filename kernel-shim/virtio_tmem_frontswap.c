// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: frontswap.
 *
 * A persistent pool for each swap type. A swap offset becomes an object and an
 * index in it:
 *	oid = { type, offset >> OBJECT_SHIFT, 0 }, index = the low bits
 *
 * frontswap has no way to unregister, so the operations stay for as long as the
 * kernel runs and the module pins itself; a device may come and go behind them.
 * vtmem_frontswap_types remembers which types the kernel has told us of, so
 * that a device that comes later gets its pools. From 5.17 on the kernel does not
 * tell of what was on before we registered; the first store does, and is refused.
 *
 * frontswap's own bitmap decides which pages are ours: a load is only called
 * for a page whose store succeeded. If such a load fails the page is lost and
 * frontswap cannot say so: the kernel goes on to read whatever the swap device
 * has there, and takes that for the page; not for the task alone that we could
 * kill, but for all that share it, and if it was read ahead for a neighbour's. So
 * such a load is loud and does not return: the page stays locked, and who needs
 * it waits.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/swapfile.h>

#include "vtmem.h"
#include "vtmem_frontswap.h"
#include "vtmem_frontswap_compat.h"
#include "vtmem_shrink.h"

/* Pages of an object: neighbours share a queue. */
#define OBJECT_SHIFT	10

/* Guards attaching and detaching, init and invalidate_area. */
static DEFINE_MUTEX(vtmem_frontswap_mutex);
static DECLARE_BITMAP(vtmem_frontswap_types, MAX_SWAPFILES);
static DECLARE_BITMAP(vtmem_frontswap_unknown, MAX_SWAPFILES);

/* Written under the mutex, read under vtmem_srcu. */
static struct vtmem_device __rcu *vtmem_frontswap_device;
static struct vtmem_pool __rcu *vtmem_frontswap_pools[MAX_SWAPFILES];

#define vtmem_locked(pointer) \
	rcu_dereference_protected(pointer, \
				  lockdep_is_held(&vtmem_frontswap_mutex))

static void vtmem_frontswap_key(struct vtmem_key *key, unsigned int type,
				pgoff_t offset)
{
	key->oid[0] = type;
	key->oid[1] = offset >> OBJECT_SHIFT;
	key->oid[2] = 0;
	key->index = offset & (BIT(OBJECT_SHIFT) - 1);
}

/* Under the mutex: make the pool of a type. */
static void vtmem_frontswap_open_pool(struct vtmem_device *dev,
				      unsigned int type)
{
	struct vtmem_pool *pool = vtmem_pool_create(dev, true);

	if (IS_ERR(pool)) {
		dev_warn(&dev->vdev->dev,
			 "swap type %u goes to its disk only: no pool (%ld)\n",
			 type, PTR_ERR(pool));
		return;
	}
	rcu_assign_pointer(vtmem_frontswap_pools[type], pool);
}

/* Called at swapon, and until 5.16 at registration for what is on already. */
static void vtmem_frontswap_init(unsigned int type)
{
	struct vtmem_device *dev;

	if (type >= MAX_SWAPFILES)
		return;
	mutex_lock(&vtmem_frontswap_mutex);
	dev = vtmem_locked(vtmem_frontswap_device);
	if (!test_and_set_bit(type, vtmem_frontswap_types) && dev)
		vtmem_frontswap_open_pool(dev, type);
	mutex_unlock(&vtmem_frontswap_mutex);
}

static void vtmem_frontswap_know_work(struct work_struct *work)
{
	unsigned int type;

	for_each_set_bit(type, vtmem_frontswap_unknown, MAX_SWAPFILES) {
		clear_bit(type, vtmem_frontswap_unknown);
		vtmem_frontswap_init(type);
	}
}

static DECLARE_WORK(vtmem_frontswap_know, vtmem_frontswap_know_work);

/* A store, which cannot wait, names a type that has no pool. */
static void vtmem_frontswap_no_pool(struct vtmem_device *dev, unsigned int type)
{
	vtmem_count(dev, refused_no_pool);
	if (test_bit(type, vtmem_frontswap_types) ||
	    test_and_set_bit(type, vtmem_frontswap_unknown))
		return;
	queue_work(system_unbound_wq, &vtmem_frontswap_know);
}

/* Called at swapoff, when no page of the type is left in swap. */
static void vtmem_frontswap_invalidate_area(unsigned int type)
{
	struct vtmem_pool *pool;

	if (type >= MAX_SWAPFILES)
		return;
	mutex_lock(&vtmem_frontswap_mutex);
	clear_bit(type, vtmem_frontswap_types);
	pool = vtmem_locked(vtmem_frontswap_pools[type]);
	if (pool) {
		RCU_INIT_POINTER(vtmem_frontswap_pools[type], NULL);
		synchronize_srcu(&vtmem_srcu);
		vtmem_pool_destroy(pool);
	}
	mutex_unlock(&vtmem_frontswap_mutex);
}

/* The device and the pool of a type, either or both NULL. Under vtmem_srcu. */
static struct vtmem_pool *vtmem_frontswap_find(unsigned int type,
					       struct vtmem_device **dev)
{
	*dev = srcu_dereference(vtmem_frontswap_device, &vtmem_srcu);
	return srcu_dereference(vtmem_frontswap_pools[type], &vtmem_srcu);
}

/* Has the guest as many pages on the host as it was asked to come down to? */
static bool vtmem_frontswap_at_target(struct vtmem_device *dev)
{
	return (u64)atomic_long_read(&dev->nr_held) >= READ_ONCE(dev->target);
}

/*
 * Without waiting while the host cannot refuse the page and there is room for
 * its copy; beyond that the host is asked.
 */
static int vtmem_frontswap_put(struct vtmem_pool *pool,
			       const struct vtmem_key *key, struct page *page)
{
	struct vtmem_device *dev = pool->dev;

	if (atomic_long_read(&dev->nr_held) < dev->reserve &&
	    !vtmem_put_staged(pool, key, page)) {
		vtmem_count(dev, staged_stores);
		return 0;
	}
	return vtmem_put(pool, key, page);
}

/*
 * Called from reclaim with the page locked. Returns 0 if the host has the page
 * or will have it, else -1, and the page goes to the swap device.
 */
static int vtmem_frontswap_store(unsigned int type, pgoff_t offset,
				 struct page *page)
{
	struct vtmem_device *dev;
	struct vtmem_pool *pool;
	struct vtmem_key key;
	int srcu, err = -ENXIO;

	srcu = srcu_read_lock(&vtmem_srcu);
	pool = vtmem_frontswap_find(type, &dev);
	if (!dev)
		goto out;

	if (vtmem_refuses_puts(dev)) {
		vtmem_count(dev, refused_no_pool);
	} else if (vtmem_frontswap_at_target(dev)) {
		vtmem_count(dev, refused_target);
	} else if (!pool) {
		vtmem_frontswap_no_pool(dev, type);
	} else if (PageCompound(page)) {
		/* frontswap would remember the first page only. */
		vtmem_count(dev, refused_huge_page);
	} else {
		vtmem_frontswap_key(&key, type, offset);
		err = vtmem_frontswap_put(pool, &key, page);
	}
	if (err)
		vtmem_count(dev, failed_stores);
	else
		vtmem_count(dev, succ_stores);
out:
	srcu_read_unlock(&vtmem_srcu, srcu);
	return err ? -1 : 0;
}

/* A page is lost. Outside vtmem_srcu; does not return, see above. */
static void vtmem_frontswap_lost(unsigned int type, pgoff_t offset, int err)
{
	pr_err_ratelimited("virtio_tmem: DATA LOSS: page %lu of swap type %u cannot be loaded (%d): %s[%d], and who else needs it, waits for ever\n",
			   offset, type, err, current->comm, current->pid);
	for (;;)
		schedule_timeout_uninterruptible(MAX_SCHEDULE_TIMEOUT);
}

/* Called with the page locked, for a page whose store succeeded. Returns 0. */
static int vtmem_frontswap_load(unsigned int type, pgoff_t offset,
				struct page *page)
{
	struct vtmem_device *dev;
	struct vtmem_pool *pool;
	struct vtmem_key key;
	int srcu, err = -ENXIO;

	srcu = srcu_read_lock(&vtmem_srcu);
	pool = vtmem_frontswap_find(type, &dev);
	if (pool) {
		vtmem_frontswap_key(&key, type, offset);
		err = vtmem_get(pool, &key, page);
	}
	if (!err)
		vtmem_count(pool->dev, loads);
	else if (dev)
		vtmem_count(dev, lost_loads);
	srcu_read_unlock(&vtmem_srcu, srcu);
	if (err)
		vtmem_frontswap_lost(type, offset, err);
	return 0;
}

#ifdef VTMEM_LOADS_EXCLUSIVELY
/* *exclusive stays false: the page may be loaded again. */
static int vtmem_frontswap_load_kept(unsigned int type, pgoff_t offset,
				     struct page *page, bool *exclusive)
{
	return vtmem_frontswap_load(type, offset, page);
}
#endif

/* Called under the swap lock, or from store for a page stored before. */
static void vtmem_frontswap_invalidate_page(unsigned int type, pgoff_t offset)
{
	struct vtmem_device *dev;
	struct vtmem_pool *pool;
	struct vtmem_key key;
	int srcu;

	srcu = srcu_read_lock(&vtmem_srcu);
	pool = vtmem_frontswap_find(type, &dev);
	if (pool) {
		vtmem_frontswap_key(&key, type, offset);
		vtmem_flush(pool, &key);
		vtmem_count(pool->dev, invalidates);
	}
	srcu_read_unlock(&vtmem_srcu, srcu);
}

static struct frontswap_ops vtmem_frontswap_ops = {
	.init = vtmem_frontswap_init,
	.store = vtmem_frontswap_store,
#ifdef VTMEM_LOADS_EXCLUSIVELY
	.load = vtmem_frontswap_load_kept,
#else
	.load = vtmem_frontswap_load,
#endif
	.invalidate_page = vtmem_frontswap_invalidate_page,
	.invalidate_area = vtmem_frontswap_invalidate_area,
};

/* Once, for whichever device comes first. */
static int vtmem_frontswap_register(void)
{
	static DEFINE_MUTEX(mutex);
	static bool registered;
	int err = 0;

	mutex_lock(&mutex);
	if (!registered) {
		err = vtmem_frontswap_register_ops(&vtmem_frontswap_ops);
		if (!err) {
			registered = true;
			__module_get(THIS_MODULE);
		}
	}
	mutex_unlock(&mutex);
	return err;
}

/**
 * vtmem_frontswap_attach() - let frontswap use a device
 * @dev: a device with a session
 *
 * Return: 0; -ENODEV if frontswap does not use us; -EBUSY if it has a device;
 *	   another negative errno.
 */
int vtmem_frontswap_attach(struct vtmem_device *dev)
{
	unsigned int type;
	int err = vtmem_frontswap_register();

	if (err)
		return err;
	mutex_lock(&vtmem_frontswap_mutex);
	if (rcu_access_pointer(vtmem_frontswap_device))
		err = -EBUSY;
	else
		err = vtmem_shrink_start(dev);
	if (!err) {
		for_each_set_bit(type, vtmem_frontswap_types, MAX_SWAPFILES)
			vtmem_frontswap_open_pool(dev, type);
		rcu_assign_pointer(vtmem_frontswap_device, dev);
	}
	mutex_unlock(&vtmem_frontswap_mutex);
	/* Beyond the reserve every store is waited for. */
	if (!err && dev->reserve)
		vtmem_blocks_alloc(dev, VTMEM_SLOT_STAGED);
	return err;
}

/**
 * vtmem_frontswap_uses() - is a device the one behind frontswap?
 * @dev: a device
 */
bool vtmem_frontswap_uses(struct vtmem_device *dev)
{
	return rcu_access_pointer(vtmem_frontswap_device) == dev;
}

/**
 * vtmem_frontswap_detach() - frontswap does not use a device any more
 * @dev: a device; those still inside a call are waited for by the caller
 */
void vtmem_frontswap_detach(struct vtmem_device *dev)
{
	unsigned int type;

	mutex_lock(&vtmem_frontswap_mutex);
	if (rcu_access_pointer(vtmem_frontswap_device) == dev) {
		RCU_INIT_POINTER(vtmem_frontswap_device, NULL);
		for (type = 0; type < MAX_SWAPFILES; type++)
			RCU_INIT_POINTER(vtmem_frontswap_pools[type], NULL);
	}
	mutex_unlock(&vtmem_frontswap_mutex);
}
