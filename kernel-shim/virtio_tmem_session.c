// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: going on with a session, or with a new one in its
 * place.
 *
 * The host may lose the session: its administrator drops a guest's pools, or it is
 * another host after suspend. Every request is answered NO_SESSION then, for ever,
 * until a driver opens another session.
 *
 * A device with a disk does so by itself, because a disk that fails its writes is
 * of no use any more. Only while no page request is in the rings: pools get new
 * ids, and the old ones may name another pool in the new session.
 *	1. An answer NO_SESSION queues session_work, see vtmem_session_lost().
 *	2. The request queues run empty. New requests wait.
 *	3. ATTACH, or RESET and the pools once more.
 *	4. The queues open.
 * What was on the disk is remembered: reading it fails until it is written or
 * given up. Clean pages of files are forgotten: they are on their disks. Nothing
 * of this allocates, for the guest may need the disk to free memory.
 *
 * frontswap needs no new session. What the host refuses it puts on its own disk,
 * and its pages are not replaced by something else (virtio_tmem_frontswap.c).
 *
 * Who takes queues away for another reason (sleep, the end, removal) holds this up
 * first, so that nobody opens them behind its back.
 */
#include <linux/jiffies.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "vtmem.h"
#include "vtmem_rings.h"
#include "vtmem_session.h"
#include "vtmem_swapdev.h"

/* A host that loses each session at once is asked for one so often. */
#define INTERVAL	HZ

#define MAX_TRIES	3

/* How long who needs the new session waits for it. */
#define PATIENCE	(30 * HZ)

/**
 * vtmem_session_go_on() - go on with the session of before, or with a new one
 * @dev:	a device with an open control queue, without requests in the others
 * @used:	the pool of a disk of which somebody would miss a page, or NULL
 * @attach:	false: what is on the host cannot be found any more, and nobody
 *		would miss it
 *
 * A disk that somebody has open does not take what is gone for what was never
 * written; one that nobody uses is as after a reboot.
 *
 * Context: may sleep. Allocates nothing if the disk's pool is @used.
 * Return: 0 or a negative errno.
 */
int vtmem_session_go_on(struct vtmem_device *dev, const struct vtmem_pool *used,
			bool attach)
{
	u64 lost = vtmem_pool_present(dev, true);
	unsigned int tries;
	int err = attach ? vtmem_session_attach(dev) : -ESTALE;

	if (err != -ESTALE)
		return err;
	if (lost && (used || !dev->disk_pool))
		dev_err(&dev->vdev->dev, "DATA LOSS: the host lost our session, and %llu pages\n",
			lost);
	else
		dev_notice(&dev->vdev->dev, "a new session: the host has none of %llu pages, which nobody uses\n",
			   lost);
	/* It may be lost again before all pools are there. */
	for (tries = 0; err == -ESTALE && tries < MAX_TRIES; tries++)
		err = vtmem_session_renew(dev, used);
	if (!err && dev->disk_pool != used)
		err = vtmem_swapdev_populate(dev);
	return err;
}

/* Stops the request queues, empty. Returns 0, or -EBUSY with all of them open. */
static int vtmem_session_pause(struct vtmem_device *dev)
{
	unsigned int i;
	int err;

	for (i = 1; i < dev->nr_queues; i++) {
		err = vtmem_queue_pause(&dev->queues[i]);
		if (err) {
			while (--i)
				vtmem_queue_open(&dev->queues[i]);
			return err;
		}
	}
	return 0;
}

static void vtmem_session_work(struct work_struct *work)
{
	struct vtmem_device *dev = container_of(to_delayed_work(work),
						struct vtmem_device,
						session_work);
	int err;

	if (READ_ONCE(dev->session_held) || !READ_ONCE(dev->session_lost))
		return;
	err = vtmem_session_pause(dev);
	if (!err) {
		err = vtmem_session_go_on(dev, dev->disk_pool, true);
		dev->session_renewed = jiffies;
		/* All who were told of the old one have been heard. */
		if (!err)
			WRITE_ONCE(dev->session_lost, false);
		vtmem_open_request_queues(dev);
	}
	if (err) {
		dev_warn(&dev->vdev->dev, "no new session (%d)\n", err);
		queue_delayed_work(vtmem_workqueue, &dev->session_work,
				   10 * INTERVAL);
	}
	wake_up_all(&dev->session_wait);
}

/**
 * vtmem_session_init() - prepare a device for vtmem_session_lost()
 * @dev: a new device
 */
void vtmem_session_init(struct vtmem_device *dev)
{
	init_waitqueue_head(&dev->session_wait);
	INIT_DELAYED_WORK(&dev->session_work, vtmem_session_work);
	dev->session_renewed = jiffies - INTERVAL;
}

/**
 * vtmem_session_lost() - the host says that there is no session
 * @dev: a device
 *
 * Context: any, under any queue's lock.
 */
void vtmem_session_lost(struct vtmem_device *dev)
{
	unsigned long since = jiffies - dev->session_renewed;

	/* Set once more by who was answered before the queues ran empty. */
	if (!READ_ONCE(dev->disk_pool) || READ_ONCE(dev->session_lost))
		return;
	WRITE_ONCE(dev->session_lost, true);
	queue_delayed_work(vtmem_workqueue, &dev->session_work,
			   since < INTERVAL ? INTERVAL - since : 0);
}

/**
 * vtmem_session_await() - wait for the session in place of a lost one
 * @dev: a device that has answered that it has none
 *
 * Context: may sleep, not for ever.
 * Return: whether there is one.
 */
bool vtmem_session_await(struct vtmem_device *dev)
{
	return wait_event_timeout(dev->session_wait,
				  !READ_ONCE(dev->session_lost) ||
				  READ_ONCE(dev->session_held), PATIENCE) &&
	       !READ_ONCE(dev->session_lost);
}

/**
 * vtmem_session_hold() - open no new session, and no queues for one
 * @dev: a device
 *
 * Context: may sleep, for as long as the host takes to answer.
 */
void vtmem_session_hold(struct vtmem_device *dev)
{
	WRITE_ONCE(dev->session_held, true);
	cancel_delayed_work_sync(&dev->session_work);
	wake_up_all(&dev->session_wait);
}

/**
 * vtmem_session_release() - undo vtmem_session_hold()
 * @dev: a device
 */
void vtmem_session_release(struct vtmem_device *dev)
{
	WRITE_ONCE(dev->session_held, false);
	if (READ_ONCE(dev->session_lost))
		queue_delayed_work(vtmem_workqueue, &dev->session_work, 0);
}
