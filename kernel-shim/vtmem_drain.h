/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: a device that goes gives its pages back first.
 */
#ifndef _VTMEM_DRAIN_H
#define _VTMEM_DRAIN_H

struct vtmem_device;

bool vtmem_drain(struct vtmem_device *dev);
void vtmem_drain_finish(struct vtmem_device *dev);

#endif /* _VTMEM_DRAIN_H */
