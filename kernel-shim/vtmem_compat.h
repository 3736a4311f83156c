/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: where kernels differ. Everything that asks for the
 * kernel's version is here, in vtmem_disk_compat.h and in Kbuild.
 */
#ifndef _VTMEM_COMPAT_H
#define _VTMEM_COMPAT_H

#include <linux/version.h>
#include <linux/virtio_config.h>

#include "vtmem_device.h"

/* Finds @nr rings; names and callbacks became one structure in 6.11. */
static inline int vtmem_find_vqs(struct virtio_device *vdev, unsigned int nr,
				 struct virtqueue *vqs[],
				 vq_callback_t *callback,
				 const char * const names[])
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
	struct virtqueue_info infos[VTMEM_MAX_QUEUES] = {};
	unsigned int i;

	for (i = 0; i < nr; i++) {
		infos[i].name = names[i];
		infos[i].callback = callback;
	}
	return virtio_find_vqs(vdev, nr, vqs, infos, NULL);
#else
	vq_callback_t *callbacks[VTMEM_MAX_QUEUES];
	unsigned int i;

	for (i = 0; i < nr; i++)
		callbacks[i] = callback;
	return virtio_find_vqs(vdev, nr, vqs, callbacks,
			       (const char **)names, NULL);
#endif
}

#endif /* _VTMEM_COMPAT_H */
