/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: when the machine sleeps or stops.
 */
#ifndef _VTMEM_POWER_H
#define _VTMEM_POWER_H

struct virtio_device;
struct vtmem_device;

void vtmem_power_init(struct vtmem_device *dev);
int vtmem_power_start(struct vtmem_device *dev);
void vtmem_power_stop(struct vtmem_device *dev);
int vtmem_freeze(struct virtio_device *vdev);
int vtmem_restore(struct virtio_device *vdev);

#endif /* _VTMEM_POWER_H */
