// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: the memory of staged puts and windows.
 *
 * Such a slot has a block of VTMEM_BLOCK_PAGES pages. They are most of what the
 * driver takes of a guest's memory, and what does not use them must not pay for
 * them: a disk has neither staged puts nor windows, frontswap has no windows. So
 * a front end asks for the blocks it uses when it attaches. They go with the
 * device's queues, as no front end lets go of a device that stays.
 *
 * A slot that has no block is on no list: nobody is given it.
 */
#include <linux/mm.h>

#include "vtmem.h"

/* The blocks of all queues take no more of the guest's memory than this. */
#define RAM_PER_BLOCKS		32

/* Of them, the part that is for windows, and not for staged puts. */
#define WINDOWS_PART		3

/* May this queue have another block of the kind? */
static bool vtmem_block_is_due(const struct vtmem_queue *q,
			       enum vtmem_slot_kind kind)
{
	unsigned long most = totalram_pages() / RAM_PER_BLOCKS /
			     VTMEM_BLOCK_PAGES / (q->dev->nr_queues - 1);
	unsigned long windows = DIV_ROUND_UP(most, WINDOWS_PART);
	unsigned int i;

	most = kind == VTMEM_SLOT_WINDOW ? windows : most - windows;
	for (i = 0; i < q->nr_requests; i++)
		if (most && q->requests[i].kind == kind &&
		    q->requests[i].own_page)
			most--;
	return most;
}

/* The next slot of @kind that only lacks a block, from *@i on, or NULL. */
static struct vtmem_request *vtmem_slot_without_block(struct vtmem_queue *q,
						      enum vtmem_slot_kind kind,
						      unsigned int *i)
{
	for (; *i < q->nr_requests; ++*i) {
		struct vtmem_request *req = &q->requests[*i];

		if (req->kind == kind && req->home && !req->own_page)
			return req;
	}
	return NULL;
}

/**
 * vtmem_blocks_alloc() - give a device's slots of a kind their blocks
 * @dev:	a device with rings
 * @kind:	VTMEM_SLOT_STAGED or VTMEM_SLOT_WINDOW
 *
 * As many as there is memory for; a slot that gets none is not used.
 *
 * Context: may sleep. The queues may be in use.
 */
void vtmem_blocks_alloc(struct vtmem_device *dev, enum vtmem_slot_kind kind)
{
	struct vtmem_request *req;
	struct vtmem_queue *q;
	unsigned int n, i;

	for (n = 1; n < dev->nr_queues; n++) {
		q = &dev->queues[n];
		for (i = 0; vtmem_block_is_due(q, kind) &&
		     (req = vtmem_slot_without_block(q, kind, &i)); i++) {
			struct page *block =
				alloc_pages(GFP_KERNEL | __GFP_NOWARN,
					    VTMEM_BLOCK_ORDER);

			if (!block)
				break;
			spin_lock_irq(&q->lock);
			req->own_page = block;
			list_add_tail(&req->link, req->home);
			q->nr_blocks++;
			spin_unlock_irq(&q->lock);
		}
	}
}

/**
 * vtmem_memory() - what a device's queues take of the guest's memory
 * @dev: a device
 *
 * Return: bytes: slots, their pages and blocks.
 */
u64 vtmem_memory(const struct vtmem_device *dev)
{
	u64 bytes = 0;
	unsigned int n, i;

	for (n = 0; n < dev->nr_queues; n++) {
		const struct vtmem_queue *q = &dev->queues[n];

		bytes += q->nr_requests * (sizeof(*q->requests) +
					   sizeof(*q->wires));
		bytes += q->nr_blocks * VTMEM_BLOCK_PAGES * PAGE_SIZE;
		for (i = 0; i < q->nr_requests; i++)
			if (q->requests[i].kind == VTMEM_SLOT_WAIT &&
			    q->requests[i].own_page)
				bytes += PAGE_SIZE;
	}
	return bytes;
}
