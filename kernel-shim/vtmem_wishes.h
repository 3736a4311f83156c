/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: the host's wishes, the limit and the target.
 */
#ifndef _VTMEM_WISHES_H
#define _VTMEM_WISHES_H

#include "vtmem_device.h"

void vtmem_wishes_init(struct vtmem_device *dev);
void vtmem_wishes_start(struct vtmem_device *dev);
void vtmem_wishes_changed(struct vtmem_device *dev);
void vtmem_wishes_stop(struct vtmem_device *dev);

/**
 * vtmem_wishes_hold() - a page is held, which the host may want back
 * @dev: a device; vtmem_device.nr_held was raised for the page
 *
 * Context: any.
 */
static inline void vtmem_wishes_hold(struct vtmem_device *dev)
{
	/* Ordered by that; pairs with the barrier in vtmem_wishes_work(). */
	if (READ_ONCE(dev->wishes_asked))
		return;
	WRITE_ONCE(dev->wishes_asked, true);
	vtmem_wishes_changed(dev);
}

#endif /* _VTMEM_WISHES_H */
