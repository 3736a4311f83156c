// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: a request, from its slot into the ring and back.
 *
 * Every function that takes a locked queue says so with lockdep. Completions
 * are harvested by whoever holds the lock: a submitter, a poller, a sleeper,
 * the interrupt handler.
 */
#include <linux/mm.h>

#include "vtmem.h"
#include "vtmem_session.h"
#include "virtio_tmem_trace.h"

/**
 * vtmem_queue_put_slot() - give a slot back, and its further parts
 * @q:		a locked queue
 * @req:	a slot that is not in the ring
 */
void vtmem_queue_put_slot(struct vtmem_queue *q, struct vtmem_request *req)
{
	struct vtmem_request *next;

	lockdep_assert_held(&q->lock);
	for (; req; req = next) {
		next = req->next_part;
		req->next_part = NULL;
		req->must_finish = false;
		req->state = VTMEM_REQ_FREE;
		req->pool = NULL;
		req->page = NULL;
		list_add(&req->link, req->home);
		if (req->kind == VTMEM_SLOT_WAIT) {
			q->nr_taken--;
			vtmem_wake_for_slot(q);
		}
	}
}

/**
 * vtmem_queue_slot() - take a free slot
 * @q:		a locked queue
 * @list:	one of its free lists
 *
 * Return: a slot, or NULL if none is free.
 */
struct vtmem_request *vtmem_queue_slot(struct vtmem_queue *q,
				       struct list_head *list)
{
	struct vtmem_request *req;

	lockdep_assert_held(&q->lock);
	req = list_first_entry_or_null(list, struct vtmem_request, link);
	if (req) {
		list_del(&req->link);
		if (req->kind == VTMEM_SLOT_WAIT)
			q->nr_taken++;
		req->bytes = PAGE_SIZE;
	}
	return req;
}

/**
 * vtmem_queue_submit() - put a filled slot into the ring
 * @q:		a locked, open queue
 * @req:	a slot whose fields from @pool to @nr_pages are set
 *
 * The device is not notified: vtmem_queue_unlock_kick() does that, once for
 * all that was submitted under the lock.
 *
 * Return: 0, or -EIO if the ring is broken (the slot is still the caller's).
 */
int vtmem_queue_submit(struct vtmem_queue *q, struct vtmem_request *req)
{
	struct scatterlist header, response, *sgs[2 + VTMEM_MAX_PARTS];
	struct vtmem_wire *wire = req->wire;
	struct vtmem_request *part;
	unsigned int out = 0, in = 0, i;
	int err;

	lockdep_assert_held(&q->lock);
	/* Nothing passes a put that was staged before it. */
	if (req->kind != VTMEM_SLOT_STAGED)
		vtmem_staged_close(q);
	wire->req.op = cpu_to_le16(req->op);
	wire->req.flags = cpu_to_le16(req->flags);
	wire->req.pool = cpu_to_le32(req->pool_id);
	for (i = 0; i < ARRAY_SIZE(wire->req.oid); i++)
		wire->req.oid[i] = cpu_to_le64(req->key.oid[i]);
	wire->req.index = cpu_to_le32(req->key.index);
	wire->req.nr_pages = cpu_to_le32(req->nr_pages);

	sg_init_one(&header, &wire->req, sizeof(wire->req));
	sg_init_one(&response, &wire->resp, sizeof(wire->resp));

	sgs[out++] = &header;
	if (req->op != VIRTIO_TMEM_OP_PUT)
		sgs[out + in++] = &response;
	for (part = req; part && part->page; part = part->next_part) {
		sg_init_table(&part->sg, 1);
		sg_set_page(&part->sg, part->page, part->bytes, 0);
		sgs[out + in] = &part->sg;
		if (req->op == VIRTIO_TMEM_OP_PUT)
			out++;
		else
			in++;
	}
	if (req->op == VIRTIO_TMEM_OP_PUT)
		sgs[out + in++] = &response;

	/* Direct descriptors, room for them: GFP_ATOMIC allocates nothing. */
	err = virtqueue_add_sgs(q->vq, sgs, out, in, req, GFP_ATOMIC);
	if (err)
		return -EIO;

	req->state = VTMEM_REQ_INFLIGHT;
	req->submitted = vtmem_clock_now();
	q->nr_inflight++;
	q->nr_unkicked++;
	if (req->pool)
		atomic_inc(&req->pool->inflight);
	return 0;
}

/* The host's status as the errno the driver works with. */
static int vtmem_status_to_errno(u32 status)
{
	switch (status) {
	case VIRTIO_TMEM_S_OK:
		return 0;
	case VIRTIO_TMEM_S_MISS:
		return -ENOENT;
	case VIRTIO_TMEM_S_REFUSED:
		return -ENOSPC;
	case VIRTIO_TMEM_S_BAD_REQUEST:
		return -EINVAL;
	case VIRTIO_TMEM_S_NO_POOL:
		return -ENXIO;
	case VIRTIO_TMEM_S_DENIED:
		return -EPERM;
	case VIRTIO_TMEM_S_CORRUPT:
		return -EBADMSG;
	case VIRTIO_TMEM_S_NO_SESSION:
		return -ESTALE;
	case VIRTIO_TMEM_S_TOO_MANY:
		return -EMFILE;
	default:
		return -EPROTO;
	}
}

/*
 * Judges a response the device says has @len bytes. Each field is read once;
 * what contradicts the request is -EPROTO and counted.
 */
static void vtmem_read_response(struct vtmem_queue *q,
				struct vtmem_request *req, unsigned int len)
{
	const struct virtio_tmem_resp *resp = &req->wire->resp;
	u32 nr_done, expected_len = sizeof(*resp);
	bool consistent;

	req->result = -EPROTO;
	req->nr_done = 0;
	req->value = 0;
	if (len < sizeof(*resp)) {
		vtmem_count(q->dev, bad_responses);
		return;
	}

	req->result = vtmem_status_to_errno(le32_to_cpu(READ_ONCE(resp->status)));
	req->value = le64_to_cpu(READ_ONCE(resp->value));
	nr_done = le32_to_cpu(READ_ONCE(resp->nr_done));
	consistent = req->result != -EPROTO;
	if (req->page) {
		/* nr_done pages succeeded: all of them exactly if OK. */
		bool all = nr_done == req->nr_pages;

		if (nr_done > req->nr_pages || all != !req->result)
			consistent = false;
		else if (req->op == VIRTIO_TMEM_OP_GET)
			expected_len += nr_done * PAGE_SIZE;
	}
	if (!consistent || len != expected_len) {
		req->result = -EPROTO;
		vtmem_count(q->dev, bad_responses);
	} else {
		req->nr_done = nr_done;
	}
	/* That ATTACH may be told so is what it is for. */
	if (req->result == -ESTALE && req->op != VIRTIO_TMEM_OP_ATTACH)
		vtmem_session_lost(q->dev);
}

/**
 * vtmem_queue_complete() - a request is over
 * @q:		a locked queue
 * @req:	a request whose result is set: the device is done with it or will
 *		never be
 *
 * vtmem_pool_destroy() frees a pool once it sees no request of it in flight, and
 * takes no queue's lock to see that: so that is counted last, when nothing here
 * looks at the pool any more.
 */
void vtmem_queue_complete(struct vtmem_queue *q, struct vtmem_request *req)
{
	struct vtmem_pool *pool = req->pool;

	lockdep_assert_held(&q->lock);
	q->nr_inflight--;

	if (req->op == VIRTIO_TMEM_OP_FLUSH ||
	    req->op == VIRTIO_TMEM_OP_FLUSH_OBJECT) {
		u64 ns = vtmem_clock_ns_since(req->submitted);

		vtmem_record_latency(q->dev, VTMEM_LATENCY_FLUSH, ns);
		trace_virtio_tmem_flush(req, q->index, ns);
		if (req->result)
			vtmem_count(q->dev, flush_failures);
		/* Nor does a host without a session hold them. */
		if (pool->persistent &&
		    (!req->result || req->result == -ESTALE))
			vtmem_pool_unhold(pool, req->nr_pages);
	}

	if (req->state == VTMEM_REQ_ABANDONED) {
		vtmem_count(q->dev, late_completions);
		if (req->page && req->page != req->own_page)
			put_page(req->page);
		vtmem_queue_put_slot(q, req);
	} else if (req->kind == VTMEM_SLOT_STAGED) {
		vtmem_staged_complete(q, req);
	} else if (req->kind == VTMEM_SLOT_WINDOW) {
		vtmem_window_complete(q, req);
	} else if (req->kind == VTMEM_SLOT_FLUSH) {
		vtmem_queue_put_slot(q, req);
	} else {
		/* Pairs with the acquire in vtmem_poll(). */
		smp_store_release(&req->state, VTMEM_REQ_DONE);
		vtmem_wake_waiters(q, req);
	}
	/* Pairs with the acquire in vtmem_pool_drain(). */
	if (pool)
		atomic_dec_return_release(&pool->inflight);
}

/**
 * vtmem_queue_harvest() - take every answer out of the ring
 * @q: a locked queue
 */
void vtmem_queue_harvest(struct vtmem_queue *q)
{
	struct vtmem_request *req;
	unsigned int len;

	lockdep_assert_held(&q->lock);
	while (q->vq && (req = virtqueue_get_buf(q->vq, &len))) {
		q->stalled = false;
		vtmem_read_response(q, req, len);
		vtmem_queue_complete(q, req);
	}
}

/**
 * vtmem_queue_unlock_kick() - unlock a queue, then notify the device if needed
 * @q:		a queue something was submitted to
 * @flags:	of the lock
 *
 * The notification leaves the guest, so it happens outside the lock; @kicking
 * keeps the ring alive meanwhile.
 */
void vtmem_queue_unlock_kick(struct vtmem_queue *q, unsigned long flags)
	__releases(&q->lock)
{
	struct virtqueue *vq = q->vq;
	bool kick = virtqueue_kick_prepare(vq);

	q->nr_unkicked = 0;
	if (kick)
		atomic_inc(&q->kicking);
	spin_unlock_irqrestore(&q->lock, flags);
	if (kick) {
		vtmem_count(q->dev, kicks);
		virtqueue_notify(vq);
		atomic_dec(&q->kicking);
	}
}

/**
 * vtmem_queue_kick_rest() - collect answers, notify of what was left unnotified
 * @q: an unlocked queue
 */
void vtmem_queue_kick_rest(struct vtmem_queue *q)
{
	unsigned long flags;

	spin_lock_irqsave(&q->lock, flags);
	vtmem_queue_harvest(q);
	if (q->state == VTMEM_QUEUE_OPEN)
		vtmem_staged_close(q);
	if (q->vq && q->nr_unkicked)
		vtmem_queue_unlock_kick(q, flags);
	else
		spin_unlock_irqrestore(&q->lock, flags);
}

/**
 * vtmem_queue_callback() - the device used a buffer while somebody slept
 * @vq: the ring
 *
 * Context: hard interrupt.
 */
void vtmem_queue_callback(struct virtqueue *vq)
{
	struct vtmem_device *dev = vq->vdev->priv;
	struct vtmem_queue *q = &dev->queues[vq->index];
	unsigned long flags;

	spin_lock_irqsave(&q->lock, flags);
	vtmem_count(dev, interrupts);
	vtmem_queue_harvest(q);
	spin_unlock_irqrestore(&q->lock, flags);
}
