/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: frontswap's pages on their way home, on kernels
 * whose frontswap can do that.
 */
#ifndef _VTMEM_SHRINK_H
#define _VTMEM_SHRINK_H

struct vtmem_device;

#ifdef VTMEM_SHRINK
int vtmem_shrink_start(struct vtmem_device *dev);
void vtmem_shrink_wake(void);
void vtmem_shrink_all(struct vtmem_device *dev);
void vtmem_shrink_stop(struct vtmem_device *dev);
void vtmem_slots_turn_over(void);
#else
static inline int vtmem_shrink_start(struct vtmem_device *dev)
{
	return 0;
}

static inline void vtmem_shrink_wake(void) {}
static inline void vtmem_shrink_all(struct vtmem_device *dev) {}
static inline void vtmem_shrink_stop(struct vtmem_device *dev) {}
#endif

#endif /* _VTMEM_SHRINK_H */
