/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: a device.
 */
#ifndef _VTMEM_DEVICE_H
#define _VTMEM_DEVICE_H

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/virtio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "vtmem_admission.h"
#include "vtmem_object.h"
#include "vtmem_stats.h"

struct dentry;
struct vtmem_pool;
struct vtmem_queue;
struct vtmem_swapdev;

/* Queues that are used at most, the control queue included. */
#define VTMEM_MAX_QUEUES	17

/**
 * struct vtmem_device - one virtio-tmem device
 * @vdev:	the virtio device
 * @session:	the session id RESET returned, for ATTACH
 * @session_lost: the host has said that there is none
 * @session_held: nor is another one to be opened
 * @session_renewed: when one was opened in its place, in jiffies
 * @session_wait: those who need one
 * @session_work: opens it
 * @capabilities: VIRTIO_TMEM_CAP_*
 * @reserve:	pages the host guarantees to take
 * @nr_held:	vtmem_pool.nr_held of all persistent pools
 * @limit:	most persistent pages, 0: none set
 * @max_pages_per_request: of a PUT or GET
 * @target:	pages the host asks us to come down to
 * @asks_wishes: the device answers what limit and target are
 * @wishes_asked: they are asked for, again and again
 * @wishes_work: learns of both
 * @queues:	control queue, then the request queues
 * @nr_queues:	of both kinds
 * @control_mutex: serialises control requests
 * @pools:	every pool, guarded by @control_mutex
 * @refuse_puts: front ends put nothing: what the host holds will not fit the
 *		memory image that is about to be made
 * @removing:	nor from now on: pages come home, and the device goes
 * @last_puts:	notices when every put that did not see that is over
 * @puts_over:	it has
 * @sleeping:	suspend or hibernation was let in, and is not over
 * @stopping:	the machine stops: nothing is asked of the host any more, and who
 *		needs a page waits for the end
 * @pm_notifier: learns of sleep before it starts
 * @reboot_notifier: learns of the end before it comes
 * @swapdev:	its disk, or NULL
 * @disk_pool:	the disk's pool, or NULL
 * @spares:	objects and chunks for puts
 * @admission:	which clean pages are put
 * @stats:	per-CPU counters
 * @debugfs:	their directory
 */
struct vtmem_device {
	struct virtio_device *vdev;
	u64 session;
	bool session_lost;
	bool session_held;
	unsigned long session_renewed;
	wait_queue_head_t session_wait;
	struct delayed_work session_work;
	u32 capabilities;
	u64 reserve;
	atomic_long_t nr_held;
	u64 limit;
	u64 target;
	u16 max_pages_per_request;
	bool asks_wishes;
	bool wishes_asked;
	struct delayed_work wishes_work;

	struct vtmem_queue *queues;
	unsigned int nr_queues;
	struct mutex control_mutex; /* may be held while waiting for the host */
	struct list_head pools;
	bool refuse_puts;
	bool removing;
	struct rcu_head last_puts;
	struct completion puts_over;
	bool sleeping;
	bool stopping;
	struct notifier_block pm_notifier;
	struct notifier_block reboot_notifier;

	struct vtmem_swapdev *swapdev;
	struct vtmem_pool *disk_pool;

	struct vtmem_reserve spares;
	struct vtmem_admission admission;

	struct vtmem_stats __percpu *stats;
	struct dentry *debugfs;
};

static inline bool vtmem_refuses_puts(const struct vtmem_device *dev)
{
	return READ_ONCE(dev->refuse_puts) || READ_ONCE(dev->removing);
}

#endif /* _VTMEM_DEVICE_H */
