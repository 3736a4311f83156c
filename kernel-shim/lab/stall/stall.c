// SPDX-License-Identifier: GPL-2.0
/*
 * A worker of the kernel that is about to notify a virtio-tmem device sleeps
 * first, as one may that is preempted there. When it goes on, its ring must
 * still be the ring: with freed memory poisoned (slub_debug=P) it can tell.
 *
 * parameters: ms, how long; stalls, how often so far; stalling, whether now;
 * freed, how often the ring was gone.
 */
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/virtio.h>

static unsigned int ms = 1000;
module_param(ms, uint, 0444);
static unsigned int stalls;
module_param(stalls, uint, 0444);
static bool stalling;
module_param(stalling, bool, 0444);
static unsigned int freed;
module_param(freed, uint, 0444);
static unsigned int device_id = 13;
module_param(device_id, uint, 0444);

/* The one that sleeps, or is behind its sleep; others pass. */
static struct task_struct *stalled;

static bool stall_notify(struct virtqueue *vq)
{
	struct virtio_device *vdev = vq->vdev;
	bool done = false;

	WRITE_ONCE(stalling, true);
	msleep(ms);
	stalls++;
	if (READ_ONCE(vq->vdev) != vdev) {
		freed++;
		pr_err("BUG: stall: a ring was freed while its driver was about to notify of it\n");
	} else {
		done = virtqueue_notify(vq);
	}
	WRITE_ONCE(stalling, false);
	WRITE_ONCE(stalled, NULL);
	return done;
}

static int stall_before(struct kprobe *probe, struct pt_regs *regs)
{
	struct virtqueue *vq = (void *)regs_get_kernel_argument(regs, 0);

	if (!(current->flags & PF_WQ_WORKER) ||
	    vq->vdev->id.device != device_id ||
	    cmpxchg(&stalled, NULL, current))
		return 0;
	instruction_pointer_set(regs, (unsigned long)stall_notify);
	return 1;
}

/* With one, the kernel lets a probe go elsewhere. */
static void stall_after(struct kprobe *probe, struct pt_regs *regs,
			unsigned long flags)
{
}

static struct kprobe stall_probe = {
	.symbol_name = "virtqueue_notify",
	.pre_handler = stall_before,
	.post_handler = stall_after,
};

static int __init stall_init(void)
{
	return register_kprobe(&stall_probe);
}
module_init(stall_init);

static void __exit stall_exit(void)
{
	unregister_kprobe(&stall_probe);
	while (READ_ONCE(stalled))
		msleep(20);
}
module_exit(stall_exit);

MODULE_DESCRIPTION("A delay before a virtio-tmem device is notified");
MODULE_LICENSE("GPL v2");
