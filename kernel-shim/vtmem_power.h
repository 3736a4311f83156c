/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: when the machine sleeps or stops.
 */
#ifndef _VTMEM_POWER_H
#define _VTMEM_POWER_H

struct notifier_block;
struct virtio_device;

int vtmem_pm_notify(struct notifier_block *nb, unsigned long event,
		    void *unused);
void vtmem_shutdown(struct virtio_device *vdev);
int vtmem_freeze(struct virtio_device *vdev);
int vtmem_restore(struct virtio_device *vdev);

#endif /* _VTMEM_POWER_H */
