/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: the frontswap front end, as the device uses it.
 */
#ifndef _VTMEM_FRONTSWAP_H
#define _VTMEM_FRONTSWAP_H

#include <linux/types.h>

struct vtmem_device;

#ifdef VTMEM_FRONTSWAP
int vtmem_frontswap_attach(struct vtmem_device *dev);
bool vtmem_frontswap_uses(struct vtmem_device *dev);
void vtmem_frontswap_detach(struct vtmem_device *dev);
#else
static inline int vtmem_frontswap_attach(struct vtmem_device *dev)
{
	return -ENODEV;
}

static inline bool vtmem_frontswap_uses(struct vtmem_device *dev)
{
	return false;
}

static inline void vtmem_frontswap_detach(struct vtmem_device *dev) {}
#endif

#endif /* _VTMEM_FRONTSWAP_H */
