// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: the host's wishes, the limit and the target.
 *
 * They are asked for on the control queue: when a session was opened or gone on
 * with, so that nothing is missed that was wished meanwhile, and every
 * INTERVAL while the host holds pages: a guest without any has nothing to give.
 * A processor that sleeps is not woken to ask.
 *
 * The device could tell by the config interrupt, but that begins as a message to
 * the VMM, and QEMU's generic device ends the VM when it reads one while no driver
 * runs it. A device that does not know the question does tell so; its config
 * space is read then.
 */
#include <linux/virtio_config.h>

#include "vtmem.h"
#include "vtmem_shrink.h"
#include "vtmem_wishes.h"

#define INTERVAL	(2 * HZ)

/* For a device that tells of changes by itself. */
static void vtmem_wishes_from_config(struct vtmem_device *dev, u64 *target,
				     u64 *limit)
{
	struct virtio_device *vdev = dev->vdev;

	virtio_cread_le(vdev, struct virtio_tmem_config, persistent_limit,
			limit);
	if (dev->capabilities & VIRTIO_TMEM_CAP_TARGET)
		virtio_cread_le(vdev, struct virtio_tmem_config,
				persistent_target, target);
}

static void vtmem_wishes_ask(struct vtmem_device *dev)
{
	u64 target = VIRTIO_TMEM_NO_TARGET, limit = 0;
	int err;

	err = vtmem_session_stat(dev, VIRTIO_TMEM_STAT_TARGET, &target);
	if (!err)
		err = vtmem_session_stat(dev, VIRTIO_TMEM_STAT_LIMIT, &limit);
	dev->asks_wishes = err != -ENXIO;
	if (err == -ENXIO)
		vtmem_wishes_from_config(dev, &target, &limit);
	else if (err)
		return;
	WRITE_ONCE(dev->limit, limit);
	/* What goes has a target of its own. */
	if (READ_ONCE(dev->removing) || target == dev->target)
		return;
	WRITE_ONCE(dev->target, target);
	/* A disk cannot refuse writes, nor take its pages home. */
	if (dev->swapdev && target != VIRTIO_TMEM_NO_TARGET)
		dev_notice(&dev->vdev->dev,
			   "the host asks for at most %llu pages: swapoff of the swap device gives them back\n",
			   target);
	vtmem_shrink_wake();
}

static void vtmem_wishes_work(struct work_struct *work)
{
	struct vtmem_device *dev = container_of(to_delayed_work(work),
						struct vtmem_device,
						wishes_work);

	if (READ_ONCE(dev->removing))
		return;
	if (!vtmem_session_is_asked(dev))
		vtmem_wishes_ask(dev);
	WRITE_ONCE(dev->wishes_asked, !dev->asks_wishes);
	if (!dev->asks_wishes)
		return;
	/* Who holds the first page after this begins again. */
	smp_mb();
	if (!atomic_long_read(&dev->nr_held))
		return;
	WRITE_ONCE(dev->wishes_asked, true);
	queue_delayed_work(system_unbound_wq, &dev->wishes_work,
			   round_jiffies_relative(INTERVAL));
}

/**
 * vtmem_wishes_init() - prepare a device for vtmem_wishes_start()
 * @dev: a new device
 */
void vtmem_wishes_init(struct vtmem_device *dev)
{
	dev->target = VIRTIO_TMEM_NO_TARGET;
	INIT_DEFERRABLE_WORK(&dev->wishes_work, vtmem_wishes_work);
}

/**
 * vtmem_wishes_start() - learn what the host wishes, and go on asking
 * @dev: a device whose session was opened or gone on with
 *
 * Context: may sleep.
 */
void vtmem_wishes_start(struct vtmem_device *dev)
{
	vtmem_wishes_work(&dev->wishes_work.work);
}

/**
 * vtmem_wishes_changed() - the device says that they changed
 * @dev: a device
 *
 * Context: any; config space cannot be read in an interrupt.
 */
void vtmem_wishes_changed(struct vtmem_device *dev)
{
	mod_delayed_work(system_unbound_wq, &dev->wishes_work, 0);
}

/**
 * vtmem_wishes_stop() - ask no more
 * @dev: a device; its config interrupt is off
 *
 * Context: may sleep, for as long as a question goes unanswered.
 */
void vtmem_wishes_stop(struct vtmem_device *dev)
{
	cancel_delayed_work_sync(&dev->wishes_work);
}
