// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: when the machine sleeps or stops.
 *
 * freeze	S3: rings run empty, then go. Gets wait, puts are refused
 * restore	new rings, ATTACH: the pools are as they were
 * S4		refused while the host holds pages: the image would be written
 *		to the very swap whose pages are not there any more after boot
 * both		refused while the device's removal waits for pages: it holds the
 *		device's lock, and those who could free memory would be frozen
 * shutdown	the device is reset, so that it leaves the next kernel's memory
 *		alone (kexec)
 */
#include <linux/suspend.h>
#include <linux/virtio_config.h>

#include "vtmem.h"
#include "vtmem_power.h"
#include "vtmem_rings.h"
#include "vtmem_swapdev.h"

static int vtmem_pm_refuse_removing(struct vtmem_device *dev)
{
	if (!READ_ONCE(dev->removing))
		return NOTIFY_DONE;
	dev_warn(&dev->vdev->dev, "no sleep while the device is being removed\n");
	return notifier_from_errno(-EBUSY);
}

/**
 * vtmem_pm_notify() - learn of sleep before it starts
 * @nb:		a device's pm_notifier
 * @event:	PM_*
 * @unused:	nothing
 *
 * Return: NOTIFY_DONE, or a refusal, see above.
 */
int vtmem_pm_notify(struct notifier_block *nb, unsigned long event,
		    void *unused)
{
	struct vtmem_device *dev =
		container_of(nb, struct vtmem_device, pm_notifier);
	u64 pages;
	int err;

	switch (event) {
	case PM_SUSPEND_PREPARE:
		return vtmem_pm_refuse_removing(dev);
	case PM_HIBERNATION_PREPARE:
		if (READ_ONCE(dev->removing))
			return vtmem_pm_refuse_removing(dev);
		WRITE_ONCE(dev->refuse_puts, true);
		/* Puts that did not see that yet are inside vtmem_srcu. */
		synchronize_srcu(&vtmem_srcu);
		err = vtmem_session_pages(dev, true, &pages);
		if (err || pages) {
			dev_warn(&dev->vdev->dev,
				 "no hibernation while the host holds pages (%llu, %d): swapoff first\n",
				 err ? 0 : pages, err);
			WRITE_ONCE(dev->refuse_puts, false);
			return notifier_from_errno(err ?: -EBUSY);
		}
		dev->hibernating = true;
		break;
	case PM_POST_HIBERNATION:
		dev->hibernating = false;
		WRITE_ONCE(dev->refuse_puts, false);
		break;
	}
	return NOTIFY_DONE;
}

/**
 * vtmem_shutdown() - leave the next kernel's memory alone
 * @vdev: the device
 */
void vtmem_shutdown(struct virtio_device *vdev)
{
	struct vtmem_device *dev = vdev->priv;
	unsigned int i;

	/* Who needs a page now waits for the end: there is no failing here. */
	for (i = 0; i < dev->nr_queues; i++) {
		spin_lock_irq(&dev->queues[i].lock);
		dev->queues[i].state = VTMEM_QUEUE_PAUSED;
		spin_unlock_irq(&dev->queues[i].lock);
	}
	vdev->config->reset(vdev);
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

	cancel_work_sync(&dev->config_work);
	for (i = 0; i < dev->nr_queues; i++) {
		err = vtmem_queue_pause(&dev->queues[i]);
		if (err) {
			dev_err(&vdev->dev, "no suspend: %s is not answered\n",
				dev->queues[i].name);
			goto err_resume;
		}
	}
	vtmem_close_queues(dev);
	vdev->config->del_vqs(vdev);
	return 0;

err_resume:
	while (i--)
		vtmem_queue_open(&dev->queues[i]);
	return err;
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
	if (!err && dev->nr_queues != nr_queues)
		err = -ENXIO; /* objects would change queues */
	if (err)
		goto err_dead;
	err = dev->hibernating ? -ESTALE : vtmem_session_attach(dev);
	if (err == -ESTALE) {
		if (!dev->hibernating)
			dev_err(&vdev->dev, "the host lost our session while we slept, and its pages\n");
		/* A disk that lost its pages must not read as never written. */
		if (dev->swapdev && !dev->hibernating)
			goto err_dead;
		err = vtmem_session_reset(dev);
		if (!err)
			err = vtmem_pool_recreate_all(dev);
		if (!err)
			err = vtmem_swapdev_populate(dev);
	}
	if (err)
		goto err_dead;
	vtmem_open_request_queues(dev);
	return 0;

err_dead:
	dev_err(&vdev->dev, "not back after suspend (%d)\n", err);
	vtmem_kill_queues(dev);
	return err;
}
#endif
