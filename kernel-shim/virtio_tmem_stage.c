// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: puts nobody waits for.
 *
 * A page is copied into a slot and the caller goes on at once. The slot has room
 * for VTMEM_BLOCK_PAGES neighbours of an object, and stays open for them until
 *   - it is full: then the device is notified too;
 *   - another request enters the ring: nothing passes a staged put, so that a
 *     get or a flush of its keys comes after it;
 *   - a put needs another slot and MAX_OPEN are open already;
 *   - the work item that sends flushes runs.
 * Slots that are open are submitted all at once, the oldest first: a key may be
 * in two of them, and then its newer put is in the newer slot.
 *
 * A copy is current from when it is made until its key is put again, in whatever
 * way, or flushed: that is its bit in the slot's mask, whatever the slot's state.
 * Only a current copy answers a get, and only a current copy is kept. Whether the
 * page is present does not say so: a newer put makes it present again while the
 * older one is still on its way, and the answer to that may be a refusal.
 *
 * What becomes of pages the device does not take:
 *   ephemeral	they are misses from then on
 *   persistent	their stores were reported as done, so the slot keeps the copies
 *		until the keys are put again or flushed, and loads are answered
 *		from it. Front ends stage only what the device must not refuse, so
 *		this is a device that breaks its promise, or one that broke
 */
#include <linux/highmem.h>
#include <linux/mm.h>

#include "vtmem.h"
#include "virtio_tmem_trace.h"

/* Two reclaimers, each with its own file, and a change from one to the next. */
#define MAX_OPEN		4

/* Submitted slots that share a notification, if no full one comes before. */
#define STAGED_BATCH		4

/* The slot with the current copy of a page whose put is not over, or NULL. */
static struct vtmem_request *vtmem_staged_find(struct vtmem_queue *q,
					       const struct vtmem_pool *pool,
					       const struct vtmem_key *key)
{
	struct vtmem_request *req;

	lockdep_assert_held(&q->lock);
	list_for_each_entry(req, &q->staged, link) {
		if (vtmem_request_names(req, pool, key) &&
		    test_bit(key->index - req->key.index, &req->mask))
			return req;
	}
	return NULL;
}

/**
 * vtmem_staged_page() - find the copy of a page whose put is not over
 * @q:		the page's queue, locked
 * @pool:	its pool
 * @key:	its key
 *
 * Return: the current copy, or NULL.
 */
struct page *vtmem_staged_page(struct vtmem_queue *q,
			       const struct vtmem_pool *pool,
			       const struct vtmem_key *key)
{
	struct vtmem_request *req = vtmem_staged_find(q, pool, key);

	return req ? req->own_page + (key->index - req->key.index) : NULL;
}

static void vtmem_staged_release(struct vtmem_queue *q,
				 struct vtmem_request *req)
{
	if (req->state == VTMEM_REQ_KEPT)
		q->nr_kept--;
	else if (req->state == VTMEM_REQ_OPEN)
		q->nr_open--;
	q->nr_staged_pages -= req->nr_pages;
	list_del(&req->link);
	vtmem_queue_put_slot(q, req);
}

/**
 * vtmem_staged_supersede() - a page is put anew or flushed
 * @q:		the page's queue, locked
 * @pool:	its pool
 * @key:	its key
 *
 * No copy there is of it is current any more; one that was kept goes.
 */
void vtmem_staged_supersede(struct vtmem_queue *q,
			    const struct vtmem_pool *pool,
			    const struct vtmem_key *key)
{
	struct vtmem_request *req, *next;

	lockdep_assert_held(&q->lock);
	list_for_each_entry_safe(req, next, &q->staged, link) {
		if (!vtmem_request_names(req, pool, key))
			continue;
		__clear_bit(key->index - req->key.index, &req->mask);
		if (req->state == VTMEM_REQ_KEPT && !req->mask)
			vtmem_staged_release(q, req);
	}
}

/**
 * vtmem_staged_forget() - drop copies that are not in the ring
 * @q:		a locked queue
 * @pool:	of this pool, or NULL: of any
 */
void vtmem_staged_forget(struct vtmem_queue *q, const struct vtmem_pool *pool)
{
	struct vtmem_request *req, *next;

	lockdep_assert_held(&q->lock);
	list_for_each_entry_safe(req, next, &q->staged, link) {
		if ((!pool || req->pool == pool) &&
		    req->state != VTMEM_REQ_INFLIGHT)
			vtmem_staged_release(q, req);
	}
}

/*
 * Is this page of a put what its key's owner believes the host to have? What is
 * flushed as a whole object or a whole chunk is only marked as not present.
 */
static bool vtmem_staged_is_current(struct vtmem_queue *q,
				    const struct vtmem_request *req,
				    const struct vtmem_key *key)
{
	struct vtmem_chunk *chunk;

	if (!test_bit(key->index - req->key.index, &req->mask))
		return false;
	chunk = vtmem_chunk_find(q, req->pool, key);
	return chunk && vtmem_chunk_is_present(chunk, key->index);
}

/*
 * An ephemeral page was not taken. The host may hold an older one, except after
 * a refusal: it is flushed.
 */
static void vtmem_staged_miss(struct vtmem_queue *q,
			      const struct vtmem_request *req,
			      const struct vtmem_key *key)
{
	struct vtmem_chunk *chunk = vtmem_chunk_find(q, req->pool, key);

	vtmem_chunk_clear_present(chunk, key->index);
	if (req->result != -ENOSPC) {
		vtmem_flush_set_pending(q, chunk, key->index);
		queue_delayed_work(vtmem_workqueue, &q->flush_work,
				   VTMEM_FLUSH_DELAY);
	}
	vtmem_chunk_release(q, chunk);
}

/**
 * vtmem_staged_complete() - a staged put is over
 * @q:		its queue, locked
 * @req:	the put; its result is set
 */
void vtmem_staged_complete(struct vtmem_queue *q, struct vtmem_request *req)
{
	struct vtmem_key key = req->key;
	unsigned long kept = 0;
	unsigned int i;

	lockdep_assert_held(&q->lock);
	for (i = req->result ? req->nr_done : req->nr_pages; i < req->nr_pages;
	     i++) {
		key.index = req->key.index + i;
		if (!vtmem_staged_is_current(q, req, &key))
			continue;
		if (req->pool->persistent)
			__set_bit(i, &kept);
		else
			vtmem_staged_miss(q, req, &key);
	}
	req->mask = kept;
	if (!req->mask || q->state == VTMEM_QUEUE_DEAD) {
		vtmem_staged_release(q, req);
		return;
	}
	req->state = VTMEM_REQ_KEPT;
	q->nr_kept++;
	vtmem_count(q->dev, kept_stores);
	pr_err_ratelimited("virtio_tmem: %s: %lu pages within the reserve were not stored (%d), their copies stay here\n",
			   q->name, hweight_long(req->mask), req->result);
}

/**
 * vtmem_staged_close() - submit what is staged
 * @q: a locked queue with a ring
 *
 * The device is not notified.
 */
void vtmem_staged_close(struct vtmem_queue *q)
{
	struct vtmem_request *req, *next;

	lockdep_assert_held(&q->lock);
	if (!q->nr_open)
		return;
	list_for_each_entry_safe_reverse(req, next, &q->staged, link) {
		if (req->state != VTMEM_REQ_OPEN)
			continue;
		q->nr_open--;
		req->bytes = req->nr_pages * PAGE_SIZE;
		if (vtmem_queue_submit(q, req)) {
			req->state = VTMEM_REQ_INFLIGHT;
			req->result = -EIO;
			req->nr_done = 0;
			vtmem_staged_complete(q, req);
		}
	}
}

/*
 * The open slot whose pages @key is the next of, or NULL: also if a newer slot
 * has an older put of @key, which is submitted after that one.
 */
static struct vtmem_request *vtmem_staged_open(struct vtmem_queue *q,
					       const struct vtmem_pool *pool,
					       const struct vtmem_key *key)
{
	struct vtmem_request *req;
	u32 offset;

	if (!q->nr_open)
		return NULL;
	list_for_each_entry(req, &q->staged, link) {
		offset = key->index - req->key.index;
		if (req->state == VTMEM_REQ_OPEN && req->pool == pool &&
		    offset <= req->nr_pages &&
		    !memcmp(req->key.oid, key->oid, sizeof(key->oid)))
			return offset == req->nr_pages ? req : NULL;
	}
	return NULL;
}

/* A slot with room for @key, open, or an ERR_PTR(). */
static struct vtmem_request *vtmem_staged_slot(struct vtmem_queue *q,
					       struct vtmem_pool *pool,
					       const struct vtmem_key *key)
{
	struct vtmem_object *object = vtmem_object_find(q, pool, key->oid);
	struct vtmem_request *req;

	if (q->state != VTMEM_QUEUE_OPEN || q->stalled)
		return ERR_PTR(-EAGAIN);
	if (object && object->flush_all && !vtmem_flush_submit_object(q, object))
		return ERR_PTR(-EBUSY);
	req = vtmem_staged_open(q, pool, key);
	if (req)
		return req;
	if (q->nr_open >= MAX_OPEN)
		vtmem_staged_close(q);
	req = vtmem_queue_slot(q, &q->free_staged);
	if (!req)
		return ERR_PTR(-EBUSY);
	req->op = VIRTIO_TMEM_OP_PUT;
	req->flags = 0;
	req->pool = pool;
	req->pool_id = pool->id;
	req->key = *key;
	req->nr_pages = 0;
	req->mask = 0;
	req->page = req->own_page;
	req->state = VTMEM_REQ_OPEN;
	list_add(&req->link, &q->staged);
	q->nr_open++;
	return req;
}

/*
 * Will the device take the page for certain? That is so while it holds no more
 * than the reserve, this page and all that is on the way included. An ephemeral
 * page need not be taken.
 */
static bool vtmem_stage_is_safe(struct vtmem_queue *q, struct vtmem_pool *pool,
				const struct vtmem_chunk *chunk,
				const struct vtmem_key *key)
{
	struct vtmem_device *dev = q->dev;

	if (!pool->persistent)
		return true;
	if (vtmem_chunk_is_held(chunk, key->index))
		return atomic_long_read(&dev->nr_held) <= dev->reserve;
	return vtmem_pool_hold(pool, dev->reserve);
}

/* Copies the page and takes note of it. Returns 0 or a negative errno. */
static int vtmem_stage(struct vtmem_queue *q, struct vtmem_pool *pool,
		       const struct vtmem_key *key, struct page *page)
{
	unsigned int room = min_t(unsigned int, VTMEM_BLOCK_PAGES,
				  q->dev->max_pages_per_request);
	struct vtmem_request *req = vtmem_staged_slot(q, pool, key);
	struct vtmem_chunk *chunk;
	u64 copy_start;

	if (IS_ERR(req))
		return PTR_ERR(req);
	chunk = vtmem_chunk_get(q, pool, key);
	if (!chunk || !vtmem_stage_is_safe(q, pool, chunk, key)) {
		if (!req->nr_pages)
			vtmem_staged_release(q, req);
		return chunk ? -EDQUOT : -ENOMEM;
	}
	copy_start = vtmem_clock_now();
	copy_highpage(req->own_page + req->nr_pages, page);
	vtmem_record_latency(q->dev, VTMEM_LATENCY_COPY,
			     vtmem_clock_ns_since(copy_start));
	vtmem_staged_supersede(q, pool, key);
	__set_bit(req->nr_pages, &req->mask);
	req->nr_pages++;
	q->nr_staged_pages++;
	vtmem_window_forget(q, pool, key);
	vtmem_flush_clear_pending(q, chunk, key->index, 1);
	vtmem_chunk_set_present(chunk, key->index);
	if (req->nr_pages == room) {
		vtmem_staged_close(q);
		q->nr_unkicked = STAGED_BATCH;
	}
	return 0;
}

/**
 * vtmem_put_staged() - copy a page, and the copy to the host, later
 * @pool:	a pool
 * @key:	the page's key
 * @page:	an order-0 page whose content does not change during the call
 *
 * Context: any but NMI; never sleeps.
 * Return: 0; -EDQUOT for a persistent page that the device may refuse, or
 *	   another negative errno when there was no room: nothing happened, and
 *	   the host may still hold an older page under the key.
 */
int vtmem_put_staged(struct vtmem_pool *pool, const struct vtmem_key *key,
		     struct page *page)
{
	struct vtmem_queue *q = vtmem_pool_queue(pool, key->oid);
	u64 start = vtmem_clock_now(), ns;
	unsigned long flags;
	int err;

	spin_lock_irqsave(&q->lock, flags);
	vtmem_queue_harvest(q);
	err = vtmem_stage(q, pool, key, page);
	if (q->nr_unkicked >= STAGED_BATCH)
		vtmem_queue_unlock_kick(q, flags);
	else
		spin_unlock_irqrestore(&q->lock, flags);
	queue_delayed_work(vtmem_workqueue, &q->flush_work, VTMEM_FLUSH_DELAY);

	ns = vtmem_clock_ns_since(start);
	if (!err)
		vtmem_record_latency(q->dev, VTMEM_LATENCY_STAGED_PUT, ns);
	trace_virtio_tmem_put(pool, key, q->index, ns, err);
	return err;
}
