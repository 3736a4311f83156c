// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: a device's queues, all of them at once. What becomes
 * of each is in virtio_tmem_queue.c.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "vtmem.h"
#include "vtmem_compat.h"
#include "vtmem_rings.h"

/**
 * vtmem_create_rings() - give a device's queues rings, open the control queue
 * @dev: a device; it is left with fewer queues if it turns out to have fewer
 *
 * Return: 0 or a negative errno.
 */
int vtmem_create_rings(struct vtmem_device *dev)
{
	struct virtqueue *vqs[VTMEM_MAX_QUEUES];
	const char *names[VTMEM_MAX_QUEUES];
	unsigned int i;
	int err;

	for (i = 0; i < dev->nr_queues; i++)
		names[i] = dev->queues[i].name;
	do {
		err = vtmem_find_vqs(dev->vdev, dev->nr_queues, vqs,
				     vtmem_queue_callback, names);
		/* Both mean that a ring is not there, by the kernel. */
	} while ((err == -ENOENT || err == -EINVAL) && dev->nr_queues > 2 &&
		 dev->nr_queues--);
	if (err)
		return err;

	for (i = 0; i < dev->nr_queues; i++) {
		err = vtmem_queue_set_ring(&dev->queues[i], vqs[i]);
		if (err) {
			dev_err(&dev->vdev->dev, "a ring of %u entries is too small\n",
				virtqueue_get_vring_size(vqs[i]));
			return err;
		}
	}
	virtio_device_ready(dev->vdev);
	vtmem_queue_open(&dev->queues[VIRTIO_TMEM_CONTROL_QUEUE]);
	return 0;
}

/**
 * vtmem_open_request_queues() - let page requests in
 * @dev: a device with a session
 */
void vtmem_open_request_queues(struct vtmem_device *dev)
{
	unsigned int i;

	for (i = 1; i < dev->nr_queues; i++)
		vtmem_queue_open(&dev->queues[i]);
}

/**
 * vtmem_close_queues() - reset the device and take its rings away
 * @dev: a device whose queues are paused or dead; every waiter gets an answer
 */
void vtmem_close_queues(struct vtmem_device *dev)
{
	unsigned int i;

	dev->vdev->config->reset(dev->vdev);
	for (i = 0; i < dev->nr_queues; i++)
		vtmem_queue_close(&dev->queues[i]);
}

/**
 * vtmem_delete_rings() - free a device's rings
 * @dev: a device whose queues are closed. Front ends notify of no ring: they are
 *	 gone, or found the queues paused
 *
 * A queue's worker submits under the lock and notifies outside of it: it may
 * be about to touch a ring that its queue has no more. Flushes that are
 * remembered stay so.
 *
 * Context: may sleep.
 */
void vtmem_delete_rings(struct vtmem_device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++) {
		cancel_delayed_work_sync(&dev->queues[i].flush_work);
		WARN_ON_ONCE(atomic_read(&dev->queues[i].kicking));
	}
	dev->vdev->config->del_vqs(dev->vdev);
}

/**
 * vtmem_kill_queues() - let nothing new in, for ever
 * @dev: a device
 */
void vtmem_kill_queues(struct vtmem_device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++)
		vtmem_queue_kill(&dev->queues[i]);
}
