/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: pools and the keys of their pages, the session they live in.
 */
#ifndef _VTMEM_POOL_H
#define _VTMEM_POOL_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/types.h>

struct page;
struct vtmem_device;
struct vtmem_queue;

/**
 * struct vtmem_key - names a page inside a pool
 * @oid:	object id
 * @index:	page of the object
 */
struct vtmem_key {
	u64 oid[3];
	u32 index;
};

/**
 * struct vtmem_pool - a pool on the host
 * @link:	on its device's list
 * @dev:	its device
 * @id:		the host's name for it, valid for one session
 * @seed:	of the objects' way to queues: stays when the pool is made again
 * @persistent:	false: the host may drop any page at any time
 * @inflight:	requests of this pool in some ring
 * @nr_present:	pages the host may have, as far as gets know
 * @nr_held:	persistent: most pages the host can hold, flushes not over
 *		included
 */
struct vtmem_pool {
	struct list_head link;
	struct vtmem_device *dev;
	u32 id;
	u32 seed;
	bool persistent;
	atomic_t inflight;
	atomic_long_t nr_present;
	atomic_long_t nr_held;
};

int vtmem_session_reset(struct vtmem_device *dev);
int vtmem_session_attach(struct vtmem_device *dev);
int vtmem_session_renew(struct vtmem_device *dev,
			const struct vtmem_pool *remembered);
int vtmem_session_stat(struct vtmem_device *dev, u32 pool_id, u64 *value);
bool vtmem_session_is_asked(struct vtmem_device *dev);
int vtmem_session_pages(struct vtmem_device *dev, bool persistent, u64 *pages);
u64 vtmem_pool_present(struct vtmem_device *dev, bool persistent);
struct vtmem_pool *vtmem_pool_create(struct vtmem_device *dev,
				     bool persistent);
void vtmem_pool_destroy(struct vtmem_pool *pool);
void vtmem_pool_free_all(struct vtmem_device *dev);
bool vtmem_pool_hold(struct vtmem_pool *pool, u64 limit);
void vtmem_pool_unhold(struct vtmem_pool *pool, u32 nr_pages);
struct vtmem_queue *vtmem_pool_queue(struct vtmem_pool *pool,
				     const u64 oid[3]);

/* virtio_tmem_page.c: what a front end does with one page. */
int vtmem_put(struct vtmem_pool *pool, const struct vtmem_key *key,
	      struct page *page);
int vtmem_put_staged(struct vtmem_pool *pool, const struct vtmem_key *key,
		     struct page *page);
int vtmem_get(struct vtmem_pool *pool, const struct vtmem_key *key,
	      struct page *page);
void vtmem_flush(struct vtmem_pool *pool, const struct vtmem_key *key);
void vtmem_flush_object(struct vtmem_pool *pool, const u64 oid[3]);

#endif /* _VTMEM_POOL_H */
