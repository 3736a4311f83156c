/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: where kernels differ. What this kernel has is found
 * in its headers by features.sh (VTMEM_HAVE_...): a version number says nothing
 * of what a distribution took from later kernels. It is asked for here, in
 * vtmem_disk_compat.h, in vtmem_frontswap_compat.h and in Kbuild alone.
 */
#ifndef _VTMEM_COMPAT_H
#define _VTMEM_COMPAT_H

#include <linux/virtio_config.h>

#include "vtmem_device.h"

/* Finds @nr rings; names and callbacks became one structure in 6.11. */
static inline int vtmem_find_vqs(struct virtio_device *vdev, unsigned int nr,
				 struct virtqueue *vqs[],
				 vq_callback_t *callback,
				 const char * const names[])
{
#ifdef VTMEM_HAVE_VIRTQUEUE_INFO
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
