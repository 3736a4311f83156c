/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: what its files share.
 *
 * Model
 * -----
 * device	one virtio device, a control queue and 1..n request queues
 * pool		a namespace of pages on the host, persistent or ephemeral
 * object	192 bits inside a pool; every request of an object goes through
 *		the one request queue its hash selects, and a queue executes and
 *		completes in order. That is the only ordering there is.
 * page		an object and a 32-bit index
 * chunk	VTMEM_CHUNK_PAGES consecutive pages of an object, as the guest
 *		remembers them: which of them may be on the host, which of them
 *		wait to be flushed
 * request	a preallocated slot: wire header, wire response, a page of its
 *		own, bookkeeping
 *
 * A front end (frontswap) translates the kernel's calls into puts,
 * gets and flushes; it knows nothing of rings. The queue layer knows nothing of
 * swap.
 *
 * Locks
 * -----
 * vtmem_device.control_mutex	serialises control requests' callers
 *   vtmem_queue.lock		the ring, the slots, the chunks of that queue;
 *				taken with interrupts off, also by the
 *				interrupt handler; nothing sleeps under it
 *     vtmem_reserve.lock	the lists of spare objects and chunks
 *
 * Front ends hold vtmem_srcu for reading while they use a device or a pool, so
 * that removing either waits for them.
 */
#ifndef _VTMEM_H
#define _VTMEM_H

#include <linux/srcu.h>

#include "vtmem_clock.h"
#include "vtmem_device.h"
#include "vtmem_object.h"
#include "vtmem_pool.h"
#include "vtmem_queue.h"
#include "vtmem_request.h"
#include "vtmem_stats.h"

struct workqueue_struct;

extern struct srcu_struct vtmem_srcu;
extern struct workqueue_struct *vtmem_workqueue;
extern unsigned int vtmem_poll_us;
extern unsigned int vtmem_load_timeout_s;

#endif /* _VTMEM_H */
