// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: a virtqueue, from when its slots are allocated to
 * when its ring is taken away.
 *
 * Slots are allocated when the queue is, and their number is chosen so that
 * all of them fit the ring at once with direct descriptors: a page request
 * takes three (header, page, response), a flush two. So a slot in hand means
 * room in the ring, and nothing here allocates. Flushes have slots of their
 * own because they may be dropped by nobody, and so have staged puts, because
 * they may fill all they get without anybody waiting for them.
 *
 * The slot of a page request has a page of its own, which a get is answered
 * into and copied from. So the device never writes to a page that somebody else
 * uses: not after the caller of a get gave up, and not to one that an emulated
 * CPU (QEMU's TCG) has translated code of, which only a write by that CPU makes
 * it forget. Measured: without, guests under TCG died of old code.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "vtmem.h"

#define DESCRIPTORS_PER_PAGE_REQUEST	3
#define DESCRIPTORS_PER_FLUSH		2

/* Bounds on the slots of one queue, whatever the size of its ring. */
#define MAX_WAIT_SLOTS			16U
#define MAX_STAGED_SLOTS		64U
#define MAX_PAGE_SLOTS			(MAX_WAIT_SLOTS + MAX_STAGED_SLOTS)
#define MAX_FLUSH_SLOTS			32U

/* How long a suspend waits for the rings to run empty. */
#define DRAIN_TIMEOUT_MS		10000

/**
 * vtmem_queue_init() - allocate a queue's slots and pages
 * @q:		zeroed queue
 * @dev:	its device
 * @index:	its virtqueue index
 *
 * Return: 0 or -ENOMEM.
 */
int vtmem_queue_init(struct vtmem_queue *q, struct vtmem_device *dev,
		     unsigned int index)
{
	unsigned int nr = MAX_PAGE_SLOTS + MAX_FLUSH_SLOTS, i;

	q->dev = dev;
	q->index = index;
	q->state = VTMEM_QUEUE_PAUSED;
	spin_lock_init(&q->lock);
	init_waitqueue_head(&q->wait);
	atomic_set(&q->kicking, 0);
	INIT_LIST_HEAD(&q->free);
	INIT_LIST_HEAD(&q->free_staged);
	INIT_LIST_HEAD(&q->staged);
	INIT_LIST_HEAD(&q->free_flush);
	INIT_LIST_HEAD(&q->ephemeral_chunks);
	INIT_LIST_HEAD(&q->dirty);
	INIT_LIST_HEAD(&q->dirty_objects);
	hash_init(q->objects);
	INIT_DELAYED_WORK(&q->flush_work, vtmem_flush_work);
	snprintf(q->name, sizeof(q->name), index ? "request.%u" : "control",
		 index);

	q->requests = kcalloc(nr, sizeof(*q->requests), GFP_KERNEL);
	q->wires = kcalloc(nr, sizeof(*q->wires), GFP_KERNEL);
	if (!q->requests || !q->wires) {
		vtmem_queue_free(q);
		return -ENOMEM;
	}
	/* Control requests carry no page. */
	for (i = 0; index && i < MAX_PAGE_SLOTS; i++) {
		q->requests[i].own_page = alloc_page(GFP_KERNEL);
		if (!q->requests[i].own_page) {
			vtmem_queue_free(q);
			return -ENOMEM;
		}
	}
	return 0;
}

/**
 * vtmem_queue_free() - undo vtmem_queue_init()
 * @q: a queue without a ring, that nobody uses
 */
void vtmem_queue_free(struct vtmem_queue *q)
{
	unsigned int i;

	cancel_delayed_work_sync(&q->flush_work);
	for (i = 0; q->requests && i < MAX_PAGE_SLOTS; i++)
		if (q->requests[i].own_page)
			__free_page(q->requests[i].own_page);
	kfree(q->requests);
	kfree(q->wires);
	q->requests = NULL;
	q->wires = NULL;
}

/*
 * Deals the slots out to the free lists; the ring is empty. A quarter of the
 * page slots are waited for, the rest are staged. A kept slot stays what it is.
 */
static int vtmem_queue_deal_slots(struct vtmem_queue *q,
				  unsigned int descriptors)
{
	unsigned int flushes, pages, waits, staged, i;

	flushes = clamp(descriptors / 8, 1U, MAX_FLUSH_SLOTS);
	if (descriptors < flushes * DESCRIPTORS_PER_FLUSH +
			  DESCRIPTORS_PER_PAGE_REQUEST)
		return -EINVAL;
	pages = (descriptors - flushes * DESCRIPTORS_PER_FLUSH) /
		DESCRIPTORS_PER_PAGE_REQUEST;
	waits = clamp(pages / 4, 1U, MAX_WAIT_SLOTS);
	staged = min(pages - waits, MAX_STAGED_SLOTS);

	INIT_LIST_HEAD(&q->free);
	INIT_LIST_HEAD(&q->free_staged);
	INIT_LIST_HEAD(&q->free_flush);
	for (i = 0; i < MAX_PAGE_SLOTS + flushes; i++) {
		struct vtmem_request *req = &q->requests[i];

		req->wire = &q->wires[i];
		if (i >= MAX_PAGE_SLOTS)
			req->home = &q->free_flush;
		else if (i >= MAX_WAIT_SLOTS)
			req->home = &q->free_staged;
		else
			req->home = &q->free;
		if (req->state == VTMEM_REQ_KEPT)
			continue;
		if ((i >= waits && i < MAX_WAIT_SLOTS) ||
		    (i >= MAX_WAIT_SLOTS + staged && i < MAX_PAGE_SLOTS))
			continue; /* no room in the ring for these */
		req->state = VTMEM_REQ_FREE;
		list_add_tail(&req->link, req->home);
	}
	return 0;
}

/**
 * vtmem_queue_set_ring() - give a paused queue its ring
 * @q:	a queue without a ring
 * @vq:	a fresh virtqueue
 *
 * Return: 0, or -EINVAL if the ring is too small for one request and a flush.
 */
int vtmem_queue_set_ring(struct vtmem_queue *q, struct virtqueue *vq)
{
	int err;

	spin_lock_irq(&q->lock);
	err = vtmem_queue_deal_slots(q, virtqueue_get_vring_size(vq));
	if (!err) {
		q->vq = vq;
		q->nr_unkicked = 0;
		q->stalled = false;
		/* A new ring has its callbacks armed; see vtmem_sleep(). */
		if (!q->sleepers)
			virtqueue_disable_cb(vq);
	}
	spin_unlock_irq(&q->lock);
	return err;
}

/**
 * vtmem_queue_open() - let requests in
 * @q: a paused queue with a ring
 *
 * Tasks that went to sleep while the queue was paused are woken.
 */
void vtmem_queue_open(struct vtmem_queue *q)
{
	spin_lock_irq(&q->lock);
	q->state = VTMEM_QUEUE_OPEN;
	wake_up_all(&q->wait);
	if (q->nr_pending || !list_empty(&q->dirty_objects))
		queue_delayed_work(vtmem_workqueue, &q->flush_work,
				   VTMEM_FLUSH_DELAY);
	spin_unlock_irq(&q->lock);
}

/**
 * vtmem_queue_pause() - let nothing new in and wait until the ring is empty
 * @q: an open queue
 *
 * Context: may sleep.
 * Return: 0, or -EBUSY if the device did not answer in time; the queue is then
 *	   open again.
 */
int vtmem_queue_pause(struct vtmem_queue *q)
{
	unsigned int waited_ms;
	bool empty;

	spin_lock_irq(&q->lock);
	q->state = VTMEM_QUEUE_PAUSED;
	spin_unlock_irq(&q->lock);

	for (waited_ms = 0; waited_ms < DRAIN_TIMEOUT_MS; waited_ms++) {
		vtmem_queue_kick_rest(q);
		spin_lock_irq(&q->lock);
		empty = !q->nr_inflight && !atomic_read(&q->kicking);
		spin_unlock_irq(&q->lock);
		if (empty)
			return 0;
		usleep_range(1000, 1500);
	}
	vtmem_queue_open(q);
	return -EBUSY;
}

/**
 * vtmem_queue_kill() - let nothing new in, for ever
 * @q: a queue
 *
 * What is in the ring still completes, until vtmem_queue_close().
 */
void vtmem_queue_kill(struct vtmem_queue *q)
{
	spin_lock_irq(&q->lock);
	q->state = VTMEM_QUEUE_DEAD;
	wake_up_all(&q->wait);
	spin_unlock_irq(&q->lock);
}

/**
 * vtmem_queue_close() - take a queue's ring away
 * @q: a paused or dead queue whose device was reset
 *
 * What was in the ring fails with -ENODEV; pinned pages are let go.
 */
void vtmem_queue_close(struct vtmem_queue *q)
{
	struct vtmem_request *req;

	spin_lock_irq(&q->lock);
	vtmem_queue_harvest(q);
	while (q->vq && (req = virtqueue_detach_unused_buf(q->vq))) {
		req->result = -ENODEV;
		vtmem_queue_complete(q, req);
	}
	q->vq = NULL;
	spin_unlock_irq(&q->lock);
}
