/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: how kernels differ in frontswap.
 *
 * 5.10..5.16	any code registers, is told of swap that is on already, and can
 *		bring pages back
 * 5.17..6.4	one back end, built in; pages come back by swapoff alone
 * 6.5		the same, and a load may ask for its page to be forgotten
 * 6.6 on	none
 */
#ifndef _VTMEM_FRONTSWAP_COMPAT_H
#define _VTMEM_FRONTSWAP_COMPAT_H

#include <linux/frontswap.h>

#ifdef VTMEM_HAVE_FRONTSWAP_EXCLUSIVE
#define VTMEM_LOADS_EXCLUSIVELY
#endif

/* virtio_tmem_takeover.c: for a module from 5.17 on. */
int vtmem_frontswap_take(struct frontswap_ops *ops);

/*
 * Makes frontswap call us, for as long as the kernel runs. Returns 0, or
 * -ENODEV if frontswap is not ours to have.
 */
static inline int vtmem_frontswap_register_ops(struct frontswap_ops *ops)
{
#ifdef VTMEM_TAKEOVER
	return vtmem_frontswap_take(ops);
#elif defined(VTMEM_HAVE_FRONTSWAP_RESULT)
	return frontswap_register_ops(ops) ? -ENODEV : 0;
#else
	frontswap_register_ops(ops);
	return 0;
#endif
}

#endif /* _VTMEM_FRONTSWAP_COMPAT_H */
