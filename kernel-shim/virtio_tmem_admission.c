// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: which clean pages are worth a put.
 *
 * The host drops a guest's ephemeral pages oldest first, so one pass over a file
 * larger than its store would push out everything that is read again and again.
 * So once the store is full, a page is admitted only if it was seen before:
 *   ghosts	a fingerprint of every key lately offered or got. A page evicted
 *		from the page cache for the second time, or got from the host
 *		before, has one; what a single pass reads has none
 *   room	while the host has room, first-timers are admitted too
 *
 * How full the host is it does not say; but a STAT tells how many pages it
 * holds, and the guest knows how many it put and neither got nor flushed. When
 * that difference grows the host is dropping pages, and what it holds then is
 * the capacity. It may be more later, so it is raised a little every second.
 * Pages that were got are expected back: room is kept for them.
 *
 * Estimates all: a wrong one costs hits, never a wrong page.
 */
#include <linux/jhash.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "vtmem.h"

/* Fingerprints for each page of the guest's memory, and their bounds: 8 MiB. */
#define GHOSTS_PER_RAM_PAGE	4
#define MAX_GHOSTS		(4UL << 20)

/* Pages offered between two looks at the host. */
#define CHECK_INTERVAL		256

/* Missing pages that may be an error of measurement; a host drops more at once. */
#define LOST_SLACK		64

/* The capacity is raised by this part of itself each second. */
#define GROWTH_SHIFT		6

/* Pages on loan are forgotten at this rate a second: files are deleted. */
#define LOAN_DECAY_SHIFT	4

/* Is the key's fingerprint there? It is afterwards. */
static bool vtmem_ghost_seen(struct vtmem_admission *admission,
			     const struct vtmem_pool *pool,
			     const struct vtmem_key *key)
{
	u32 object = jhash2((const u32 *)key->oid,
			    3 * sizeof(u64) / sizeof(u32), pool->id);
	u32 slot = jhash_2words(object, key->index, 0) &
		   (admission->nr_ghosts - 1);
	u16 ghost = jhash_2words(object, key->index, 1) | 1;

	if (READ_ONCE(admission->ghosts[slot]) == ghost)
		return true;
	WRITE_ONCE(admission->ghosts[slot], ghost);
	return false;
}

/**
 * vtmem_admit() - is a page worth a put?
 * @admission:	its device's
 * @pool:	its pool
 * @key:	its key
 *
 * Context: any but NMI.
 */
bool vtmem_admit(struct vtmem_admission *admission,
		 const struct vtmem_pool *pool, const struct vtmem_key *key)
{
	if (!admission->nr_ghosts)
		return true;
	if (atomic_inc_return(&admission->offered) == CHECK_INTERVAL)
		queue_work(vtmem_workqueue, &admission->check_work);
	if (vtmem_ghost_seen(admission, pool, key)) {
		atomic_long_dec_if_positive(&admission->on_loan);
		return true;
	}
	return atomic_long_dec_if_positive(&admission->room) >= 0;
}

/**
 * vtmem_admission_lent() - a page was got and is expected back
 * @admission:	its device's
 * @pool:	its pool
 * @key:	its key
 */
void vtmem_admission_lent(struct vtmem_admission *admission,
			  const struct vtmem_pool *pool,
			  const struct vtmem_key *key)
{
	if (!admission->nr_ghosts)
		return;
	vtmem_ghost_seen(admission, pool, key);
	atomic_long_inc(&admission->on_loan);
}

/*
 * Counts the pages the host should hold and does not: dropped, and not found
 * missing yet. What changes meanwhile is taken in the host's favour.
 */
static int vtmem_admission_measure(struct vtmem_admission *admission,
				   u64 *held, s64 *lost)
{
	struct vtmem_device *dev = admission->dev;
	u64 misses = vtmem_counter(dev, VTMEM_COUNT_clean_misses);
	u64 hits = vtmem_counter(dev, VTMEM_COUNT_clean_hits);
	u64 believed = vtmem_pool_present(dev, false);
	unsigned int staged = 0, i;
	int err;

	for (i = 1; i < dev->nr_queues; i++)
		staged += READ_ONCE(dev->queues[i].nr_staged_pages);
	err = vtmem_session_pages(dev, false, held);
	believed = min(believed, vtmem_pool_present(dev, false));
	hits = vtmem_counter(dev, VTMEM_COUNT_clean_hits) - hits;
	*lost = (s64)(believed + misses) - (s64)(*held + staged + hits);
	/* Flushes on the way: the host holds more than we believe. */
	*lost = max_t(s64, *lost, 0);
	return err;
}

static void vtmem_admission_check(struct work_struct *work)
{
	struct vtmem_admission *admission =
		container_of(work, struct vtmem_admission, check_work);
	s64 lost, room, loan;
	u64 held;

	atomic_set(&admission->offered, 0);
	if (vtmem_admission_measure(admission, &held, &lost))
		return;

	if (lost > admission->lost + LOST_SLACK) {
		admission->capacity = held;
		admission->grown = jiffies;
	} else if (admission->capacity != VTMEM_CAPACITY_UNKNOWN &&
		   time_after(jiffies, admission->grown + HZ)) {
		admission->capacity += (admission->capacity >> GROWTH_SHIFT) + 1;
		admission->grown = jiffies;
		loan = atomic_long_read(&admission->on_loan);
		atomic_long_sub(loan >> LOAN_DECAY_SHIFT, &admission->on_loan);
	}
	if (lost > admission->lost)
		admission->lost = lost;
	else
		/* Files were deleted, or the measurement was off: forget slowly. */
		admission->lost -= (admission->lost - lost) >> 3;

	room = LONG_MAX;
	if (admission->capacity != VTMEM_CAPACITY_UNKNOWN)
		room = (s64)admission->capacity - (s64)held -
		       atomic_long_read(&admission->on_loan);
	atomic_long_set(&admission->room, max_t(s64, room, 0));
}

/**
 * vtmem_admission_init() - have a policy that admits everything
 * @admission:	a zeroed policy
 * @dev:	its device
 */
void vtmem_admission_init(struct vtmem_admission *admission,
			  struct vtmem_device *dev)
{
	admission->dev = dev;
	admission->capacity = VTMEM_CAPACITY_UNKNOWN;
	atomic_long_set(&admission->room, LONG_MAX);
	INIT_WORK(&admission->check_work, vtmem_admission_check);
}

/**
 * vtmem_admission_start() - start with an empty host of unknown size
 * @admission: a policy nobody asks yet
 *
 * Without memory for the fingerprints everything is admitted.
 */
void vtmem_admission_start(struct vtmem_admission *admission)
{
	unsigned long nr = min(roundup_pow_of_two(totalram_pages() *
						  GHOSTS_PER_RAM_PAGE),
			       MAX_GHOSTS);

	admission->ghosts = kvcalloc(nr, sizeof(*admission->ghosts),
				     GFP_KERNEL);
	if (admission->ghosts)
		admission->nr_ghosts = nr;
}

/**
 * vtmem_admission_stop() - undo vtmem_admission_start(), if it was
 * @admission: a policy nobody asks any more
 */
void vtmem_admission_stop(struct vtmem_admission *admission)
{
	cancel_work_sync(&admission->check_work);
	admission->nr_ghosts = 0;
	kvfree(admission->ghosts);
	admission->ghosts = NULL;
}
