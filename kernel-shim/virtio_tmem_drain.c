// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: a device that goes gives its pages back first.
 *
 * They are nowhere else, and the host drops them with the device. There is no
 * refusing to be removed, so its driver waits, for as long as the service can
 * still give back what somebody would miss:
 *	frontswap	a page that it has not let go of. They come home by
 *			virtio_tmem_shrink.c, as far as there is memory; by
 *			swapoff; or because nobody needs them any more
 *	a disk		any page, while somebody has the disk open: swapoff
 * The guest goes on meanwhile, and stores no new pages by frontswap.
 *
 * What ends the wait before that:
 *	- nobody answers: the service is dead, or the device was torn out
 *	- the session is gone, and the pages with it
 *	- the machine stops. device_shutdown() needs the lock of a device that is
 *	  being removed, and the pages are of no use any more. Who needs one
 *	  until then waits (virtio_tmem_power.c)
 * Suspend needs that lock too, with all those frozen who could free memory. So
 * vtmem_pm_notify() refuses it, and one that was let in before is called off.
 */
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/suspend.h>

#include "vtmem.h"
#include "vtmem_drain.h"
#include "vtmem_shrink.h"
#include "vtmem_swapdev.h"

#define TICKS_PER_S		10

/* A wait this long is reported, and again each time it has doubled. */
#define WARN_AFTER_S		10U

/* So many control requests in turn unanswered (10 s each): nobody is there. */
#define UNANSWERED_MAX		3

/* Would nobody miss a page, were the device to go now? It has to, after that. */
static bool vtmem_is_drained(struct vtmem_device *dev)
{
	if (dev->swapdev)
		return vtmem_swapdev_claim(dev->swapdev);
	return completion_done(&dev->puts_over) &&
	       !vtmem_pool_present(dev, true);
}

static void vtmem_puts_are_over(struct rcu_head *head)
{
	struct vtmem_device *dev =
		container_of(head, struct vtmem_device, last_puts);

	complete_all(&dev->puts_over);
}

static bool vtmem_machine_stops(const struct vtmem_device *dev)
{
	return READ_ONCE(dev->stopping) || system_state > SYSTEM_RUNNING;
}

/* Returns 0 while the pages can be had, or why they cannot. */
static int vtmem_ask_service(struct vtmem_device *dev)
{
	unsigned int unanswered = 0;
	u64 pages;
	int err;

	do {
		err = vtmem_session_pages(dev, true, &pages);
	} while (err == -ETIMEDOUT && ++unanswered < UNANSWERED_MAX &&
		 !vtmem_machine_stops(dev));
	/* Any other answer is one. */
	return err == -ETIMEDOUT || err == -EIO || err == -ESTALE ? err : 0;
}

/**
 * vtmem_drain() - wait until nobody would miss a device
 * @dev: a device whose @removing is set
 *
 * Context: may sleep, for as long as there are pages and the service lives.
 * Return: false if somebody would, but the machine stops: nothing is taken from
 *	   them then.
 */
bool vtmem_drain(struct vtmem_device *dev)
{
	unsigned int tick, warn_at_s = WARN_AFTER_S;
	bool drained;
	int err = 0;
	u64 left;

	/* Puts that did not see @removing yet are inside vtmem_srcu. */
	init_completion(&dev->puts_over);
	call_srcu(&vtmem_srcu, &dev->last_puts, vtmem_puts_are_over);
	wait_for_completion_timeout(&dev->puts_over, HZ / TICKS_PER_S);

	for (tick = 0;; tick++) {
		drained = vtmem_is_drained(dev);
		if (drained || vtmem_machine_stops(dev))
			break;
		if (READ_ONCE(dev->sleeping))
			pm_system_wakeup();
		if (tick % TICKS_PER_S == 0) {
			err = vtmem_ask_service(dev);
			/* Nor is a queue open when the machine stops. */
			if (err && !vtmem_machine_stops(dev))
				break;
			vtmem_shrink_all(dev);
		}
		if (tick == warn_at_s * TICKS_PER_S) {
			dev_warn(&dev->vdev->dev,
				 "not removed for %u s: the host still has %llu pages. Swapoff, or more free memory or swap, brings them home\n",
				 warn_at_s, vtmem_pool_present(dev, true));
			warn_at_s *= 2;
		}
		schedule_timeout_idle(HZ / TICKS_PER_S);
	}
	vtmem_shrink_stop(dev);
	if (!drained && vtmem_machine_stops(dev))
		return false;
	left = vtmem_pool_present(dev, true);
	if (err && left)
		dev_err(&dev->vdev->dev,
			"DATA LOSS: removed with %llu pages on the host (%d)\n",
			left, err);
	return true;
}

/**
 * vtmem_drain_finish() - wait until nothing refers to the drain any more
 * @dev: a device without rings, so that nobody is held up inside a call
 */
void vtmem_drain_finish(struct vtmem_device *dev)
{
	wait_for_completion(&dev->puts_over);
}
