/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: counters and latency histograms, shown in debugfs.
 */
#ifndef _VTMEM_STATS_H
#define _VTMEM_STATS_H

#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/percpu.h>
#include <linux/types.h>

struct vtmem_device;

/*
 * Latency histograms: 8 buckets for each power of two nanoseconds, so that a
 * bucket is no wider than an eighth of what it counts. The first 8 are a
 * nanosecond wide, the last has all from 2^36 ns (a minute) on.
 */
#define VTMEM_LATENCY_SPLIT_SHIFT	3
#define VTMEM_LATENCY_LAST_LOG2		36
#define VTMEM_LATENCY_BUCKETS \
	(((VTMEM_LATENCY_LAST_LOG2 - VTMEM_LATENCY_SPLIT_SHIFT + 1) << \
	  VTMEM_LATENCY_SPLIT_SHIFT) + 1)

enum vtmem_latency {
	VTMEM_LATENCY_PUT,
	VTMEM_LATENCY_STAGED_PUT,
	VTMEM_LATENCY_COPY,		/* of a page into a staged put */
	VTMEM_LATENCY_GET,		/* that found its page */
	VTMEM_LATENCY_ROUND_TRIP,	/* a get that misses */
	VTMEM_LATENCY_FLUSH,
	VTMEM_NR_LATENCIES,
};

/*
 * Counters, each a file of that name in debugfs. The first four are what
 * kernel developers know from frontswap; here they count what this driver
 * answered.
 */
enum vtmem_counter {
	VTMEM_COUNT_loads,
	VTMEM_COUNT_succ_stores,
	VTMEM_COUNT_failed_stores,
	VTMEM_COUNT_invalidates,
	VTMEM_COUNT_refused_host,	/* capacity, limit, frozen */
	VTMEM_COUNT_refused_target,	/* the host wishes us to hold less */
	VTMEM_COUNT_refused_huge_page,
	VTMEM_COUNT_refused_no_pool,
	VTMEM_COUNT_refused_no_chunk,	/* the reserve of chunks was empty */
	VTMEM_COUNT_refused_stalled,	/* the service does not answer */
	VTMEM_COUNT_refused_timeout,
	VTMEM_COUNT_refused_error,	/* another answer, a broken ring */
	VTMEM_COUNT_zero_loads,		/* of a disk's page never written */
	VTMEM_COUNT_lost_loads,		/* failed after a successful store */
	VTMEM_COUNT_staged_stores,	/* of succ_stores: put from a copy */
	VTMEM_COUNT_staged_loads,	/* gets answered from such a copy */
	VTMEM_COUNT_kept_stores,	/* copies the host did not take */
	VTMEM_COUNT_clean_puts,
	VTMEM_COUNT_clean_rejected,	/* seen for the first time, no room */
	VTMEM_COUNT_clean_dropped,	/* no free slot, no memory, stalled */
	VTMEM_COUNT_clean_hits,
	VTMEM_COUNT_clean_misses,	/* the host was asked */
	VTMEM_COUNT_clean_filtered,	/* known to miss without asking */
	VTMEM_COUNT_flush_requests,
	VTMEM_COUNT_flush_failures,
	VTMEM_COUNT_kicks,
	VTMEM_COUNT_rekicks,
	VTMEM_COUNT_sleeps,
	VTMEM_COUNT_interrupts,
	VTMEM_COUNT_timeouts,
	VTMEM_COUNT_late_completions,
	VTMEM_COUNT_bad_responses,
	VTMEM_NR_COUNTERS,
};

/* One per CPU; sums are taken by the reader. */
struct vtmem_stats {
	u64 counter[VTMEM_NR_COUNTERS];
	u64 latency[VTMEM_NR_LATENCIES][VTMEM_LATENCY_BUCKETS];
};

/* The bucket that counts @ns. */
static inline unsigned int vtmem_latency_bucket(u64 ns)
{
	unsigned int shift;

	if (ns >> VTMEM_LATENCY_LAST_LOG2)
		return VTMEM_LATENCY_BUCKETS - 1;
	if (!(ns >> VTMEM_LATENCY_SPLIT_SHIFT))
		return ns;
	shift = ilog2(ns) - VTMEM_LATENCY_SPLIT_SHIFT;
	return (shift << VTMEM_LATENCY_SPLIT_SHIFT) + (ns >> shift);
}

/* The least that @bucket counts. */
static inline u64 vtmem_latency_from_ns(unsigned int bucket)
{
	unsigned int shift = bucket >> VTMEM_LATENCY_SPLIT_SHIFT;
	u64 part = bucket & (BIT(VTMEM_LATENCY_SPLIT_SHIFT) - 1);

	if (!shift)
		return part;
	return (part + BIT(VTMEM_LATENCY_SPLIT_SHIFT)) << (shift - 1);
}

#define vtmem_count(dev, name) \
	this_cpu_inc((dev)->stats->counter[VTMEM_COUNT_##name])

extern const struct file_operations vtmem_round_trip_fops;

void vtmem_debugfs_create(struct vtmem_device *dev);
void vtmem_debugfs_remove(struct vtmem_device *dev);
u64 vtmem_counter(struct vtmem_device *dev, enum vtmem_counter counter);
void vtmem_record_latency(struct vtmem_device *dev, enum vtmem_latency kind,
			  u64 ns);

#endif /* _VTMEM_STATS_H */
