// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: waiting for the device.
 *
 * A waiter polls for a short while, because an answer usually comes sooner
 * than an interrupt could tell of it, and then sleeps.
 *
 * Why no wake-up is lost: vtmem_queue.sleepers changes only under the queue's
 * lock, and so does what it implies.
 *   1. sleepers > 0 exactly while callbacks are armed. The first sleeper arms
 *	them with virtqueue_enable_cb(), the last one disarms them.
 *   2. While they are armed, virtqueue_get_buf() moves the event index to the
 *	entry it expects next, with a barrier, and looks again: an answer is
 *	either harvested or raises an interrupt.
 *   3. A sleeper arms, then harvests, then tests its condition, then sets its
 *	task state, and only then unlocks. An answer before the arming is found
 *	by that harvest; one after it interrupts, and the handler has to take
 *	the lock, so it wakes a task that is already on the wait queue.
 *   4. Any harvest, a poller's too, wakes who waits for what it found.
 *   5. Disarming happens under the lock with sleepers == 0: there is nobody
 *	left to wake.
 *
 * Who is woken: an answer wakes those who wait for that request, nobody else; a
 * slot that becomes free wakes one of those who wait for a slot. That one finds
 * the slot taken by a newcomer, and waits again, or takes it, or passes the
 * wake-up on. What ends all waits for slots (the queue opens, or dies) wakes all.
 *
 * A sleeper looks again every second all the same, and notifies the device
 * again: that is for a service that lost a notification, not for us.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "vtmem.h"

/* A wait this long is reported, and again each time it has doubled. */
#define WARN_AFTER_S		10U

#define CONTROL_TIMEOUT_S	10U

/* Is what the caller waits for there: its answer, or, without @req, a slot? */
static bool vtmem_ready(struct vtmem_queue *q, struct vtmem_request *req)
{
	if (req)
		return req->state != VTMEM_REQ_INFLIGHT;
	return q->state == VTMEM_QUEUE_DEAD ||
	       (q->state == VTMEM_QUEUE_OPEN && !list_empty(&q->free));
}

/**
 * struct vtmem_sleeper - a task in vtmem_sleep()
 * @entry:	on the queue's answer_wait or slot_wait
 * @req:	whose answer it waits for, NULL: for a slot
 */
struct vtmem_sleeper {
	struct wait_queue_entry entry;
	const struct vtmem_request *req;
};

/* Is it this sleeper that @key, a request or nothing in particular, is for? */
static int vtmem_wake_sleeper(struct wait_queue_entry *entry, unsigned int mode,
			      int flags, void *key)
{
	struct vtmem_sleeper *sleeper =
		container_of(entry, struct vtmem_sleeper, entry);

	if (sleeper->req != key)
		return 0;
	return autoremove_wake_function(entry, mode, flags, key);
}

/**
 * vtmem_wake_waiters() - a request is over
 * @q:		its queue, locked
 * @req:	the request, with its new state
 */
void vtmem_wake_waiters(struct vtmem_queue *q, struct vtmem_request *req)
{
	lockdep_assert_held(&q->lock);
	if (q->sleepers)
		__wake_up(&q->answer_wait, TASK_NORMAL, 0, req);
}

/**
 * vtmem_wake_for_slot() - a slot is free
 * @q: a locked queue
 */
void vtmem_wake_for_slot(struct vtmem_queue *q)
{
	lockdep_assert_held(&q->lock);
	if (q->sleepers)
		wake_up(&q->slot_wait);
}

/*
 * Sleeps until ready or until @timeout jiffies passed. Returns ready or not.
 * Context: may sleep.
 */
static bool vtmem_sleep(struct vtmem_queue *q, struct vtmem_request *req,
			long timeout)
{
	wait_queue_head_t *head = req ? &q->answer_wait : &q->slot_wait;
	struct vtmem_sleeper sleeper = { .req = req };
	bool ready;

	init_wait_entry(&sleeper.entry, 0);
	sleeper.entry.func = vtmem_wake_sleeper;
	vtmem_count(q->dev, sleeps);
	spin_lock_irq(&q->lock);
	/* A false return means answers are waiting: harvested right below. */
	if (!q->sleepers++ && q->vq)
		(void)virtqueue_enable_cb(q->vq);
	for (;;) {
		vtmem_queue_harvest(q);
		ready = vtmem_ready(q, req);
		if (ready || !timeout)
			break;
		if (req)
			prepare_to_wait(head, &sleeper.entry,
					TASK_UNINTERRUPTIBLE);
		else
			prepare_to_wait_exclusive(head, &sleeper.entry,
						  TASK_UNINTERRUPTIBLE);
		spin_unlock_irq(&q->lock);
		timeout = schedule_timeout(timeout);
		spin_lock_irq(&q->lock);
	}
	finish_wait(head, &sleeper.entry);
	if (!--q->sleepers && q->vq)
		virtqueue_disable_cb(q->vq);
	spin_unlock_irq(&q->lock);
	return ready;
}

/* Polls for the answer, no longer than poll_us nor than others want the CPU. */
static bool vtmem_poll(struct vtmem_queue *q, struct vtmem_request *req)
{
	u64 window = vtmem_clock_cycles(READ_ONCE(vtmem_poll_us) *
					(1 + req->nr_pages / 4));
	u64 start = vtmem_clock_now();
	unsigned long flags;

	do {
		if (spin_trylock_irqsave(&q->lock, flags)) {
			vtmem_queue_harvest(q);
			spin_unlock_irqrestore(&q->lock, flags);
		}
		/* Pairs with the releases of a completed request's state. */
		if (smp_load_acquire(&req->state) != VTMEM_REQ_INFLIGHT)
			return true;
		cpu_relax();
	} while (vtmem_clock_now() - start < window && !need_resched());
	return false;
}

/**
 * vtmem_wait_slot() - wait until a request may be submitted
 * @q:		a queue
 * @timeout:	in jiffies
 *
 * Context: may sleep.
 * Return: false if the time passed without a slot becoming free. The caller
 *	   takes the lock and looks again in any case.
 */
bool vtmem_wait_slot(struct vtmem_queue *q, long timeout)
{
	return vtmem_sleep(q, NULL, timeout);
}

/**
 * vtmem_abandon() - leave a request to a late answer
 * @q:		its queue
 * @req:	a submitted request
 *
 * Return: false if the answer has just come.
 */
bool vtmem_abandon(struct vtmem_queue *q, struct vtmem_request *req)
{
	bool abandoned;

	spin_lock_irq(&q->lock);
	abandoned = req->state != VTMEM_REQ_DONE;
	if (abandoned) {
		/* The device may still read a page its caller lent us. */
		if (req->page && req->page != req->own_page)
			get_page(req->page);
		req->state = VTMEM_REQ_ABANDONED;
		q->stalled = true;
		vtmem_count(q->dev, timeouts);
	}
	spin_unlock_irq(&q->lock);
	return abandoned;
}

/*
 * Notifies the device again. Returns false if its ring is broken. That of a
 * machine that stops may be, see virtio_tmem_power.c.
 */
static bool vtmem_rekick(struct vtmem_queue *q)
{
	struct virtqueue *vq = NULL;
	bool broken = false;

	spin_lock_irq(&q->lock);
	if (q->vq && q->state != VTMEM_QUEUE_PAUSED) {
		broken = virtqueue_is_broken(q->vq);
		if (!broken && q->state == VTMEM_QUEUE_OPEN) {
			vq = q->vq;
			atomic_inc(&q->kicking);
		}
	}
	spin_unlock_irq(&q->lock);
	if (vq) {
		vtmem_count(q->dev, rekicks);
		virtqueue_notify(vq);
		atomic_dec(&q->kicking);
	}
	return !broken;
}

/**
 * vtmem_load_patience_s() - how long a persistent page is worth waiting for
 * @dev: a device
 *
 * A disk can fail a read. To frontswap a failure is of no use.
 *
 * Return: seconds, 0: for ever.
 */
unsigned int vtmem_load_patience_s(struct vtmem_device *dev)
{
	return dev->swapdev && !READ_ONCE(dev->stopping) ?
		READ_ONCE(vtmem_load_timeout_s) : 0;
}

/* How long @req may go unanswered, in seconds; 0: for ever. */
static unsigned int vtmem_patience_s(const struct vtmem_queue *q,
				     const struct vtmem_request *req)
{
	/* A window's pool is not ours to look at. */
	if (req->kind == VTMEM_SLOT_WINDOW)
		return VTMEM_TIMEOUT_S;
	if (!req->pool)
		return CONTROL_TIMEOUT_S;
	if (req->must_finish)
		return 0;
	if (req->op == VIRTIO_TMEM_OP_GET && req->pool->persistent)
		return vtmem_load_patience_s(q->dev);
	return VTMEM_TIMEOUT_S;
}

/**
 * vtmem_wait_done() - wait for a request's answer
 * @q:		its queue
 * @req:	a submitted request
 *
 * Context: may sleep.
 * Return: 0 when it is done, or why it is not worth waiting for any longer.
 */
int vtmem_wait_done(struct vtmem_queue *q, struct vtmem_request *req)
{
	unsigned int patience_s, waited_s = 0, warn_at_s = WARN_AFTER_S;

	if (vtmem_poll(q, req))
		return 0;
	while (!vtmem_sleep(q, req, HZ)) {
		waited_s++;
		patience_s = vtmem_patience_s(q, req);
		if (patience_s && waited_s >= patience_s)
			return -ETIMEDOUT;
		if (!vtmem_rekick(q) && !req->must_finish)
			return -EIO;
		if (waited_s == warn_at_s) {
			warn_at_s *= 2;
			dev_warn(&q->dev->vdev->dev,
				 "%s: no answer from the service for %u s (op %#x), still waiting\n",
				 q->name, waited_s, req->op);
		}
	}
	return 0;
}

/**
 * vtmem_wait() - wait for a request's answer and free its slot
 * @q:		its queue
 * @req:	a submitted request
 * @to:		for a GET: where to copy the page
 * @value:	where to put the response's value, or NULL
 *
 * A request given up stays in the ring; a page its caller lent stays pinned.
 *
 * Context: may sleep.
 * Return: the request's result; -ETIMEDOUT when given up; -EIO if the ring is
 *	   broken; -ENODEV if the device went away.
 */
int vtmem_wait(struct vtmem_queue *q, struct vtmem_request *req,
	       struct page *to, u64 *value)
{
	int err = vtmem_wait_done(q, req);

	if (err && vtmem_abandon(q, req))
		return err;

	/* Done: the slot is ours alone until we give it back. */
	err = req->result;
	if (to && !err)
		copy_highpage(to, req->own_page);
	if (value)
		*value = req->value;
	spin_lock_irq(&q->lock);
	vtmem_queue_put_slot(q, req);
	spin_unlock_irq(&q->lock);
	return err;
}
