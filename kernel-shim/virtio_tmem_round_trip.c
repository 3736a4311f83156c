// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: how long the way to the device and back is.
 *
 * Writing a number N to round_trip in debugfs makes N gets of a page that is not
 * there, on whichever queue, and latency counts them under that name: what a
 * request costs without the store's work and without a copy. Other latencies are
 * judged by it, under the same load. They come in bursts, as stores do: the
 * device has to wake up for the first only. The write returns when all are done,
 * when the device goes, or when it is interrupted.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

#include "vtmem.h"

#define BURST		16
#define PAUSE_MS	100	/* between bursts */

/* A get of a page of @pool, which has none. Returns 0 if it missed. */
static int vtmem_round_trip(struct vtmem_pool *pool, const struct vtmem_key *key)
{
	struct vtmem_queue *q = vtmem_pool_queue(pool, key->oid);
	u64 start = vtmem_clock_now();
	struct vtmem_request *req = NULL;
	unsigned long flags;
	int err = -EBUSY;

	spin_lock_irqsave(&q->lock, flags);
	vtmem_queue_harvest(q);
	if (q->state == VTMEM_QUEUE_OPEN && !q->stalled)
		req = vtmem_queue_slot(q, &q->free);
	if (req)
		err = vtmem_submit_page(q, req, VIRTIO_TMEM_OP_GET, 0, pool,
					key, req->own_page);
	if (err) {
		spin_unlock_irqrestore(&q->lock, flags);
		return err;
	}
	vtmem_queue_unlock_kick(q, flags);
	err = vtmem_wait(q, req, NULL, NULL);
	if (err != -ENOENT)
		return err ?: -EPROTO;
	vtmem_record_latency(q->dev, VTMEM_LATENCY_ROUND_TRIP,
			     vtmem_clock_ns_since(start));
	return 0;
}

static ssize_t vtmem_round_trip_write(struct file *file,
				      const char __user *buffer, size_t size,
				      loff_t *position)
{
	struct vtmem_device *dev = file_inode(file)->i_private;
	struct vtmem_key key = {};
	struct vtmem_pool *pool;
	unsigned int times, i;
	int err;

	err = kstrtouint_from_user(buffer, size, 0, &times);
	if (err)
		return err;
	pool = vtmem_pool_create(dev, false);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	for (i = 0; i < times && !err; i++) {
		if (vtmem_refuses_puts(dev) ||
		    (i % BURST == 0 && msleep_interruptible(PAUSE_MS)))
			break;
		key.oid[0] = i;
		err = vtmem_round_trip(pool, &key);
		if (err == -EBUSY)
			err = 0;
	}
	vtmem_pool_destroy(pool);
	return err ?: size;
}

const struct file_operations vtmem_round_trip_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = vtmem_round_trip_write,
};
