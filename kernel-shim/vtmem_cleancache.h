/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: the cleancache front end, as the device uses it.
 */
#ifndef _VTMEM_CLEANCACHE_H
#define _VTMEM_CLEANCACHE_H

struct vtmem_device;

#ifdef CONFIG_CLEANCACHE
void vtmem_cleancache_attach(struct vtmem_device *dev);
void vtmem_cleancache_detach(struct vtmem_device *dev);
#else
static inline void vtmem_cleancache_attach(struct vtmem_device *dev)
{
}

static inline void vtmem_cleancache_detach(struct vtmem_device *dev)
{
}
#endif

#endif /* _VTMEM_CLEANCACHE_H */
