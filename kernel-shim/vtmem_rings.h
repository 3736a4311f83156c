/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: a device's queues, all of them at once.
 */
#ifndef _VTMEM_RINGS_H
#define _VTMEM_RINGS_H

struct vtmem_device;

int vtmem_create_rings(struct vtmem_device *dev);
void vtmem_open_request_queues(struct vtmem_device *dev);
void vtmem_close_queues(struct vtmem_device *dev);
void vtmem_delete_rings(struct vtmem_device *dev);
void vtmem_kill_queues(struct vtmem_device *dev);

#endif /* _VTMEM_RINGS_H */
