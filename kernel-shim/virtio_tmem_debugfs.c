// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: counters and latencies in debugfs.
 *
 * /sys/kernel/debug/virtio_tmem/NAME is a number for each enum vtmem_counter
 * and for the device's reserve, limit and target; latency is a table, and
 * round_trip makes it count gets that miss. Counting is per CPU and cheap; a
 * reader adds up, so that numbers read one after the other need not fit together
 * exactly.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include "vtmem.h"
#include "vtmem_frontswap.h"

static const char * const vtmem_counter_names[] = {
	[VTMEM_COUNT_loads] = "loads",
	[VTMEM_COUNT_succ_stores] = "succ_stores",
	[VTMEM_COUNT_failed_stores] = "failed_stores",
	[VTMEM_COUNT_invalidates] = "invalidates",
	[VTMEM_COUNT_refused_host] = "refused_host",
	[VTMEM_COUNT_refused_target] = "refused_target",
	[VTMEM_COUNT_refused_huge_page] = "refused_huge_page",
	[VTMEM_COUNT_refused_no_pool] = "refused_no_pool",
	[VTMEM_COUNT_refused_no_chunk] = "refused_no_chunk",
	[VTMEM_COUNT_refused_stalled] = "refused_stalled",
	[VTMEM_COUNT_refused_timeout] = "refused_timeout",
	[VTMEM_COUNT_refused_error] = "refused_error",
	[VTMEM_COUNT_zero_loads] = "zero_loads",
	[VTMEM_COUNT_lost_loads] = "lost_loads",
	[VTMEM_COUNT_staged_stores] = "staged_stores",
	[VTMEM_COUNT_staged_loads] = "staged_loads",
	[VTMEM_COUNT_kept_stores] = "kept_stores",
	[VTMEM_COUNT_clean_puts] = "clean_puts",
	[VTMEM_COUNT_clean_rejected] = "clean_rejected",
	[VTMEM_COUNT_clean_dropped] = "clean_dropped",
	[VTMEM_COUNT_clean_hits] = "clean_hits",
	[VTMEM_COUNT_clean_misses] = "clean_misses",
	[VTMEM_COUNT_clean_filtered] = "clean_filtered",
	[VTMEM_COUNT_flush_requests] = "flush_requests",
	[VTMEM_COUNT_flush_failures] = "flush_failures",
	[VTMEM_COUNT_kicks] = "kicks",
	[VTMEM_COUNT_rekicks] = "rekicks",
	[VTMEM_COUNT_sleeps] = "sleeps",
	[VTMEM_COUNT_interrupts] = "interrupts",
	[VTMEM_COUNT_timeouts] = "timeouts",
	[VTMEM_COUNT_late_completions] = "late_completions",
	[VTMEM_COUNT_bad_responses] = "bad_responses",
};

static const char * const vtmem_latency_names[] = {
	[VTMEM_LATENCY_PUT] = "put",
	[VTMEM_LATENCY_STAGED_PUT] = "staged_put",
	[VTMEM_LATENCY_COPY] = "copy",
	[VTMEM_LATENCY_GET] = "get",
	[VTMEM_LATENCY_ROUND_TRIP] = "round_trip",
	[VTMEM_LATENCY_FLUSH] = "flush",
};

/**
 * vtmem_record_latency() - count an operation in its histogram
 * @dev:	a device
 * @kind:	the operation
 * @ns:		how long it took
 */
void vtmem_record_latency(struct vtmem_device *dev, enum vtmem_latency kind,
			  u64 ns)
{
	this_cpu_inc(dev->stats->latency[kind][vtmem_latency_bucket(ns)]);
}

/**
 * vtmem_counter() - read a counter
 * @dev:	a device
 * @counter:	which
 */
u64 vtmem_counter(struct vtmem_device *dev, enum vtmem_counter counter)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu_ptr(dev->stats, cpu)->counter[counter];
	return sum;
}

static u64 vtmem_latency(struct vtmem_device *dev, unsigned int kind,
			 unsigned int bucket)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu_ptr(dev->stats, cpu)->latency[kind][bucket];
	return sum;
}

/* The file's name says which counter it is. */
static int vtmem_counter_show(struct seq_file *s, void *unused)
{
	int i = match_string(vtmem_counter_names, VTMEM_NR_COUNTERS,
			     s->file->f_path.dentry->d_name.name);

	if (i < 0)
		return i;
	seq_printf(s, "%llu\n", vtmem_counter(s->private, i));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vtmem_counter);

/* Rows of zeros are left out. */
static int vtmem_latency_show(struct seq_file *s, void *unused)
{
	struct vtmem_device *dev = s->private;
	u64 counts[VTMEM_NR_LATENCIES];
	unsigned int bucket, kind;

	seq_printf(s, "%12s", "from_ns");
	for (kind = 0; kind < VTMEM_NR_LATENCIES; kind++)
		seq_printf(s, " %12s", vtmem_latency_names[kind]);
	seq_putc(s, '\n');
	for (bucket = 0; bucket < VTMEM_LATENCY_BUCKETS; bucket++) {
		for (kind = 0; kind < VTMEM_NR_LATENCIES; kind++)
			counts[kind] = vtmem_latency(dev, kind, bucket);
		if (!memchr_inv(counts, 0, sizeof(counts)))
			continue;
		seq_printf(s, "%12llu", vtmem_latency_from_ns(bucket));
		for (kind = 0; kind < VTMEM_NR_LATENCIES; kind++)
			seq_printf(s, " %12llu", counts[kind]);
		seq_putc(s, '\n');
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vtmem_latency);

static int vtmem_front_end_show(struct seq_file *s, void *unused)
{
	struct vtmem_device *dev = s->private;

	seq_puts(s, dev->swapdev ? "swap-device\n" :
		    vtmem_frontswap_uses(dev) ? "frontswap\n" : "none\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vtmem_front_end);

/* Bytes of the guest's memory: of the queues, and of what admission remembers. */
static int vtmem_memory_show(struct seq_file *s, void *unused)
{
	struct vtmem_device *dev = s->private;

	seq_printf(s, "queues %llu\nadmission %llu\n", vtmem_memory(dev),
		   (u64)dev->admission.nr_ghosts *
		   sizeof(*dev->admission.ghosts));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vtmem_memory);

/**
 * vtmem_debugfs_create() - make the files
 * @dev: a device whose statistics are allocated
 */
void vtmem_debugfs_create(struct vtmem_device *dev)
{
	unsigned int i;

	BUILD_BUG_ON(ARRAY_SIZE(vtmem_counter_names) != VTMEM_NR_COUNTERS);
	BUILD_BUG_ON(ARRAY_SIZE(vtmem_latency_names) != VTMEM_NR_LATENCIES);

	dev->debugfs = debugfs_create_dir("virtio_tmem", NULL);
	for (i = 0; i < VTMEM_NR_COUNTERS; i++)
		debugfs_create_file(vtmem_counter_names[i], 0444, dev->debugfs,
				    dev, &vtmem_counter_fops);
	debugfs_create_file("latency", 0444, dev->debugfs, dev,
			    &vtmem_latency_fops);
	debugfs_create_file("round_trip", 0200, dev->debugfs, dev,
			    &vtmem_round_trip_fops);
	debugfs_create_file("front_end", 0444, dev->debugfs, dev,
			    &vtmem_front_end_fops);
	debugfs_create_file("memory", 0444, dev->debugfs, dev,
			    &vtmem_memory_fops);
	debugfs_create_u64("reserve", 0444, dev->debugfs, &dev->reserve);
	debugfs_create_u64("limit", 0444, dev->debugfs, &dev->limit);
	debugfs_create_u64("target", 0444, dev->debugfs, &dev->target);
	debugfs_create_u64("clean_capacity", 0444, dev->debugfs,
			   &dev->admission.capacity);
}

/**
 * vtmem_debugfs_remove() - remove the files; waits for their readers
 * @dev: a device
 */
void vtmem_debugfs_remove(struct vtmem_device *dev)
{
	debugfs_remove_recursive(dev->debugfs);
}
