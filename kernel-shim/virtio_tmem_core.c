// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: the device's life.
 *
 * probe	rings, RESET (a new session; the pools of an earlier life of this
 *		guest are gone), what the host wishes, then the front ends
 * remove	pages come back first; then whoever still waits is told that the
 *		device is gone. Who may touch something is gone before it:
 *		front ends, then the workers of the queues, then the rings,
 *		then what is remembered
 *
 * Waiting for them is in virtio_tmem_drain.c, sleep and shutdown in
 * virtio_tmem_power.c. There is one device at most: two stores for one swap have
 * no use, and front ends and debugfs know one.
 */
#define CREATE_TRACE_POINTS
#include "virtio_tmem_trace.h"

#include <linux/err.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/suspend.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "vtmem.h"
#include "vtmem_cleancache.h"
#include "vtmem_compat.h"
#include "vtmem_drain.h"
#include "vtmem_frontswap.h"
#include "vtmem_power.h"
#include "vtmem_rings.h"
#include "vtmem_session.h"
#include "vtmem_swapdev.h"
#include "vtmem_wishes.h"

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
		 "seconds after which a read of the swap device fails, which loses the page (default 0: never)");

/* One for all front ends: set from probe to remove. */
static atomic_t vtmem_is_bound = ATOMIC_INIT(0);

static int vtmem_validate(struct virtio_device *vdev)
{
	u32 magic;
	u16 version;

	BUILD_BUG_ON(sizeof(struct virtio_tmem_config) != 64);
	BUILD_BUG_ON(sizeof(struct virtio_tmem_req) != 40);
	BUILD_BUG_ON(sizeof(struct virtio_tmem_resp) != 16);

	if (!virtio_has_feature(vdev, VIRTIO_F_VERSION_1)) {
		dev_err(&vdev->dev, "legacy virtio is not served; with QEMU's microvm: -global virtio-mmio.force-legacy=false\n");
		return -ENODEV;
	}
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

static void vtmem_config_changed(struct virtio_device *vdev)
{
	vtmem_wishes_changed(vdev->priv);
}

static void vtmem_free(struct vtmem_device *dev)
{
	unsigned int i;

	for (i = 0; dev->queues && i < VTMEM_MAX_QUEUES; i++)
		if (dev->queues[i].requests)
			vtmem_queue_free(&dev->queues[i]);
	kvfree(dev->queues);
	free_percpu(dev->stats);
	kfree(dev);
	atomic_set(&vtmem_is_bound, 0);
}

/* Everything of a device that needs no device. */
static struct vtmem_device *vtmem_alloc(struct virtio_device *vdev)
{
	struct vtmem_device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev) {
		atomic_set(&vtmem_is_bound, 0);
		return NULL;
	}
	dev->vdev = vdev;
	mutex_init(&dev->control_mutex);
	INIT_LIST_HEAD(&dev->pools);
	vtmem_session_init(dev);
	vtmem_wishes_init(dev);
	vtmem_power_init(dev);
	dev->stats = alloc_percpu(struct vtmem_stats);
	/* A guest that needs us may have no such piece of memory. */
	dev->queues = kvcalloc(VTMEM_MAX_QUEUES, sizeof(*dev->queues),
			       GFP_KERNEL);
	if (!dev->stats || !dev->queues) {
		vtmem_free(dev);
		return NULL;
	}
	return dev;
}

static int vtmem_probe(struct virtio_device *vdev)
{
	struct vtmem_device *dev;
	unsigned int i;
	int err;

	if (atomic_cmpxchg(&vtmem_is_bound, 0, 1)) {
		dev_err(&vdev->dev, "not used: a guest has one tmem device, and this one has it already\n");
		return -EBUSY;
	}
	dev = vtmem_alloc(vdev);
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
	vtmem_wishes_start(dev);
	vtmem_open_request_queues(dev);
	err = vtmem_power_start(dev);
	if (err)
		goto err_queues;
	err = vtmem_swapdev_wanted() ? -ENODEV : vtmem_frontswap_attach(dev);
	if (err == -ENODEV)
		err = vtmem_swapdev_attach(dev);
	if (err)
		goto err_power;
	vtmem_cleancache_attach(dev);
	vtmem_debugfs_create(dev);

	dev_info(&vdev->dev, "%u request queues, reserve %llu, limit %llu pages\n",
		 dev->nr_queues - 1, dev->reserve, dev->limit);
	return 0;

err_power:
	vtmem_power_stop(dev);
err_queues:
	vtmem_session_hold(dev);
	vtmem_kill_queues(dev);
	vtmem_close_queues(dev);
	vtmem_session_hold(dev);
	vtmem_wishes_stop(dev);
	vtmem_delete_rings(dev);
	vtmem_pool_free_all(dev);
	vtmem_admission_stop(&dev->admission);
	vtmem_reserve_free(&dev->spares);
err_free:
	vtmem_free(dev);
	return err;
}

static void vtmem_remove(struct virtio_device *vdev)
{
	struct vtmem_device *dev = vdev->priv;

	WRITE_ONCE(dev->removing, true);
	/* Pairs with vtmem_pm_notify(). */
	smp_mb();
	vtmem_wishes_stop(dev);
	vtmem_session_hold(dev);
	if (!vtmem_drain(dev)) {
		/* The machine stops with pages out: nothing of it is freed. */
		get_device(&vdev->dev);
		return;
	}
	vtmem_power_stop(dev);

	vtmem_kill_queues(dev);
	vtmem_close_queues(dev);
	/* What was in the rings may have said that it is lost. */
	vtmem_session_hold(dev);
	vtmem_frontswap_detach(dev);
	vtmem_swapdev_detach(dev);
	synchronize_srcu(&vtmem_srcu);
	vtmem_drain_finish(dev);
	vtmem_cleancache_detach(dev);
	vtmem_admission_stop(&dev->admission);

	vtmem_debugfs_remove(dev);
	vtmem_delete_rings(dev);
	vtmem_pool_free_all(dev);
	vtmem_reserve_free(&dev->spares);
	vtmem_free(dev);
}

static struct virtio_device_id vtmem_id_table[] = {
	{ VIRTIO_TMEM_DEFAULT_DEVICE_ID, VIRTIO_DEV_ANY_ID },
	{ 0 },
};

static struct virtio_driver vtmem_driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
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
