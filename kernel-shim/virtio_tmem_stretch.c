// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: a stretch of a bio, neighbouring pages that one
 * request is for.
 *
 * A request of several pages is made of several slots, whose pages or lent
 * pages it names; the first slot's header and response speak for all. As a slot
 * stands for three descriptors, there is room in the ring for whatever one has
 * slots for: N slots need N + 2.
 *
 * A write lends its pages to the device where they are whole pages, each run
 * that is contiguous as one part; others are copied to the slots' own pages. A
 * read is answered into the slots' own pages (virtio_tmem_queue.c says why).
 */
#include <linux/highmem.h>
#include <linux/mm.h>

#include "vtmem.h"
#include "vtmem_bio.h"
#include "vtmem_disk_compat.h"

/**
 * vtmem_bio_copy() - copy a page to or from a bio, whose parts may lie anywhere
 * @bio:	the bio
 * @iter:	where in it
 * @page:	the page; NULL: zeros
 * @to_bio:	which way
 */
void vtmem_bio_copy(struct bio *bio, struct bvec_iter iter, struct page *page,
		    bool to_bio)
{
	unsigned int done = 0;

	while (done < PAGE_SIZE) {
		struct bio_vec vec = bio_iter_iovec(bio, iter);
		unsigned int len = min_t(unsigned int, vec.bv_len,
					 PAGE_SIZE - done);
		void *theirs = kmap_local_page(vec.bv_page);
		void *ours = page ? kmap_local_page(page) : NULL;

		if (!page)
			memset(theirs + vec.bv_offset, 0, len);
		else if (to_bio)
			memcpy(theirs + vec.bv_offset, ours + done, len);
		else
			memcpy(ours + done, theirs + vec.bv_offset, len);
		if (to_bio)
			flush_dcache_page(vec.bv_page);
		if (ours)
			kunmap_local(ours);
		kunmap_local(theirs);
		bio_advance_iter(bio, &iter, len);
		done += len;
	}
}

/* Takes another slot as the last part of @req. */
static struct vtmem_request *vtmem_add_part(struct vtmem_queue *q,
					    struct vtmem_request *last)
{
	struct vtmem_request *part = vtmem_queue_slot(q, &q->free);

	if (part && last)
		last->next_part = part;
	return part;
}

/*
 * Lends at most @max pages of @io from @io->rest on. Pages that lie askew are
 * copied to the slots' own. Returns how many; @first is the request.
 */
static unsigned int vtmem_lend(struct vtmem_queue *q, struct vtmem_io *io,
			       unsigned int max, struct vtmem_request **first)
{
	struct vtmem_request *part = NULL;
	struct bvec_iter iter = io->rest;
	unsigned int pages = 0, parts = 0, nr;
	struct bio_vec vec;

	for (; pages < max && parts < VTMEM_MAX_PARTS; parts++, pages += nr) {
		part = vtmem_add_part(q, part);
		if (!part)
			break;
		if (!parts)
			*first = part;
		vec = mp_bvec_iter_bvec(io->bio->bi_io_vec, iter);
		nr = min_t(unsigned int, vec.bv_len >> PAGE_SHIFT, max - pages);
		if (nr && !(vec.bv_offset & ~PAGE_MASK)) {
			part->page = vec.bv_page +
				     (vec.bv_offset >> PAGE_SHIFT);
			part->bytes = nr << PAGE_SHIFT;
		} else {
			nr = 1;
			part->page = part->own_page;
			vtmem_bio_copy(io->bio, iter, part->own_page, false);
		}
		bio_advance_iter(io->bio, &iter, nr << PAGE_SHIFT);
	}
	return pages;
}

/* Takes slots for at most @max pages to be read. Returns how many. */
static unsigned int vtmem_borrow(struct vtmem_queue *q, unsigned int max,
				 struct vtmem_request **first)
{
	struct vtmem_request *part = NULL;
	unsigned int pages;

	max = min_t(unsigned int, max, VTMEM_MAX_PARTS);
	for (pages = 0; pages < max; pages++) {
		part = vtmem_add_part(q, part);
		if (!part)
			break;
		if (!pages)
			*first = part;
		part->page = part->own_page;
	}
	return pages;
}

/**
 * vtmem_on_host() - does the host have this page?
 * @chunk:	its chunk, of a locked queue
 * @index:	the page
 */
bool vtmem_on_host(const struct vtmem_chunk *chunk, u32 index)
{
	return test_bit(index - chunk->first, chunk->present) &&
	       !vtmem_flush_is_pending(chunk, index);
}

/**
 * vtmem_run() - how many pages are as the first is, on the host or not
 * @chunk:	their chunk, of a locked queue
 * @index:	the first
 * @max:	how many to look at, all in the chunk
 */
unsigned int vtmem_run(const struct vtmem_chunk *chunk, u32 index,
		       unsigned int max)
{
	bool first = vtmem_on_host(chunk, index);
	unsigned int nr = 1;

	while (nr < max && vtmem_on_host(chunk, index + nr) == first)
		nr++;
	return nr;
}

/**
 * vtmem_submit_stretch() - submit a request for neighbouring pages
 * @q:		their queue, locked and open, with a free slot
 * @io:		what they are part of, and where to note the request
 * @chunk:	their chunk
 * @key:	the first
 * @max:	most pages, all in the chunk; a read's are all on the host
 *
 * The device is not notified.
 *
 * Return: how many pages the request is for; 0 if the ring is broken.
 */
unsigned int vtmem_submit_stretch(struct vtmem_queue *q, struct vtmem_io *io,
				  struct vtmem_chunk *chunk,
				  const struct vtmem_key *key,
				  unsigned int max)
{
	bool write = op_is_write(bio_op(io->bio));
	struct vtmem_request *req = NULL;
	unsigned int nr, i;

	nr = write ? vtmem_lend(q, io, max, &req) : vtmem_borrow(q, max, &req);
	req->op = write ? VIRTIO_TMEM_OP_PUT : VIRTIO_TMEM_OP_GET;
	req->flags = 0;
	req->pool = io->pool;
	req->pool_id = io->pool->id;
	req->key = *key;
	req->nr_pages = nr;
	req->must_finish = write;
	for (i = 0; write && i < nr; i++) {
		if (!vtmem_chunk_is_held(chunk, key->index + i))
			vtmem_pool_hold(io->pool, LONG_MAX);
		vtmem_flush_clear_pending(q, chunk, key->index + i, 1);
		vtmem_chunk_set_present(chunk, key->index + i);
	}
	if (vtmem_queue_submit(q, req)) {
		vtmem_queue_put_slot(q, req);
		return 0;
	}
	list_add_tail(&req->link, &io->inflight);
	return nr;
}
