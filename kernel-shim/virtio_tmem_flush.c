// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: flushes, remembered until they are sent.
 *
 * The hooks that invalidate are called under spin locks, some with interrupts
 * off: they must not sleep, allocate or wait for room in the ring, and they
 * must not be forgotten. So they only set a bit in the page's chunk, or a flag
 * in the object, and those leave later as FLUSH requests, one for each run of
 * neighbours, and FLUSH_OBJECT requests:
 *   - along with the next put or get of the queue, for no notification more;
 *   - at once when VTMEM_FLUSH_BATCH pages wait;
 *   - else from a work item, VTMEM_FLUSH_DELAY later.
 *
 * A put clears its page's bit under the queue's lock in the same breath as it
 * enters the ring, so the flush can never come after it; and as the ring is
 * executed in order, a flush that was sent is done before a later put. A whole
 * object's flush that is still owed is sent before the put, or the put is
 * dropped.
 */
#include <linux/slab.h>

#include "vtmem.h"

/* When the last round saw no answer. */
#define FLUSH_DELAY_STALLED	HZ

/**
 * vtmem_flush_set_pending() - remember that a page is to be flushed
 * @q:		the chunk's queue, locked
 * @chunk:	the chunk
 * @index:	the page
 */
void vtmem_flush_set_pending(struct vtmem_queue *q, struct vtmem_chunk *chunk,
			     u32 index)
{
	lockdep_assert_held(&q->lock);
	if (__test_and_set_bit(index - chunk->first, chunk->pending))
		return;
	q->nr_pending++;
	if (!chunk->nr_pending++)
		list_add_tail(&chunk->link, &q->dirty);
}

/**
 * vtmem_flush_clear_pending() - forget pages' flushes
 * @q:		the chunk's queue, locked
 * @chunk:	the chunk
 * @index:	the first page
 * @nr_pages:	how many, all in the chunk
 */
void vtmem_flush_clear_pending(struct vtmem_queue *q,
			       struct vtmem_chunk *chunk, u32 index,
			       u32 nr_pages)
{
	u32 bit = index - chunk->first, end = bit + nr_pages;

	lockdep_assert_held(&q->lock);
	for (; bit < end; bit++) {
		if (!__test_and_clear_bit(bit, chunk->pending))
			continue;
		q->nr_pending--;
		if (!--chunk->nr_pending)
			list_del_init(&chunk->link);
	}
}

/**
 * vtmem_flush_set_chunk() - remember that all of a chunk is to be flushed
 * @q:		its queue, locked
 * @chunk:	a chunk of an ephemeral pool
 */
void vtmem_flush_set_chunk(struct vtmem_queue *q, struct vtmem_chunk *chunk)
{
	unsigned int bit;

	lockdep_assert_held(&q->lock);
	for_each_set_bit(bit, chunk->present, VTMEM_CHUNK_PAGES) {
		vtmem_chunk_clear_present(chunk, chunk->first + bit);
		vtmem_flush_set_pending(q, chunk, chunk->first + bit);
	}
}

/**
 * vtmem_flush_is_pending() - was this page invalidated since it was put?
 * @chunk:	a chunk of a locked queue
 * @index:	the page
 */
bool vtmem_flush_is_pending(const struct vtmem_chunk *chunk, u32 index)
{
	return chunk->object->flush_all ||
	       test_bit(index - chunk->first, chunk->pending);
}

/**
 * vtmem_flush_set_object() - remember that a whole object is to be flushed
 * @q:		its queue, locked
 * @object:	the object
 */
void vtmem_flush_set_object(struct vtmem_queue *q,
			    struct vtmem_object *object)
{
	lockdep_assert_held(&q->lock);
	vtmem_object_free_chunks(q, object);
	if (!object->flush_all) {
		object->flush_all = true;
		list_add_tail(&object->link, &q->dirty_objects);
	}
}

static struct vtmem_request *vtmem_flush_request(struct vtmem_queue *q, u16 op,
						 struct vtmem_object *object)
{
	struct vtmem_request *req = vtmem_queue_slot(q, &q->free_flush);

	if (!req)
		return NULL;
	req->op = op;
	req->flags = 0;
	req->pool = object->pool;
	req->pool_id = object->pool->id;
	memcpy(req->key.oid, object->oid, sizeof(req->key.oid));
	req->key.index = 0;
	req->nr_pages = 0;
	return req;
}

static bool vtmem_flush_send(struct vtmem_queue *q, struct vtmem_request *req)
{
	if (vtmem_queue_submit(q, req)) {
		vtmem_queue_put_slot(q, req);
		return false;
	}
	vtmem_count(q->dev, flush_requests);
	return true;
}

/**
 * vtmem_flush_submit_object() - send the flush a whole object is owed
 * @q:		its queue, locked and open
 * @object:	an object with flush_all set
 *
 * Return: false if there was no slot; the flush is still owed.
 */
bool vtmem_flush_submit_object(struct vtmem_queue *q,
			       struct vtmem_object *object)
{
	struct vtmem_request *req =
		vtmem_flush_request(q, VIRTIO_TMEM_OP_FLUSH_OBJECT, object);

	if (!req || !vtmem_flush_send(q, req))
		return false;
	object->flush_all = false;
	list_del_init(&object->link);
	return true;
}

/* Sends the first run of pending pages of @chunk. */
static bool vtmem_flush_submit_run(struct vtmem_queue *q,
				   struct vtmem_chunk *chunk)
{
	unsigned int start, end;
	struct vtmem_request *req =
		vtmem_flush_request(q, VIRTIO_TMEM_OP_FLUSH, chunk->object);

	if (!req)
		return false;
	start = find_first_bit(chunk->pending, VTMEM_CHUNK_PAGES);
	end = find_next_zero_bit(chunk->pending, VTMEM_CHUNK_PAGES, start);
	req->key.index = chunk->first + start;
	req->nr_pages = end - start;
	if (!vtmem_flush_send(q, req))
		return false;
	vtmem_flush_clear_pending(q, chunk, req->key.index, req->nr_pages);
	vtmem_chunk_release(q, chunk);
	return true;
}

/**
 * vtmem_flush_submit() - send what waits to be flushed
 * @q:		a locked queue
 * @max:	most requests to submit
 *
 * Stops when the flush slots are used up; the rest stays remembered.
 *
 * Return: whether anything was submitted, that is, needs a kick.
 */
bool vtmem_flush_submit(struct vtmem_queue *q, unsigned int max)
{
	struct vtmem_object *object;
	struct vtmem_chunk *chunk;
	unsigned int sent = 0;

	lockdep_assert_held(&q->lock);
	if (q->state != VTMEM_QUEUE_OPEN)
		return false;
	while (sent < max && !list_empty(&q->dirty_objects)) {
		object = list_first_entry(&q->dirty_objects,
					  struct vtmem_object, link);
		if (!vtmem_flush_submit_object(q, object))
			return sent;
		vtmem_object_release(object);
		sent++;
	}
	while (sent < max && !list_empty(&q->dirty)) {
		chunk = list_first_entry(&q->dirty, struct vtmem_chunk, link);
		if (!vtmem_flush_submit_run(q, chunk))
			break;
		sent++;
	}
	return sent;
}

/**
 * vtmem_flush_work() - send remembered flushes, collect their answers
 * @work: a queue's flush_work
 *
 * Also submits puts that nobody waits for, and notifies of them. Goes on while
 * anything is left to send or to collect.
 */
void vtmem_flush_work(struct work_struct *work)
{
	struct vtmem_queue *q = container_of(to_delayed_work(work),
					     struct vtmem_queue, flush_work);
	unsigned long flags, delay = VTMEM_FLUSH_DELAY;
	unsigned int inflight;
	bool again;

	spin_lock_irqsave(&q->lock, flags);
	inflight = q->nr_inflight;
	vtmem_queue_harvest(q);
	if (inflight && inflight == q->nr_inflight)
		delay = FLUSH_DELAY_STALLED;
	if (q->state == VTMEM_QUEUE_OPEN)
		vtmem_staged_close(q);
	if (q->state == VTMEM_QUEUE_OPEN &&
	    (vtmem_flush_submit(q, UINT_MAX) || q->nr_unkicked)) {
		vtmem_queue_unlock_kick(q, flags);
		spin_lock_irqsave(&q->lock, flags);
	}
	again = q->state == VTMEM_QUEUE_OPEN &&
		(q->nr_inflight || q->nr_pending ||
		 !list_empty(&q->dirty_objects));
	spin_unlock_irqrestore(&q->lock, flags);
	if (again)
		queue_delayed_work(vtmem_workqueue, &q->flush_work, delay);
}
