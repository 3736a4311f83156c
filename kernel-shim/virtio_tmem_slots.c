// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: swap slots on their way to being free.
 *
 * Each processor collects the slots it frees and gives them back together, when
 * there are SLOTS_OF_CPU of them. Until then frontswap is not told, and the host
 * keeps pages that nobody needs. In a guest that has stopped swapping that is for
 * ever, and a drain would not come to its end.
 *
 * Nothing a module may call makes a processor give them back, but more of them
 * do: so, on each, pages of a file in memory are written to swap, and the file is
 * cut off. Stores are refused meanwhile, so they go to the swap disk.
 */
#include <linux/cpu.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/shmem_fs.h>
#include <linux/swap_slots.h>
#include <linux/writeback.h>

#include "vtmem_shrink.h"

/* One more than are collected: the last finds no room. */
#define PAGES			(SWAP_SLOTS_CACHE_SIZE + 1)

/* Writes a page of the file to swap, and waits until it is there. */
static int vtmem_slots_use(struct address_space *mapping, pgoff_t index)
{
	struct writeback_control wbc = {
		.sync_mode = WB_SYNC_NONE,
		.nr_to_write = 1,
		.range_end = LLONG_MAX,
		.for_reclaim = 1,
	};
	struct page *page = shmem_read_mapping_page_gfp(mapping, index,
							GFP_KERNEL |
							__GFP_NORETRY |
							__GFP_NOWARN);
	int err = -EAGAIN;

	if (IS_ERR(page))
		return PTR_ERR(page);
	lock_page(page);
	set_page_dirty(page);
	if (page->mapping == mapping && !PageCompound(page) &&
	    clear_page_dirty_for_io(page)) {
		SetPageReclaim(page);
		err = mapping->a_ops->writepage(page, &wbc);
		if (!PageWriteback(page))
			ClearPageReclaim(page);
	}
	if (err)
		unlock_page(page);
	else
		wait_on_page_writeback(page);
	put_page(page);
	return err;
}

/**
 * vtmem_slots_turn_over() - make every processor give back the slots it has freed
 *
 * Context: a kernel thread that may run anywhere; sleeps, writes to swap.
 */
void vtmem_slots_turn_over(void)
{
	loff_t bytes = PAGES * PAGE_SIZE;
	struct address_space *mapping;
	struct file *file;
	pgoff_t index;
	unsigned int cpu;

	file = shmem_file_setup("virtio_tmem", bytes, VM_NORESERVE);
	if (IS_ERR(file))
		return;
	mapping = file->f_mapping;
	for (cpu = 0; mapping->a_ops->writepage && cpu < nr_cpu_ids; cpu++) {
		if (!cpu_online(cpu) ||
		    set_cpus_allowed_ptr(current, cpumask_of(cpu)))
			continue;
		for (index = 0; index < PAGES; index++)
			if (vtmem_slots_use(mapping, index))
				break;
		shmem_truncate_range(file_inode(file), 0, bytes - 1);
	}
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	fput(file);
}
