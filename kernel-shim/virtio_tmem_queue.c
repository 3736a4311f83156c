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
 * they may fill all they get without anybody waiting for them. The blocks of
 * staged puts and windows come with the front end that uses them, see
 * virtio_tmem_blocks.c.
 *
 * The slot of a page request has pages of its own, which a get is answered
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
#define MAX_STAGED_SLOTS		16U
#define MAX_WINDOWS			8U
#define MAX_PAGE_SLOTS			(MAX_WAIT_SLOTS + MAX_STAGED_SLOTS + MAX_WINDOWS)
#define MAX_FLUSH_SLOTS			32U

/* How long a suspend waits for the rings to run empty. */
#define DRAIN_TIMEOUT_MS		10000

/* Windows come before staged puts: where memory is short, these are fewer. */
static enum vtmem_slot_kind vtmem_slot_kind(unsigned int slot)
{
	if (slot < MAX_WAIT_SLOTS)
		return VTMEM_SLOT_WAIT;
	if (slot < MAX_WAIT_SLOTS + MAX_WINDOWS)
		return VTMEM_SLOT_WINDOW;
	return slot < MAX_PAGE_SLOTS ? VTMEM_SLOT_STAGED : VTMEM_SLOT_FLUSH;
}

static unsigned int vtmem_slot_order(const struct vtmem_request *req)
{
	return req->kind == VTMEM_SLOT_WAIT ? 0 : VTMEM_BLOCK_ORDER;
}

/**
 * vtmem_queue_init() - allocate a queue's slots, and the pages of those somebody
 *	waits for
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
	init_waitqueue_head(&q->answer_wait);
	init_waitqueue_head(&q->slot_wait);
	atomic_set(&q->kicking, 0);
	INIT_LIST_HEAD(&q->free);
	INIT_LIST_HEAD(&q->free_staged);
	INIT_LIST_HEAD(&q->staged);
	INIT_LIST_HEAD(&q->windows);
	INIT_LIST_HEAD(&q->free_flush);
	INIT_LIST_HEAD(&q->ephemeral_chunks);
	INIT_LIST_HEAD(&q->dirty);
	INIT_LIST_HEAD(&q->dirty_objects);
	hash_init(q->objects);
	INIT_DELAYED_WORK(&q->flush_work, vtmem_flush_work);
	snprintf(q->name, sizeof(q->name), index ? "request.%u" : "control",
		 index);

	q->requests = kvcalloc(nr, sizeof(*q->requests), GFP_KERNEL);
	q->wires = kcalloc(nr, sizeof(*q->wires), GFP_KERNEL);
	if (!q->requests || !q->wires) {
		vtmem_queue_free(q);
		return -ENOMEM;
	}
	q->nr_requests = nr;
	for (i = 0; i < nr; i++) {
		struct vtmem_request *req = &q->requests[i];

		req->wire = &q->wires[i];
		req->kind = vtmem_slot_kind(i);
		/* Control requests carry no page. */
		if (!index || req->kind != VTMEM_SLOT_WAIT)
			continue;
		req->own_page = alloc_pages(GFP_KERNEL | __GFP_NOWARN, 0);
		if (!req->own_page) {
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
			__free_pages(q->requests[i].own_page,
				     vtmem_slot_order(&q->requests[i]));
	kvfree(q->requests);
	kfree(q->wires);
	q->requests = NULL;
	q->wires = NULL;
}

static struct list_head *vtmem_slot_home(struct vtmem_queue *q,
					 enum vtmem_slot_kind kind)
{
	switch (kind) {
	case VTMEM_SLOT_STAGED:
		return &q->free_staged;
	case VTMEM_SLOT_WINDOW:
		return &q->windows;
	case VTMEM_SLOT_FLUSH:
		return &q->free_flush;
	default:
		return &q->free;
	}
}

/*
 * Deals the slots out; the ring is empty, and nobody holds a slot. A kept slot
 * stays what it is. A slot the ring has room for has a home; it is there if it
 * has the page it needs.
 */
static int vtmem_queue_deal_slots(struct vtmem_queue *q,
				  unsigned int descriptors)
{
	unsigned int left[] = { 0, 0, 0, 0 }, pages, i;

	left[VTMEM_SLOT_FLUSH] = clamp(descriptors / 8, 1U, MAX_FLUSH_SLOTS);
	if (descriptors < left[VTMEM_SLOT_FLUSH] * DESCRIPTORS_PER_FLUSH +
			  DESCRIPTORS_PER_PAGE_REQUEST)
		return -EINVAL;
	pages = (descriptors - left[VTMEM_SLOT_FLUSH] * DESCRIPTORS_PER_FLUSH) /
		DESCRIPTORS_PER_PAGE_REQUEST;
	left[VTMEM_SLOT_WAIT] = clamp(pages / 4, 1U, MAX_WAIT_SLOTS);
	left[VTMEM_SLOT_WINDOW] = min(pages / 8, MAX_WINDOWS);
	left[VTMEM_SLOT_STAGED] = pages - left[VTMEM_SLOT_WAIT] -
				  left[VTMEM_SLOT_WINDOW];

	INIT_LIST_HEAD(&q->free);
	INIT_LIST_HEAD(&q->free_staged);
	INIT_LIST_HEAD(&q->free_flush);
	INIT_LIST_HEAD(&q->windows);
	for (i = 0; i < MAX_PAGE_SLOTS + MAX_FLUSH_SLOTS; i++) {
		struct vtmem_request *req = &q->requests[i];

		if (req->state == VTMEM_REQ_KEPT)
			continue;
		req->home = NULL;
		if (!left[req->kind])
			continue;
		left[req->kind]--;
		req->state = VTMEM_REQ_FREE;
		req->mask = 0;
		req->home = vtmem_slot_home(q, req->kind);
		if (!q->index || req->kind == VTMEM_SLOT_FLUSH || req->own_page)
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
	wake_up_all(&q->slot_wait);
	if (q->nr_pending || !list_empty(&q->dirty_objects))
		queue_delayed_work(vtmem_workqueue, &q->flush_work,
				   VTMEM_FLUSH_DELAY);
	spin_unlock_irq(&q->lock);
}

/**
 * vtmem_queue_pause() - let nothing new in and wait until the ring is empty
 * @q: an open queue
 *
 * That the device has answered is not enough: whom it answered may not have
 * collected it yet, and the slot is not to be dealt out a second time.
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
	vtmem_staged_close(q);
	q->state = VTMEM_QUEUE_PAUSED;
	spin_unlock_irq(&q->lock);

	for (waited_ms = 0; waited_ms < DRAIN_TIMEOUT_MS; waited_ms++) {
		vtmem_queue_kick_rest(q);
		spin_lock_irq(&q->lock);
		empty = !q->nr_inflight && !q->nr_taken &&
			!atomic_read(&q->kicking);
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
	wake_up_all(&q->slot_wait);
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
		req->nr_done = 0;
		vtmem_queue_complete(q, req);
	}
	if (q->state == VTMEM_QUEUE_DEAD)
		vtmem_staged_forget(q, NULL);
	q->vq = NULL;
	spin_unlock_irq(&q->lock);
}
