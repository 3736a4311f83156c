// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: put, get and flush of one page.
 *
 * What front ends call. put and get submit one request and wait for it; flush
 * only remembers (see virtio_tmem_flush.c). The three record their latency,
 * from the call to the answer.
 *
 * Waiting follows from what an operation may do. A put may fail, so it gives
 * up after VTMEM_TIMEOUT_S, and once one has, others are refused at once until
 * the device answers something. A get of a persistent page must not fail: it
 * waits for as long as it takes (load_timeout_s bounds it for those who want
 * it). A put given up may still happen, later and with other content, because
 * its page is in use again: it is flushed right behind.
 */
#include <linux/highmem.h>
#include <linux/mm.h>

#include "vtmem.h"
#include "virtio_tmem_trace.h"

/**
 * vtmem_submit_page() - submit a request for one page, with flushes behind it
 * @q:		its queue, locked and open
 * @req:	a slot
 * @op:		PUT or GET
 * @op_flags:	its flags
 * @pool:	its pool
 * @key:	its key
 * @page:	the page the device is to read or write
 *
 * Return: 0, or -EIO if the ring is broken; the slot is given back then.
 */
int vtmem_submit_page(struct vtmem_queue *q, struct vtmem_request *req, u16 op,
		      u16 op_flags, struct vtmem_pool *pool,
		      const struct vtmem_key *key, struct page *page)
{
	int err;

	req->op = op;
	req->flags = op_flags;
	req->pool = pool;
	req->pool_id = pool->id;
	req->key = *key;
	req->nr_pages = 1;
	req->page = page;
	err = vtmem_queue_submit(q, req);
	if (err)
		vtmem_queue_put_slot(q, req);
	else
		vtmem_flush_submit(q, VTMEM_PIGGYBACK_FLUSHES);
	return err;
}

/* The host's normal no; it keeps nothing under the key. */
static void vtmem_put_refused(struct vtmem_queue *q, struct vtmem_pool *pool,
			      const struct vtmem_key *key)
{
	struct vtmem_chunk *chunk;
	unsigned long flags;

	spin_lock_irqsave(&q->lock, flags);
	chunk = vtmem_chunk_find(q, pool, key);
	if (chunk && vtmem_chunk_clear_present(chunk, key->index))
		vtmem_pool_unhold(pool, 1);
	spin_unlock_irqrestore(&q->lock, flags);
}

static int vtmem_put_and_wait(struct vtmem_queue *q, struct vtmem_pool *pool,
			      const struct vtmem_key *key, struct page *page)
{
	struct vtmem_request *req = NULL;
	struct vtmem_chunk *chunk;
	bool waited = false;
	unsigned long flags;
	int err;

	for (;;) {
		spin_lock_irqsave(&q->lock, flags);
		vtmem_queue_harvest(q);
		if (q->state != VTMEM_QUEUE_OPEN || q->stalled || waited)
			break;
		req = vtmem_queue_slot(q, &q->free);
		if (req)
			break;
		spin_unlock_irqrestore(&q->lock, flags);
		waited = !vtmem_wait_slot(q, VTMEM_TIMEOUT_S * HZ);
	}
	if (!req) {
		spin_unlock_irqrestore(&q->lock, flags);
		vtmem_count(q->dev, refused_stalled);
		return -EAGAIN;
	}

	chunk = vtmem_chunk_get(q, pool, key);
	if (!chunk) {
		vtmem_queue_put_slot(q, req);
		spin_unlock_irqrestore(&q->lock, flags);
		vtmem_count(q->dev, refused_no_chunk);
		return -ENOMEM;
	}
	if (!vtmem_chunk_is_held(chunk, key->index))
		vtmem_pool_hold(pool, LONG_MAX);
	/* Before submission, for flushes travel behind the put. */
	vtmem_flush_clear_pending(q, chunk, key->index, 1);
	vtmem_chunk_set_present(chunk, key->index);
	err = vtmem_submit_page(q, req, VIRTIO_TMEM_OP_PUT, 0, pool, key, page);
	if (err) {
		spin_unlock_irqrestore(&q->lock, flags);
	} else {
		vtmem_staged_drop_kept(q, pool, key);
		vtmem_queue_unlock_kick(q, flags);
		err = vtmem_wait(q, req, NULL, NULL);
	}

	switch (err) {
	case 0:
		return 0;
	case -ENOSPC:
		vtmem_put_refused(q, pool, key);
		vtmem_count(q->dev, refused_host);
		return err;
	case -ETIMEDOUT:
		vtmem_count(q->dev, refused_timeout);
		break;
	default:
		vtmem_count(q->dev, refused_error);
		break;
	}
	/* Whether the host holds something now is not known: see to it. */
	vtmem_flush(pool, key);
	return err;
}

/**
 * vtmem_put() - copy a page to the host
 * @pool:	a persistent pool
 * @key:	the page's key
 * @page:	an order-0 page, locked or otherwise stable, referenced
 *
 * Context: may sleep; allocates nothing.
 * Return: 0 when the host holds the page. Otherwise a negative errno, and the
 *	   host holds no page under the key or soon will not.
 */
int vtmem_put(struct vtmem_pool *pool, const struct vtmem_key *key,
	      struct page *page)
{
	struct vtmem_queue *q = vtmem_pool_queue(pool, key->oid);
	u64 start = vtmem_clock_now(), ns;
	int err = vtmem_put_and_wait(q, pool, key, page);

	ns = vtmem_clock_ns_since(start);
	vtmem_record_latency(q->dev, VTMEM_LATENCY_PUT, ns);
	trace_virtio_tmem_put(pool, key, q->index, ns, err);
	return err;
}

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
		if (q->vq && virtqueue_is_broken(q->vq))
			return -EIO;
		if (q->state == VTMEM_QUEUE_OPEN)
			*req = vtmem_queue_slot(q, &q->free);
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
		if (kick)
			vtmem_queue_unlock_kick(q, flags);
		else
			spin_unlock_irqrestore(&q->lock, flags);
		if (vtmem_wait_done(q, window)) {
			vtmem_queue_stall(q);
			return -ETIMEDOUT;
		}
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

/**
 * vtmem_flush() - let the host forget a page, soon
 * @pool:	a pool
 * @key:	the page's key
 *
 * Context: any but NMI; never sleeps, never fails.
 */
void vtmem_flush(struct vtmem_pool *pool, const struct vtmem_key *key)
{
	struct vtmem_queue *q = vtmem_pool_queue(pool, key->oid);
	struct vtmem_chunk *chunk;
	bool submitted = false;
	unsigned long flags;

	spin_lock_irqsave(&q->lock, flags);
	chunk = vtmem_chunk_find(q, pool, key);
	/* A page that is certainly not there needs no flush. */
	if (chunk && !vtmem_chunk_clear_present(chunk, key->index))
		chunk = NULL;
	if (chunk) {
		vtmem_staged_drop_kept(q, pool, key);
		vtmem_flush_set_pending(q, chunk, key->index);
		if (q->nr_pending >= VTMEM_FLUSH_BATCH) {
			vtmem_queue_harvest(q);
			submitted = vtmem_flush_submit(q, UINT_MAX);
		}
	}
	if (submitted)
		vtmem_queue_unlock_kick(q, flags);
	else
		spin_unlock_irqrestore(&q->lock, flags);
	if (chunk)
		queue_delayed_work(vtmem_workqueue, &q->flush_work,
				   VTMEM_FLUSH_DELAY);
}

/**
 * vtmem_flush_object() - let the host forget every page of an object, soon
 * @pool:	an ephemeral pool
 * @oid:	the object
 *
 * Context: any but NMI; never sleeps, never fails.
 */
void vtmem_flush_object(struct vtmem_pool *pool, const u64 oid[3])
{
	struct vtmem_queue *q = vtmem_pool_queue(pool, oid);
	struct vtmem_object *object;
	unsigned long flags;

	spin_lock_irqsave(&q->lock, flags);
	object = vtmem_object_find(q, pool, oid);
	if (object) {
		vtmem_flush_set_object(q, object);
		queue_delayed_work(vtmem_workqueue, &q->flush_work,
				   VTMEM_FLUSH_DELAY);
	}
	spin_unlock_irqrestore(&q->lock, flags);
}
