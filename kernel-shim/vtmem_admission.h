/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: which clean pages are worth a put.
 */
#ifndef _VTMEM_ADMISSION_H
#define _VTMEM_ADMISSION_H

#include <linux/atomic.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "vtmem_pool.h"

struct vtmem_device;

#define VTMEM_CAPACITY_UNKNOWN	U64_MAX

/**
 * struct vtmem_admission - what a device's admission policy knows
 * @dev:	the device
 * @ghosts:	fingerprints of the keys offered or got lately, by hash
 * @nr_ghosts:	a power of two, or 0: everything is admitted, as before cleancache
 *		uses the device
 * @offered:	pages offered since @check_work was queued
 * @on_loan:	pages got that are expected back
 * @room:	first-timers that may be admitted until the next check
 * @lost:	pages the host dropped, as far as was seen; the three below are
 *		@check_work's own
 * @capacity:	pages it held when it was full, or VTMEM_CAPACITY_UNKNOWN
 * @grown:	jiffies when @capacity was last set or raised
 * @check_work:	asks the host what it holds
 */
struct vtmem_admission {
	struct vtmem_device *dev;
	u16 *ghosts;
	u32 nr_ghosts;
	atomic_t offered;
	atomic_long_t on_loan;
	atomic_long_t room;
	s64 lost;
	u64 capacity;
	unsigned long grown;
	struct work_struct check_work;
};

void vtmem_admission_init(struct vtmem_admission *admission,
			  struct vtmem_device *dev);
void vtmem_admission_start(struct vtmem_admission *admission);
void vtmem_admission_stop(struct vtmem_admission *admission);
bool vtmem_admit(struct vtmem_admission *admission,
		 const struct vtmem_pool *pool, const struct vtmem_key *key);
void vtmem_admission_lent(struct vtmem_admission *admission,
			  const struct vtmem_pool *pool,
			  const struct vtmem_key *key);

#endif /* _VTMEM_ADMISSION_H */
