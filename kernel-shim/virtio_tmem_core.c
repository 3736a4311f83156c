// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: the device's life.
 *
 * probe	rings, RESET (a new session; the pools of an earlier life of this
 *		guest are gone), then the front ends
 * remove	pages come back first, as far as there is memory; then whoever
 *		still waits is told that the device is gone
 * freeze	S3: rings run empty, then go. Gets wait, puts are refused
 * restore	new rings, ATTACH: the pools are as they were
 * S4		refused while the host holds pages: the image would be written
 *		to the very swap whose pages are not there any more after boot
 * shutdown	the device is reset, so that it leaves the next kernel's memory
 *		alone (kexec)
 *
 * There is at most one device: two stores for one swap have no use.
 */
#define CREATE_TRACE_POINTS
#include "virtio_tmem_trace.h"

#include <linux/err.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/suspend.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "vtmem.h"
#include "vtmem_cleancache.h"
#include "vtmem_compat.h"
#include "vtmem_frontswap.h"
#include "vtmem_swapdev.h"

struct srcu_struct vtmem_srcu;
struct workqueue_struct *vtmem_workqueue;

static unsigned int vtmem_device_id = VIRTIO_TMEM_DEFAULT_DEVICE_ID;
module_param_named(device_id, vtmem_device_id, uint, 0444);
MODULE_PARM_DESC(device_id,
		 "virtio device id to bind to (default 13); it must carry the TMEM magic");

unsigned int vtmem_poll_us = 50;
module_param_named(poll_us, vtmem_poll_us, uint, 0644);
MODULE_PARM_DESC(poll_us,
		 "microseconds to poll for an answer before sleeping (default 50)");

unsigned int vtmem_load_timeout_s;
module_param_named(load_timeout_s, vtmem_load_timeout_s, uint, 0644);
MODULE_PARM_DESC(load_timeout_s,
		 "seconds after which a load fails, which loses the page (default 0: never)");

static int vtmem_validate(struct virtio_device *vdev)
{
	u32 magic;
	u16 version;

	BUILD_BUG_ON(sizeof(struct virtio_tmem_config) != 64);
	BUILD_BUG_ON(sizeof(struct virtio_tmem_req) != 40);
	BUILD_BUG_ON(sizeof(struct virtio_tmem_resp) != 16);

	if (!virtio_has_feature(vdev, VIRTIO_F_VERSION_1))
		return -ENODEV;
	virtio_cread_le(vdev, struct virtio_tmem_config, magic, &magic);
	virtio_cread_le(vdev, struct virtio_tmem_config, version, &version);
	if (magic != VIRTIO_TMEM_MAGIC) {
		dev_info(&vdev->dev, "not a tmem device (magic %#x)\n", magic);
		return -ENODEV;
	}
	if (version != VIRTIO_TMEM_VERSION) {
		dev_err(&vdev->dev, "version %u of the device is not known, only %u is\n",
			version, VIRTIO_TMEM_VERSION);
		return -ENODEV;
	}
	/* An indirect table would have to be allocated for each request. */
	__virtio_clear_bit(vdev, VIRTIO_RING_F_INDIRECT_DESC);
	return 0;
}

/* Reads what may change while a session is open. */
static void vtmem_read_limits(struct vtmem_device *dev)
{
	struct virtio_device *vdev = dev->vdev;

	virtio_cread_le(vdev, struct virtio_tmem_config, persistent_limit,
			&dev->limit);
	if (dev->capabilities & VIRTIO_TMEM_CAP_TARGET)
		virtio_cread_le(vdev, struct virtio_tmem_config,
				persistent_target, &dev->target);
}

/* Reads what stays. Returns the number of request queues, or an errno. */
static int vtmem_read_config(struct vtmem_device *dev)
{
	struct virtio_device *vdev = dev->vdev;
	u32 page_shift_mask;
	u16 nr_queues;

	virtio_cread_le(vdev, struct virtio_tmem_config, capabilities,
			&dev->capabilities);
	virtio_cread_le(vdev, struct virtio_tmem_config, page_shift_mask,
			&page_shift_mask);
	virtio_cread_le(vdev, struct virtio_tmem_config, num_request_queues,
			&nr_queues);
	virtio_cread_le(vdev, struct virtio_tmem_config, persistent_reserve,
			&dev->reserve);
	virtio_cread_le(vdev, struct virtio_tmem_config, max_pages_per_request,
			&dev->max_pages_per_request);
	dev->target = VIRTIO_TMEM_NO_TARGET;
	vtmem_read_limits(dev);

	if (!(page_shift_mask & BIT(PAGE_SHIFT))) {
		dev_err(&vdev->dev, "no pages of %lu bytes\n", PAGE_SIZE);
		return -EINVAL;
	}
	if (!(dev->capabilities & VIRTIO_TMEM_CAP_PERSISTENT)) {
		dev_err(&vdev->dev, "no persistent pools, nothing to use it for\n");
		return -EINVAL;
	}
	if (!nr_queues || !dev->max_pages_per_request) {
		dev_err(&vdev->dev, "no request queues, or none for a page\n");
		return -EINVAL;
	}
	return min3((unsigned int)nr_queues, num_online_cpus(),
		    VTMEM_MAX_QUEUES - 1U);
}

static void vtmem_config_work(struct work_struct *work)
{
	struct vtmem_device *dev =
		container_of(work, struct vtmem_device, config_work);

	vtmem_read_limits(dev);
	if (dev->target != VIRTIO_TMEM_NO_TARGET)
		vtmem_frontswap_shrink_to(dev->target);
}

/* May come in interrupt context, where config space cannot be read. */
static void vtmem_config_changed(struct virtio_device *vdev)
{
	struct vtmem_device *dev = vdev->priv;

	queue_work(system_unbound_wq, &dev->config_work);
}

/*
 * Creates the rings of the first @dev->nr_queues queues, or of fewer if the
 * device turns out to have fewer, and opens the control queue.
 */
static int vtmem_create_rings(struct vtmem_device *dev)
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
	} while (err == -ENOENT && dev->nr_queues > 2 && dev->nr_queues--);
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

/* Lets page requests in; there is a session by now. */
static void vtmem_open_request_queues(struct vtmem_device *dev)
{
	unsigned int i;

	for (i = 1; i < dev->nr_queues; i++)
		vtmem_queue_open(&dev->queues[i]);
}

/* Resets the device and takes the rings away; every waiter gets an answer. */
static void vtmem_close_queues(struct vtmem_device *dev)
{
	unsigned int i;

	dev->vdev->config->reset(dev->vdev);
	for (i = 0; i < dev->nr_queues; i++)
		vtmem_queue_close(&dev->queues[i]);
}

static void vtmem_kill_queues(struct vtmem_device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++)
		vtmem_queue_kill(&dev->queues[i]);
}

static int vtmem_pm_notify(struct notifier_block *nb, unsigned long event,
			   void *unused)
{
	struct vtmem_device *dev =
		container_of(nb, struct vtmem_device, pm_notifier);
	u64 pages;
	int err;

	switch (event) {
	case PM_HIBERNATION_PREPARE:
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

static void vtmem_free(struct vtmem_device *dev)
{
	unsigned int i;

	for (i = 0; dev->queues && i < VTMEM_MAX_QUEUES; i++)
		if (dev->queues[i].requests)
			vtmem_queue_free(&dev->queues[i]);
	kfree(dev->queues);
	free_percpu(dev->stats);
	kfree(dev);
}

/* Everything of a device that needs no device. */
static struct vtmem_device *vtmem_alloc(struct virtio_device *vdev)
{
	struct vtmem_device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return NULL;
	dev->vdev = vdev;
	mutex_init(&dev->control_mutex);
	INIT_LIST_HEAD(&dev->pools);
	INIT_WORK(&dev->config_work, vtmem_config_work);
	dev->pm_notifier.notifier_call = vtmem_pm_notify;
	dev->stats = alloc_percpu(struct vtmem_stats);
	dev->queues = kcalloc(VTMEM_MAX_QUEUES, sizeof(*dev->queues),
			      GFP_KERNEL);
	if (!dev->stats || !dev->queues) {
		vtmem_free(dev);
		return NULL;
	}
	return dev;
}

static int vtmem_probe(struct virtio_device *vdev)
{
	struct vtmem_device *dev = vtmem_alloc(vdev);
	unsigned int i;
	int err;

	if (!dev)
		return -ENOMEM;
	vdev->priv = dev;

	err = vtmem_read_config(dev);
	if (err < 0)
		goto err_free;
	dev->nr_queues = 1 + err;
	for (i = 0; i < dev->nr_queues; i++) {
		err = vtmem_queue_init(&dev->queues[i], dev, i);
		if (err)
			goto err_free;
	}
	err = vtmem_reserve_init(&dev->spares);
	if (err)
		goto err_free;
	vtmem_admission_init(&dev->admission, dev);
	err = vtmem_create_rings(dev);
	if (err)
		goto err_queues;
	err = vtmem_session_reset(dev);
	if (err) {
		dev_err(&vdev->dev, "the service opened no session (%d)\n", err);
		goto err_queues;
	}
	vtmem_open_request_queues(dev);
	err = register_pm_notifier(&dev->pm_notifier);
	if (err)
		goto err_queues;
	err = vtmem_swapdev_wanted() ? vtmem_swapdev_attach(dev) :
				       vtmem_frontswap_attach(dev);
	if (err)
		goto err_notifier;
	vtmem_cleancache_attach(dev);
	vtmem_debugfs_create(dev);

	dev_info(&vdev->dev, "%u request queues, reserve %llu, limit %llu pages\n",
		 dev->nr_queues - 1, dev->reserve, dev->limit);
	return 0;

err_notifier:
	unregister_pm_notifier(&dev->pm_notifier);
err_queues:
	vtmem_kill_queues(dev);
	vtmem_close_queues(dev);
	vdev->config->del_vqs(vdev);
	cancel_work_sync(&dev->config_work);
	vtmem_admission_free(&dev->admission);
	vtmem_reserve_free(&dev->spares);
err_free:
	vtmem_free(dev);
	return err;
}

static void vtmem_remove(struct virtio_device *vdev)
{
	struct vtmem_device *dev = vdev->priv;

	unregister_pm_notifier(&dev->pm_notifier);
	cancel_work_sync(&dev->config_work);
	WRITE_ONCE(dev->refuse_puts, true);
	WRITE_ONCE(dev->removing, true);
	vtmem_frontswap_drain(dev);

	vtmem_kill_queues(dev);
	vtmem_close_queues(dev);
	vtmem_frontswap_detach(dev);
	vtmem_swapdev_detach(dev);
	synchronize_srcu(&vtmem_srcu);
	vtmem_cleancache_detach(dev);
	vtmem_admission_free(&dev->admission);

	vtmem_debugfs_remove(dev);
	vdev->config->del_vqs(vdev);
	vtmem_pool_free_all(dev);
	vtmem_reserve_free(&dev->spares);
	vtmem_free(dev);
}

static void vtmem_shutdown(struct virtio_device *vdev)
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
static int vtmem_freeze(struct virtio_device *vdev)
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

static int vtmem_restore(struct virtio_device *vdev)
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
		err = vtmem_session_reset(dev);
		if (!err)
			err = vtmem_pool_recreate_all(dev);
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

static struct virtio_device_id vtmem_id_table[] = {
	{ VIRTIO_TMEM_DEFAULT_DEVICE_ID, VIRTIO_DEV_ANY_ID },
	{ 0 },
};

static struct virtio_driver vtmem_driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	VTMEM_SHUTDOWN,
	.id_table = vtmem_id_table,
	.validate = vtmem_validate,
	.probe = vtmem_probe,
	.remove = vtmem_remove,
	.config_changed = vtmem_config_changed,
#ifdef CONFIG_PM_SLEEP
	.freeze = vtmem_freeze,
	.restore = vtmem_restore,
#endif
};

static int __init vtmem_init(void)
{
	int err;

	vtmem_clock_calibrate();
	err = init_srcu_struct(&vtmem_srcu);
	if (err)
		return err;
	/* Memory is freed with the help of these work items. */
	vtmem_workqueue = alloc_workqueue("virtio_tmem",
					  WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!vtmem_workqueue) {
		err = -ENOMEM;
		goto err_srcu;
	}
	err = vtmem_swapdev_init();
	if (err)
		goto err_workqueue;
	vtmem_id_table[0].device = vtmem_device_id;
	err = register_virtio_driver(&vtmem_driver);
	if (err)
		goto err_swapdev;
	return 0;

err_swapdev:
	vtmem_swapdev_exit();
err_workqueue:
	destroy_workqueue(vtmem_workqueue);
err_srcu:
	cleanup_srcu_struct(&vtmem_srcu);
	return err;
}
module_init(vtmem_init);

/* Runs only where frontswap was never used: it has no way to let go of us. */
static void __exit vtmem_exit(void)
{
	unregister_virtio_driver(&vtmem_driver);
	vtmem_swapdev_exit();
	destroy_workqueue(vtmem_workqueue);
	cleanup_srcu_struct(&vtmem_srcu);
}
module_exit(vtmem_exit);

MODULE_DEVICE_TABLE(virtio, vtmem_id_table);
MODULE_DESCRIPTION("Transcendent memory over virtio");
MODULE_LICENSE("GPL v2");
