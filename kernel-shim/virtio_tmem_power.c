// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: when the machine sleeps or stops.
 *
 * freeze	rings run empty, then go. Gets wait, puts are refused
 * restore	new rings, ATTACH: the pools are as they were, and what the host
 *		wished meanwhile is asked for. Only where the
 *		host has lost the session there is a new one, see
 *		virtio_tmem_session.c; or where the device has fewer queues
 *		than before, on another host, and nobody would miss a page
 * S4		The memory image is made while the host still has the pages, and
 *		what runs from it may find them gone. So it is refused while
 *		frontswap has pages there, and while somebody has the disk open;
 *		until it is over frontswap puts none, and nobody opens the disk.
 *		A disk that nobody uses may come back empty, as after a reboot.
 *		A failed hibernation loses nothing
 * both		refused while the device's removal waits for pages: it holds the
 *		device's lock, and those who could free memory would be frozen
 * stop		reboot, power-off, kexec: nothing is asked of the host any more,
 *		and the device is reset, so that it leaves the next kernel's
 *		memory alone. Who needs a page now waits for the end: there is no
 *		failing here. It is learnt of by notifier, because whether the
 *		bus breaks the rings first, without telling the driver, depends
 *		on the kernel (6.16, and what was backported of it)
 */
#include <linux/kernel.h>
#include <linux/reboot.h>
#include <linux/suspend.h>
#include <linux/virtio_config.h>

#include "vtmem.h"
#include "vtmem_power.h"
#include "vtmem_rings.h"
#include "vtmem_session.h"
#include "vtmem_swapdev.h"
#include "vtmem_wishes.h"

/* Puts and opens that have not seen @refuse_puts yet are inside vtmem_srcu. */
static void vtmem_refuse_puts(struct vtmem_device *dev)
{
	WRITE_ONCE(dev->refuse_puts, true);
	synchronize_srcu(&vtmem_srcu);
}

/* Is something on the host that has to be there after a hibernation? */
static int vtmem_pm_in_use(struct vtmem_device *dev)
{
	u64 pages;
	int err;

	if (dev->swapdev) {
		if (!vtmem_swapdev_is_open(dev->swapdev))
			return 0;
		dev_warn(&dev->vdev->dev,
			 "no hibernation while the swap device is open: swapoff first\n");
		return -EBUSY;
	}
	err = vtmem_session_pages(dev, true, &pages);
	if (err || pages)
		dev_warn(&dev->vdev->dev,
			 "no hibernation while the host holds pages (%llu, %d): swapoff first\n",
			 err ? 0 : pages, err);
	return err ?: pages ? -EBUSY : 0;
}

static int vtmem_pm_prepare_hibernation(struct vtmem_device *dev)
{
	/* Twice for a disk: swapoff opens it, and need not fail for a refusal. */
	int err = dev->swapdev ? vtmem_pm_in_use(dev) : 0;

	if (err)
		return err;
	vtmem_refuse_puts(dev);
	err = vtmem_pm_in_use(dev);
	if (err)
		WRITE_ONCE(dev->refuse_puts, false);
	return err;
}

static int vtmem_pm_notify(struct notifier_block *nb, unsigned long event,
			   void *unused)
{
	struct vtmem_device *dev =
		container_of(nb, struct vtmem_device, pm_notifier);
	int err = 0;

	switch (event) {
	case PM_SUSPEND_PREPARE:
	case PM_HIBERNATION_PREPARE:
		WRITE_ONCE(dev->sleeping, true);
		/* Pairs with vtmem_remove(): one of the two sees the other. */
		smp_mb();
		if (READ_ONCE(dev->removing)) {
			dev_warn(&dev->vdev->dev,
				 "no sleep while the device is being removed\n");
			err = -EBUSY;
		} else if (event == PM_HIBERNATION_PREPARE) {
			err = vtmem_pm_prepare_hibernation(dev);
		}
		if (err)
			WRITE_ONCE(dev->sleeping, false);
		break;
	case PM_POST_HIBERNATION:
		WRITE_ONCE(dev->refuse_puts, false);
		fallthrough;
	case PM_POST_SUSPEND:
		WRITE_ONCE(dev->sleeping, false);
		break;
	}
	return notifier_from_errno(err);
}

static int vtmem_reboot_notify(struct notifier_block *nb, unsigned long event,
			       void *unused)
{
	struct vtmem_device *dev =
		container_of(nb, struct vtmem_device, reboot_notifier);
	unsigned int i;

	WRITE_ONCE(dev->stopping, true);
	vtmem_session_hold(dev);
	for (i = 0; i < dev->nr_queues; i++) {
		spin_lock_irq(&dev->queues[i].lock);
		dev->queues[i].state = VTMEM_QUEUE_PAUSED;
		spin_unlock_irq(&dev->queues[i].lock);
	}
	dev->vdev->config->reset(dev->vdev);
	return NOTIFY_DONE;
}

/**
 * vtmem_power_init() - prepare a device for vtmem_power_start()
 * @dev: a new device
 */
void vtmem_power_init(struct vtmem_device *dev)
{
	dev->pm_notifier.notifier_call = vtmem_pm_notify;
	dev->reboot_notifier.notifier_call = vtmem_reboot_notify;
	/* After all others: they may still need memory. */
	dev->reboot_notifier.priority = INT_MIN;
}

/**
 * vtmem_power_start() - want to know when the machine sleeps or stops
 * @dev: a device with open queues
 *
 * Return: 0 or a negative errno.
 */
int vtmem_power_start(struct vtmem_device *dev)
{
	int err = register_pm_notifier(&dev->pm_notifier);

	if (err)
		return err;
	err = register_reboot_notifier(&dev->reboot_notifier);
	if (err)
		unregister_pm_notifier(&dev->pm_notifier);
	return err;
}

/**
 * vtmem_power_stop() - undo vtmem_power_start()
 * @dev: a device
 */
void vtmem_power_stop(struct vtmem_device *dev)
{
	unregister_reboot_notifier(&dev->reboot_notifier);
	unregister_pm_notifier(&dev->pm_notifier);
}

#ifdef CONFIG_PM_SLEEP
/**
 * vtmem_freeze() - the device is about to lose its state
 * @vdev: the device
 *
 * Return: 0, or -EBUSY if it does not answer.
 */
int vtmem_freeze(struct virtio_device *vdev)
{
	struct vtmem_device *dev = vdev->priv;
	unsigned int i;
	int err;

	vtmem_wishes_stop(dev);
	vtmem_session_hold(dev);
	for (i = 0; i < dev->nr_queues; i++) {
		err = vtmem_queue_pause(&dev->queues[i]);
		if (err) {
			dev_err(&vdev->dev, "no suspend: %s is not answered\n",
				dev->queues[i].name);
			goto err_resume;
		}
	}
	vtmem_close_queues(dev);
	vtmem_delete_rings(dev);
	return 0;

err_resume:
	while (i--)
		vtmem_queue_open(&dev->queues[i]);
	vtmem_session_release(dev);
	vtmem_wishes_changed(dev);
	return err;
}

/*
 * Objects have their queues by the number of these, so with fewer nothing on the
 * host is found again. Would somebody miss it?
 */
static bool vtmem_pages_are_missed(struct vtmem_device *dev)
{
	return dev->swapdev ? vtmem_swapdev_is_open(dev->swapdev) :
			      vtmem_pool_present(dev, true);
}

/**
 * vtmem_restore() - go on with the session, or with a new one
 * @vdev: the device
 *
 * Return: 0 or a negative errno; every queue is dead then.
 */
int vtmem_restore(struct virtio_device *vdev)
{
	struct vtmem_device *dev = vdev->priv;
	unsigned int nr_queues = dev->nr_queues;
	int err;

	err = vtmem_create_rings(dev);
	if (!err && dev->nr_queues != nr_queues && vtmem_pages_are_missed(dev))
		err = -ENXIO;
	if (!err)
		err = vtmem_session_go_on(dev, vtmem_swapdev_used_pool(dev),
					  dev->nr_queues == nr_queues);
	if (err) {
		dev_err(&vdev->dev, "not back after suspend (%d)\n", err);
		vtmem_kill_queues(dev);
		return err;
	}
	WRITE_ONCE(dev->session_lost, false);
	vtmem_wishes_start(dev);
	vtmem_open_request_queues(dev);
	vtmem_session_release(dev);
	return 0;
}
#endif
