// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: the session and its pools, on the control queue.
 *
 * Control requests are not ordered against page requests. So a pool is dropped
 * only after its page requests were answered; a host that does not answer
 * makes us go on after a while, which does no harm: pool ids are not used
 * twice in a session, so a request that comes too late finds no pool.
 */
#include <linux/delay.h>
#include <linux/jhash.h>
#include <linux/slab.h>

#include "vtmem.h"
#include "vtmem_wishes.h"

/* How long a pool's last requests are waited for. */
#define POOL_DRAIN_TIMEOUT_MS	10000

/* As long as an answer is waited for. */
#define SLOT_TIMEOUT		(10 * HZ)

struct vtmem_control {
	u16 op;
	u16 flags;
	u32 pool_id;
	u64 oid0;
	u32 index;
};

/* Returns 0 and the response's value, or a negative errno. May sleep. */
static int vtmem_control(struct vtmem_device *dev,
			 const struct vtmem_control *control, u64 *value)
{
	struct vtmem_queue *q = &dev->queues[VIRTIO_TMEM_CONTROL_QUEUE];
	struct vtmem_request *req = NULL;
	unsigned long flags;
	int err;

	lockdep_assert_held(&dev->control_mutex);
	for (;;) {
		spin_lock_irqsave(&q->lock, flags);
		vtmem_queue_harvest(q);
		if (q->state != VTMEM_QUEUE_OPEN) {
			spin_unlock_irqrestore(&q->lock, flags);
			return -EIO;
		}
		req = vtmem_queue_slot(q, &q->free);
		if (req)
			break;
		spin_unlock_irqrestore(&q->lock, flags);
		/* All are with requests that were given up, unanswered. */
		if (!vtmem_wait_slot(q, SLOT_TIMEOUT))
			return -ETIMEDOUT;
	}
	req->op = control->op;
	req->flags = control->flags;
	req->pool_id = control->pool_id;
	memset(&req->key, 0, sizeof(req->key));
	req->key.oid[0] = control->oid0;
	req->key.index = control->index;
	req->nr_pages = 0;
	err = vtmem_queue_submit(q, req);
	if (err) {
		vtmem_queue_put_slot(q, req);
		spin_unlock_irqrestore(&q->lock, flags);
		return err;
	}
	vtmem_queue_unlock_kick(q, flags);
	return vtmem_wait(q, req, NULL, value);
}

static int vtmem_session_open(struct vtmem_device *dev)
{
	const struct vtmem_control control = { .op = VIRTIO_TMEM_OP_RESET };
	u64 session;
	int err;

	err = vtmem_control(dev, &control, &session);
	if (!err && !session)
		err = -EPROTO;
	if (!err)
		dev->session = session;
	return err;
}

/**
 * vtmem_session_reset() - open a new session; the host drops every old pool
 * @dev: a device whose queues are open
 *
 * Return: 0 or a negative errno.
 */
int vtmem_session_reset(struct vtmem_device *dev)
{
	int err;

	mutex_lock(&dev->control_mutex);
	err = vtmem_session_open(dev);
	mutex_unlock(&dev->control_mutex);
	return err;
}

/**
 * vtmem_session_attach() - go on with the session the device was reset from
 * @dev: a device whose queues are open again
 *
 * Return: 0; -ESTALE if the host no longer knows the session; another negative
 *	   errno.
 */
int vtmem_session_attach(struct vtmem_device *dev)
{
	const struct vtmem_control control = {
		.op = VIRTIO_TMEM_OP_ATTACH,
		.oid0 = dev->session,
	};
	int err;

	mutex_lock(&dev->control_mutex);
	err = vtmem_control(dev, &control, NULL);
	mutex_unlock(&dev->control_mutex);
	return err;
}

/**
 * vtmem_session_stat() - ask the host for a number
 * @dev:	a device with a session
 * @pool_id:	a pool's, or another number that STAT knows
 * @value:	set on success
 *
 * Return: 0; -ENXIO if the host does not know @pool_id; another negative errno.
 */
int vtmem_session_stat(struct vtmem_device *dev, u32 pool_id, u64 *value)
{
	const struct vtmem_control control = {
		.op = VIRTIO_TMEM_OP_STAT,
		.pool_id = pool_id,
	};
	int err;

	mutex_lock(&dev->control_mutex);
	err = vtmem_control(dev, &control, value);
	mutex_unlock(&dev->control_mutex);
	return err;
}

/**
 * vtmem_session_is_asked() - is a control request still to be answered?
 * @dev: a device
 */
bool vtmem_session_is_asked(struct vtmem_device *dev)
{
	struct vtmem_queue *q = &dev->queues[VIRTIO_TMEM_CONTROL_QUEUE];
	bool asked;

	spin_lock_irq(&q->lock);
	vtmem_queue_harvest(q);
	asked = q->nr_inflight > 0;
	spin_unlock_irq(&q->lock);
	return asked;
}

/**
 * vtmem_session_pages() - ask how many pages the host holds for this guest
 * @dev:	a device
 * @persistent:	in which kind of pools
 * @pages:	set on success
 *
 * Return: 0 or a negative errno.
 */
int vtmem_session_pages(struct vtmem_device *dev, bool persistent, u64 *pages)
{
	struct vtmem_control control = { .op = VIRTIO_TMEM_OP_STAT };
	struct vtmem_pool *pool;
	u64 held;
	int err = 0;

	*pages = 0;
	mutex_lock(&dev->control_mutex);
	list_for_each_entry(pool, &dev->pools, link) {
		if (pool->persistent != persistent)
			continue;
		control.pool_id = pool->id;
		err = vtmem_control(dev, &control, &held);
		if (err)
			break;
		*pages += held;
	}
	mutex_unlock(&dev->control_mutex);
	return err;
}

/**
 * vtmem_pool_present() - how many pages the host may hold, as the guest counts
 * @dev:	a device
 * @persistent:	in which kind of pools
 *
 * Context: may sleep.
 */
u64 vtmem_pool_present(struct vtmem_device *dev, bool persistent)
{
	struct vtmem_pool *pool;
	u64 pages = 0;

	mutex_lock(&dev->control_mutex);
	list_for_each_entry(pool, &dev->pools, link) {
		if (pool->persistent == persistent)
			pages += atomic_long_read(&pool->nr_present);
	}
	mutex_unlock(&dev->control_mutex);
	return pages;
}

/* Gives @pool an id on the host. */
static int vtmem_pool_open(struct vtmem_pool *pool)
{
	const struct vtmem_control control = {
		.op = VIRTIO_TMEM_OP_POOL_CREATE,
		.flags = pool->persistent ? VIRTIO_TMEM_POOL_PERSISTENT : 0,
		.index = PAGE_SHIFT,
	};
	u64 id;
	int err;

	err = vtmem_control(pool->dev, &control, &id);
	if (err)
		return err;
	if (id >= VIRTIO_TMEM_ALL_POOLS)
		return -EPROTO;
	pool->id = id;
	return 0;
}

/**
 * vtmem_pool_create() - make a pool on the host
 * @dev:	a device with a session
 * @persistent:	the kind of pool
 *
 * Context: may sleep.
 * Return: the pool or an ERR_PTR().
 */
struct vtmem_pool *vtmem_pool_create(struct vtmem_device *dev, bool persistent)
{
	struct vtmem_pool *pool = kzalloc(sizeof(*pool), GFP_KERNEL);
	int err;

	if (!pool)
		return ERR_PTR(-ENOMEM);
	pool->dev = dev;
	pool->persistent = persistent;
	atomic_set(&pool->inflight, 0);
	atomic_long_set(&pool->nr_present, 0);
	atomic_long_set(&pool->nr_held, 0);

	mutex_lock(&dev->control_mutex);
	err = vtmem_pool_open(pool);
	if (!err) {
		pool->seed = pool->id;
		list_add_tail(&pool->link, &dev->pools);
	}
	mutex_unlock(&dev->control_mutex);
	if (err) {
		kfree(pool);
		return ERR_PTR(err);
	}
	return pool;
}

/* Waits until no request of @pool is in a ring. Returns whether that came. */
static bool vtmem_pool_drain(struct vtmem_pool *pool)
{
	struct vtmem_device *dev = pool->dev;
	unsigned int i, waited_ms;

	for (waited_ms = 0; waited_ms < POOL_DRAIN_TIMEOUT_MS; waited_ms++) {
		for (i = 0; i < dev->nr_queues; i++)
			vtmem_queue_kick_rest(&dev->queues[i]);
		/* Pairs with the release in vtmem_queue_complete(). */
		if (!atomic_read_acquire(&pool->inflight))
			return true;
		usleep_range(1000, 1500);
	}
	return false;
}

/**
 * vtmem_pool_hold() - count a page that is about to be put
 * @pool:	a persistent pool
 * @limit:	most pages of all persistent pools
 *
 * Return: false if it would be more than that; nothing is counted then.
 */
bool vtmem_pool_hold(struct vtmem_pool *pool, u64 limit)
{
	struct vtmem_device *dev = pool->dev;

	if (atomic_long_inc_return(&dev->nr_held) > limit) {
		atomic_long_dec(&dev->nr_held);
		return false;
	}
	atomic_long_inc(&pool->nr_held);
	vtmem_wishes_hold(dev);
	return true;
}

/**
 * vtmem_pool_unhold() - the host holds pages no more
 * @pool:	a persistent pool
 * @nr_pages:	their number
 */
void vtmem_pool_unhold(struct vtmem_pool *pool, u32 nr_pages)
{
	atomic_long_sub(nr_pages, &pool->nr_held);
	atomic_long_sub(nr_pages, &pool->dev->nr_held);
}

/* Drops all the guest remembers of a pool's pages. */
static void vtmem_pool_forget(struct vtmem_pool *pool)
{
	struct vtmem_device *dev = pool->dev;
	unsigned int i;

	/* Of all queues that the device ever had. */
	for (i = 1; i < VTMEM_MAX_QUEUES && dev->queues[i].requests; i++) {
		vtmem_object_forget_pool(&dev->queues[i], pool);
		spin_lock_irq(&dev->queues[i].lock);
		vtmem_staged_forget(&dev->queues[i], pool);
		spin_unlock_irq(&dev->queues[i].lock);
	}
}

/**
 * vtmem_pool_destroy() - drop a pool and its pages
 * @pool: a pool no front end uses any more
 *
 * Context: may sleep.
 */
void vtmem_pool_destroy(struct vtmem_pool *pool)
{
	struct vtmem_control control = { .op = VIRTIO_TMEM_OP_POOL_DESTROY };
	struct vtmem_device *dev = pool->dev;
	bool drained;
	int err;

	vtmem_pool_forget(pool);
	drained = vtmem_pool_drain(pool);

	mutex_lock(&dev->control_mutex);
	/* Another one than before in a new session. */
	control.pool_id = pool->id;
	err = vtmem_control(dev, &control, NULL);
	if (!err && drained)
		vtmem_pool_unhold(pool, atomic_long_read(&pool->nr_held));
	else
		dev_warn(&dev->vdev->dev,
			 "pool %u: the host did not drop it in order (%d)\n",
			 pool->id, err);
	/* A pool with requests in a ring is freed with the device. */
	if (drained) {
		list_del(&pool->link);
		kfree(pool);
	}
	mutex_unlock(&dev->control_mutex);
}

/**
 * vtmem_session_renew() - open a new session, with every pool again, empty
 * @dev:	a device without page requests in its rings
 * @remembered:	a pool whose pages are asked for all the same, so that who needs
 *		one is told that it is lost; or NULL
 *
 * Return: 0 or the first negative errno.
 */
int vtmem_session_renew(struct vtmem_device *dev,
			const struct vtmem_pool *remembered)
{
	struct vtmem_pool *pool;
	int err;

	mutex_lock(&dev->control_mutex);
	err = vtmem_session_open(dev);
	if (err)
		goto out;
	/* In this session an id of before may be another pool's. */
	list_for_each_entry(pool, &dev->pools, link)
		pool->id = VIRTIO_TMEM_ALL_POOLS;
	list_for_each_entry(pool, &dev->pools, link) {
		if (pool != remembered) {
			vtmem_pool_forget(pool);
			vtmem_pool_unhold(pool,
					  atomic_long_read(&pool->nr_held));
		}
		err = vtmem_pool_open(pool);
		if (err) {
			/* Nobody is to go on with half of the pools. */
			dev->session = 0;
			break;
		}
	}
out:
	mutex_unlock(&dev->control_mutex);
	return err;
}

/**
 * vtmem_pool_free_all() - forget all pools of a device that is going away
 * @dev: a device without rings, that no front end uses any more
 */
void vtmem_pool_free_all(struct vtmem_device *dev)
{
	struct vtmem_pool *pool, *next;

	mutex_lock(&dev->control_mutex);
	list_for_each_entry_safe(pool, next, &dev->pools, link) {
		vtmem_pool_forget(pool);
		list_del(&pool->link);
		kfree(pool);
	}
	mutex_unlock(&dev->control_mutex);
}

/**
 * vtmem_pool_queue() - the queue all requests of an object go through
 * @pool:	the object's pool
 * @oid:	the object
 */
struct vtmem_queue *vtmem_pool_queue(struct vtmem_pool *pool, const u64 oid[3])
{
	struct vtmem_device *dev = pool->dev;
	u32 hash = jhash2((const u32 *)oid, 3 * sizeof(u64) / sizeof(u32),
			  pool->seed);

	return &dev->queues[1 + reciprocal_scale(hash, dev->nr_queues - 1)];
}
