// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: get of one page.
 *
 * Some gets need no request: of a page that is certainly not there, of one whose
 * put is not over, of one that came ahead of need. A get of a persistent page
 * must not fail: it waits for as long as it takes (load_timeout_s bounds that for
 * a disk, which can say that it failed). One of an ephemeral page waits for nothing but its answer,
 * and that not for long.
 */
#include <linux/highmem.h>
#include <linux/mm.h>

#include "vtmem.h"
#include "virtio_tmem_trace.h"

/*
 * Answers a get without the device, if that can be: -ENOENT for a page that the
 * host certainly does not have, 0 for one that is here all the same. Else 1.
 */
static int vtmem_get_local(struct vtmem_queue *q, struct vtmem_pool *pool,
			   const struct vtmem_key *key, struct page *page,
			   bool *kick)
{
	struct vtmem_chunk *chunk = vtmem_chunk_find(q, pool, key);
	struct vtmem_request *window;
	struct page *staged;

	if (!chunk || vtmem_flush_is_pending(chunk, key->index) ||
	    !vtmem_chunk_is_present(chunk, key->index)) {
		if (!pool->persistent)
			vtmem_count(q->dev, clean_filtered);
		return -ENOENT;
	}
	staged = vtmem_staged_page(q, pool, key);
	window = vtmem_window_find(q, pool, key);
	if (staged) {
		copy_highpage(page, staged);
		vtmem_count(q->dev, staged_loads);
	} else if (window && window->state != VTMEM_REQ_INFLIGHT) {
		*kick = vtmem_window_take(q, window, key, page);
	} else {
		return 1;
	}
	if (!pool->persistent) {
		/* Its copy on the host is as good as got. */
		vtmem_chunk_clear_present(chunk, key->index);
		vtmem_flush_set_pending(q, chunk, key->index);
		queue_delayed_work(vtmem_workqueue, &q->flush_work,
				   VTMEM_FLUSH_DELAY);
	}
	return 0;
}

/* Waits for a slot and takes the lock. Returns 0, or why there is none. */
static int vtmem_get_persistent_slot(struct vtmem_queue *q,
				     unsigned long *flags,
				     struct vtmem_request **req)
	__acquires(&q->lock)
{
	unsigned int patience_s, waited_s = 0;

	for (;;) {
		spin_lock_irqsave(&q->lock, *flags);
		vtmem_queue_harvest(q);
		if (q->state == VTMEM_QUEUE_DEAD)
			return -ENODEV;
		if (q->state == VTMEM_QUEUE_OPEN) {
			if (virtqueue_is_broken(q->vq))
				return -EIO;
			*req = vtmem_queue_slot(q, &q->free);
		}
		if (*req)
			return 0;
		spin_unlock_irqrestore(&q->lock, *flags);
		patience_s = vtmem_load_patience_s(q->dev);
		if (!vtmem_wait_slot(q, HZ) && ++waited_s >= patience_s &&
		    patience_s) {
			spin_lock_irqsave(&q->lock, *flags);
			return -ETIMEDOUT;
		}
	}
}

static int vtmem_get_persistent(struct vtmem_queue *q, struct vtmem_pool *pool,
				const struct vtmem_key *key, struct page *page)
{
	struct vtmem_request *req = NULL;
	unsigned long flags;
	bool kick = false;
	int err;

	spin_lock_irqsave(&q->lock, flags);
	err = vtmem_get_local(q, pool, key, page, &kick);
	spin_unlock_irqrestore(&q->lock, flags);
	if (err <= 0)
		return err;

	/* The page is locked: nothing becomes of its key meanwhile. */
	err = vtmem_get_persistent_slot(q, &flags, &req);
	if (!err)
		err = vtmem_submit_page(q, req, VIRTIO_TMEM_OP_GET, 0, pool,
					key, req->own_page);
	if (err) {
		spin_unlock_irqrestore(&q->lock, flags);
		return err;
	}
	vtmem_queue_unlock_kick(q, flags);
	return vtmem_wait(q, req, page, NULL);
}

/* Submits a get of one page, which the host has no more after it. */
static int vtmem_get_exclusive(struct vtmem_queue *q, struct vtmem_request *req,
			       struct vtmem_pool *pool,
			       const struct vtmem_key *key)
{
	struct vtmem_chunk *chunk = vtmem_chunk_find(q, pool, key);

	vtmem_chunk_clear_present(chunk, key->index);
	vtmem_chunk_release(q, chunk);
	return vtmem_submit_page(q, req, VIRTIO_TMEM_OP_GET,
				 VIRTIO_TMEM_GET_EXCLUSIVE, pool, key,
				 req->own_page);
}

/* May an ephemeral get be submitted? It waits for nothing but its answer. */
static bool vtmem_get_may_ask(struct vtmem_queue *q)
{
	return q->state == VTMEM_QUEUE_OPEN && !q->stalled &&
	       !virtqueue_is_broken(q->vq);
}

static int vtmem_get_ephemeral(struct vtmem_queue *q, struct vtmem_pool *pool,
			       const struct vtmem_key *key, struct page *page)
{
	struct vtmem_request *window, *req;
	unsigned long flags;
	bool kick, first;
	int err;

	for (first = true;; first = false) {
		kick = false;
		req = NULL;
		spin_lock_irqsave(&q->lock, flags);
		vtmem_queue_harvest(q);
		err = vtmem_get_local(q, pool, key, page, &kick);
		if (err <= 0)
			break;
		err = -EAGAIN;
		if (!vtmem_get_may_ask(q))
			break;
		window = vtmem_window_find(q, pool, key);
		if (!window && first) {
			window = vtmem_window_open(q, pool, key);
			kick = window;
		}
		if (!window) {
			req = vtmem_queue_slot(q, &q->free);
			err = req ? vtmem_get_exclusive(q, req, pool, key) :
				    -EBUSY;
			kick = !err;
			break;
		}
		window->nr_waiters++;
		if (kick)
			vtmem_queue_unlock_kick(q, flags);
		else
			spin_unlock_irqrestore(&q->lock, flags);
		err = vtmem_wait_done(q, window);
		spin_lock_irqsave(&q->lock, flags);
		window->nr_waiters--;
		if (err)
			q->stalled = true;
		spin_unlock_irqrestore(&q->lock, flags);
		if (err)
			return -ETIMEDOUT;
	}
	if (kick)
		vtmem_queue_unlock_kick(q, flags);
	else
		spin_unlock_irqrestore(&q->lock, flags);
	if (!err && req) {
		err = vtmem_wait(q, req, page, NULL);
		if (err)
			vtmem_count(q->dev, clean_misses);
	}
	return err;
}

/**
 * vtmem_get() - copy a page back from the host
 * @pool:	a pool
 * @key:	the page's key
 * @page:	an order-0 page, locked, referenced
 *
 * An ephemeral page is on the host no more afterwards, except that it may be
 * when -EAGAIN is returned.
 *
 * Context: may sleep, for a persistent page as long as the host does not
 *	    answer.
 * Return: 0 when @page holds what was put; -ENOENT if the host has no page
 *	   under the key; another negative errno if it could not be asked or
 *	   did not answer properly. @page's content is undefined then.
 */
int vtmem_get(struct vtmem_pool *pool, const struct vtmem_key *key,
	      struct page *page)
{
	struct vtmem_queue *q = vtmem_pool_queue(pool, key->oid);
	u64 start = vtmem_clock_now(), ns;
	int err;

	if (pool->persistent)
		err = vtmem_get_persistent(q, pool, key, page);
	else
		err = vtmem_get_ephemeral(q, pool, key, page);

	ns = vtmem_clock_ns_since(start);
	if (!err)
		vtmem_record_latency(q->dev, VTMEM_LATENCY_GET, ns);
	trace_virtio_tmem_get(pool, key, q->index, ns, err);
	return err;
}
