// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: puts nobody waits for.
 *
 * The page is copied into its slot and the caller goes on at once; the device
 * is notified once for VTMEM_STAGED_BATCH of them, or when another request of
 * the queue is, or by the work item that sends flushes. As a queue executes in
 * order, a get or a flush of the same key never passes the put, and a later put
 * of the key replaces it.
 *
 * What becomes of a put that fails:
 *   ephemeral	the page is a miss from then on
 *   persistent	its store was reported as done, so the slot keeps the copy until
 *		the key is put again or flushed, and loads are answered from it.
 *		Front ends stage only what the device must not refuse, so this
 *		is a device that breaks its promise, or a page it cannot store
 */
#include <linux/highmem.h>
#include <linux/mm.h>

#include "vtmem.h"
#include "virtio_tmem_trace.h"

/* Staged puts that share a notification, while the device is not awake. */
#define STAGED_BATCH		16

/**
 * vtmem_staged_find() - find the copy of a page whose put is not over
 * @q:		the page's queue, locked
 * @pool:	its pool
 * @key:	its key
 *
 * Return: the newest such put, or NULL.
 */
struct vtmem_request *vtmem_staged_find(struct vtmem_queue *q,
					const struct vtmem_pool *pool,
					const struct vtmem_key *key)
{
	struct vtmem_request *req;

	lockdep_assert_held(&q->lock);
	list_for_each_entry(req, &q->staged, link) {
		if (req->pool == pool && req->key.index == key->index &&
		    !memcmp(req->key.oid, key->oid, sizeof(key->oid)))
			return req;
	}
	return NULL;
}

static void vtmem_staged_release(struct vtmem_queue *q,
				 struct vtmem_request *req)
{
	if (req->state == VTMEM_REQ_KEPT)
		q->nr_kept--;
	req->staged = false;
	list_del(&req->link);
	vtmem_queue_put_slot(q, req);
}

/**
 * vtmem_staged_drop_kept() - a page's kept copy is not needed any more
 * @q:		the page's queue, locked
 * @pool:	its pool
 * @key:	its key
 */
void vtmem_staged_drop_kept(struct vtmem_queue *q,
			    const struct vtmem_pool *pool,
			    const struct vtmem_key *key)
{
	struct vtmem_request *req;

	if (!q->nr_kept)
		return;
	req = vtmem_staged_find(q, pool, key);
	if (req && req->state == VTMEM_REQ_KEPT)
		vtmem_staged_release(q, req);
}

/**
 * vtmem_staged_forget_pool() - no kept copy of a pool is needed any more
 * @q:		an unlocked queue
 * @pool:	a pool about to be dropped as a whole
 */
void vtmem_staged_forget_pool(struct vtmem_queue *q, struct vtmem_pool *pool)
{
	struct vtmem_request *req, *next;

	spin_lock_irq(&q->lock);
	list_for_each_entry_safe(req, next, &q->staged, link) {
		if (req->pool == pool && req->state == VTMEM_REQ_KEPT)
			vtmem_staged_release(q, req);
	}
	spin_unlock_irq(&q->lock);
}

/* The host may hold an older page, a refusal apart: see to it that it does not. */
static void vtmem_staged_failed(struct vtmem_queue *q,
				struct vtmem_request *req)
{
	struct vtmem_chunk *chunk = vtmem_chunk_find(q, req->pool, &req->key);

	if (!chunk || !vtmem_chunk_clear_present(chunk, req->key.index))
		return;
	if (req->result != -ENOSPC) {
		vtmem_flush_set_pending(q, chunk, req->key.index);
		queue_delayed_work(vtmem_workqueue, &q->flush_work,
				   VTMEM_FLUSH_DELAY);
	}
	vtmem_chunk_release(q, chunk);
}

static bool vtmem_staged_is_flushed(struct vtmem_queue *q,
				    const struct vtmem_pool *pool,
				    const struct vtmem_key *key)
{
	struct vtmem_chunk *chunk = vtmem_chunk_find(q, pool, key);

	return !chunk || !vtmem_chunk_is_present(chunk, key->index);
}

/**
 * vtmem_staged_complete() - a staged put is over
 * @q:		its queue, locked
 * @req:	the put; its result is set
 */
void vtmem_staged_complete(struct vtmem_queue *q, struct vtmem_request *req)
{
	struct vtmem_pool *pool = req->pool;
	struct vtmem_key key = req->key;
	bool newest;

	lockdep_assert_held(&q->lock);
	if (!req->result || q->state == VTMEM_QUEUE_DEAD) {
		vtmem_staged_release(q, req);
		return;
	}
	newest = vtmem_staged_find(q, pool, &key) == req;
	if (!pool->persistent) {
		if (newest)
			vtmem_staged_failed(q, req);
		vtmem_staged_release(q, req);
	} else if (!newest || vtmem_staged_is_flushed(q, pool, &key)) {
		vtmem_staged_release(q, req);
	} else {
		vtmem_count(q->dev, kept_stores);
		pr_err_ratelimited("virtio_tmem: %s: a page within the reserve was not stored (%d), its copy stays here\n",
				   q->name, req->result);
		req->state = VTMEM_REQ_KEPT;
		q->nr_kept++;
	}
}

/* The slot for a staged put of @key with its chunk, or an ERR_PTR(). */
static struct vtmem_request *vtmem_staged_slot(struct vtmem_queue *q,
					       struct vtmem_pool *pool,
					       const struct vtmem_key *key,
					       struct vtmem_chunk **chunk)
{
	struct vtmem_object *object = vtmem_object_find(q, pool, key->oid);
	struct vtmem_request *req;

	if (q->state != VTMEM_QUEUE_OPEN || q->stalled)
		return ERR_PTR(-EAGAIN);
	if (object && object->flush_all && !vtmem_flush_submit_object(q, object))
		return ERR_PTR(-EBUSY);
	req = vtmem_queue_slot(q, &q->free_staged);
	if (!req)
		return ERR_PTR(-EBUSY);
	*chunk = vtmem_chunk_get(q, pool, key);
	if (!*chunk) {
		vtmem_queue_put_slot(q, req);
		return ERR_PTR(-ENOMEM);
	}
	return req;
}

/**
 * vtmem_put_staged() - copy a page, and the copy to the host, later
 * @pool:	a pool
 * @key:	the page's key
 * @page:	an order-0 page whose content does not change during the call
 *
 * Context: any but NMI; never sleeps.
 * Return: 0, or a negative errno when there was no room: nothing happened, and
 *	   the host may still hold an older page under the key.
 */
int vtmem_put_staged(struct vtmem_pool *pool, const struct vtmem_key *key,
		     struct page *page)
{
	struct vtmem_queue *q = vtmem_pool_queue(pool, key->oid);
	u64 start = vtmem_clock_now(), ns;
	struct vtmem_request *req;
	struct vtmem_chunk *chunk;
	unsigned long flags;
	int err;

	spin_lock_irqsave(&q->lock, flags);
	vtmem_queue_harvest(q);
	req = vtmem_staged_slot(q, pool, key, &chunk);
	if (IS_ERR(req)) {
		spin_unlock_irqrestore(&q->lock, flags);
		return PTR_ERR(req);
	}
	req->detached = true;
	copy_highpage(req->own_page, page);
	/* Flushes travel behind the put, and take a chunk without bits along. */
	vtmem_flush_clear_pending(q, chunk, key->index, 1);
	vtmem_chunk_set_present(chunk, key->index);
	err = vtmem_submit_page(q, req, VIRTIO_TMEM_OP_PUT, 0, pool, key,
				req->own_page);
	if (err) {
		vtmem_flush_set_pending(q, chunk, key->index);
		spin_unlock_irqrestore(&q->lock, flags);
		return err;
	}
	vtmem_staged_drop_kept(q, pool, key);
	req->staged = true;
	list_add(&req->link, &q->staged);
	if (++q->nr_unkicked >= STAGED_BATCH)
		vtmem_queue_unlock_kick(q, flags);
	else
		spin_unlock_irqrestore(&q->lock, flags);
	queue_delayed_work(vtmem_workqueue, &q->flush_work, VTMEM_FLUSH_DELAY);

	ns = vtmem_clock_ns_since(start);
	vtmem_record_latency(q->dev, VTMEM_LATENCY_STAGED_PUT, ns);
	trace_virtio_tmem_put(pool, key, q->index, ns, 0);
	return 0;
}
