// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: put and flush of one page.
 *
 * What front ends call, with vtmem_get() of virtio_tmem_get.c. A put submits one
 * request and waits for it; a flush only remembers (see virtio_tmem_flush.c).
 *
 * A put may fail, so it gives up after VTMEM_TIMEOUT_S, and once one has, others
 * are refused at once until the device answers something. A put given up may
 * still happen, later and with other content, because its page is in use again:
 * it is flushed right behind.
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
		/* Woken for a slot that it does not take: pass it on. */
		if (!list_empty(&q->free))
			vtmem_wake_for_slot(q);
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
	vtmem_staged_supersede(q, pool, key);
	vtmem_flush_clear_pending(q, chunk, key->index, 1);
	vtmem_chunk_set_present(chunk, key->index);
	err = vtmem_submit_page(q, req, VIRTIO_TMEM_OP_PUT, 0, pool, key, page);
	if (err) {
		spin_unlock_irqrestore(&q->lock, flags);
	} else {
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
		vtmem_staged_supersede(q, pool, key);
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
