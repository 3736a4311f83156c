// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: what the swap block device is asked for.
 *
 * A read or write is cut into stretches, each one request: pages of one chunk,
 * no more than a request may name and than there are slots for. All stretches
 * are submitted, with one notification, before the first is waited for; when
 * slots run out, one's own are waited for first, so that two tasks never wait
 * for each other's.
 *
 * A write lends its pages to the device and waits until it is done with them,
 * however long that takes: a disk that does not answer is waited for.
 *
 * What a read finds depends on the chunk's bits, which the disk has for all of
 * its pages from the start:
 *	not present, or to be flushed	never written, or given up: zeros, and
 *					the host is not asked
 *	present				the host must have it. If it does not,
 *					the page is lost: an I/O error, until it
 *					is written or given up
 * A write that fails leaves its pages present: reading them is an error, too. One
 * that the host had no session for is made again when there is another one.
 *
 * A disk is counted in /proc/diskstats as any other.
 */
#include <linux/mm.h>

#include "vtmem.h"
#include "vtmem_bio.h"
#include "vtmem_disk_compat.h"
#include "vtmem_session.h"
#include "vtmem_swapdev.h"
#include "virtio_tmem_trace.h"

#define SECTORS_PER_PAGE	(PAGE_SIZE >> SECTOR_SHIFT)

static u64 vtmem_key_page(const struct vtmem_key *key)
{
	return key->oid[0] << VTMEM_DISK_OBJECT_SHIFT | key->index;
}

/* Why nothing can be submitted: -EAGAIN if that may pass. */
static int vtmem_queue_obstacle(struct vtmem_queue *q)
{
	if (q->state == VTMEM_QUEUE_DEAD)
		return -ENODEV;
	if (q->state != VTMEM_QUEUE_OPEN)
		return -EAGAIN;
	if (virtqueue_is_broken(q->vq))
		return -EIO;
	if (list_empty(&q->free))
		return -EAGAIN;
	return 0;
}

/*
 * Submits the next stretch, or fills it with zeros. Returns the pages done, or
 * a negative errno; -EAGAIN: there is no slot at the moment.
 */
static int vtmem_io_step(struct vtmem_io *io)
{
	unsigned int left = io->rest.bi_size >> PAGE_SHIFT, nr = 0, i;
	struct bvec_iter zeros = io->rest;
	struct vtmem_chunk *chunk = NULL;
	struct vtmem_queue *q;
	struct vtmem_key key;
	unsigned long flags;
	bool absent = false;
	int err;

	vtmem_disk_key(&key, io->rest.bi_sector / SECTORS_PER_PAGE);
	q = vtmem_pool_queue(io->pool, key.oid);
	if (io->unkicked && io->unkicked != q)
		vtmem_queue_kick_rest(io->unkicked);
	io->unkicked = q;

	spin_lock_irqsave(&q->lock, flags);
	vtmem_queue_harvest(q);
	err = vtmem_queue_obstacle(q);
	if (!err) {
		chunk = vtmem_chunk_find(q, io->pool, &key);
		err = chunk ? 0 : -EIO;
	}
	if (!err) {
		nr = min3(left, chunk->first + VTMEM_CHUNK_PAGES - key.index,
			  (unsigned int)io->pool->dev->max_pages_per_request);
		if (!op_is_write(bio_op(io->bio))) {
			nr = vtmem_run(chunk, key.index, nr);
			absent = !vtmem_on_host(chunk, key.index);
		}
		if (!absent) {
			nr = vtmem_submit_stretch(q, io, chunk, &key, nr);
			err = nr ? 0 : -EIO;
			vtmem_flush_submit(q, VTMEM_PIGGYBACK_FLUSHES);
		}
	}
	if (!err && !absent && nr == left) {
		io->unkicked = NULL;
		vtmem_queue_unlock_kick(q, flags);
	} else {
		spin_unlock_irqrestore(&q->lock, flags);
	}
	if (err)
		return err;

	for (i = 0; absent && i < nr; i++) {
		vtmem_bio_copy(io->bio, zeros, NULL, true);
		bio_advance_iter(io->bio, &zeros, PAGE_SIZE);
		vtmem_count(q->dev, zero_loads);
	}
	bio_advance_iter(io->bio, &io->rest, nr << PAGE_SHIFT);
	return nr;
}

/* A read's answer is there: copies it. */
static void vtmem_io_deliver(struct vtmem_io *io, struct vtmem_request *req)
{
	u64 first = io->bio->bi_iter.bi_sector / SECTORS_PER_PAGE;
	struct bvec_iter iter = io->bio->bi_iter;

	bio_advance_iter(io->bio, &iter,
			 (vtmem_key_page(&req->key) - first) << PAGE_SHIFT);
	for (; req; req = req->next_part) {
		vtmem_bio_copy(io->bio, iter, req->own_page, true);
		bio_advance_iter(io->bio, &iter, PAGE_SIZE);
	}
}

static void vtmem_io_failed(struct vtmem_io *io, bool write, u64 page,
			    unsigned int nr_pages, int err)
{
	struct vtmem_device *dev = io->pool->dev;

	if (!io->err)
		io->err = err;
	if (write && err == -ESTALE && io->may_repeat)
		return;
	if (write) {
		vtmem_count(dev, failed_stores);
		pr_err_ratelimited("virtio_tmem: writing page %llu and up to %u after it failed (%d)\n",
				   page, nr_pages - 1, err);
	} else {
		vtmem_count(dev, lost_loads);
		pr_err_ratelimited("virtio_tmem: DATA LOSS: page %llu or one of the %u after it cannot be read (%d)\n",
				   page, nr_pages - 1, err);
	}
}

/* Waits for the oldest request in flight. */
static void vtmem_io_collect(struct vtmem_io *io)
{
	struct vtmem_request *req =
		list_first_entry(&io->inflight, struct vtmem_request, link);
	struct vtmem_queue *q = vtmem_pool_queue(io->pool, req->key.oid);
	bool write = req->op == VIRTIO_TMEM_OP_PUT;
	struct vtmem_device *dev = q->dev;
	struct vtmem_key key = req->key;
	unsigned int nr = req->nr_pages, i;
	u64 ns;
	int err;

	if (io->unkicked) {
		vtmem_queue_kick_rest(io->unkicked);
		io->unkicked = NULL;
	}
	list_del(&req->link);
	err = vtmem_wait_done(q, req);
	ns = vtmem_clock_ns_since(req->submitted);
	if (!err || !vtmem_abandon(q, req)) {
		err = req->result;
		if (!err && !write)
			vtmem_io_deliver(io, req);
		spin_lock_irq(&q->lock);
		vtmem_queue_put_slot(q, req);
		spin_unlock_irq(&q->lock);
	}
	if (err)
		vtmem_io_failed(io, write, vtmem_key_page(&key), nr, err);
	for (i = 0; !err && i < nr; i++) {
		if (write)
			vtmem_count(dev, succ_stores);
		else
			vtmem_count(dev, loads);
	}
	vtmem_record_latency(dev, write ? VTMEM_LATENCY_PUT : VTMEM_LATENCY_GET,
			     ns);
}

/*
 * Waits for a slot that others hold. Returns false when a read has waited for
 * as long as reads may: loads given up keep their slots until they are answered.
 */
static bool vtmem_io_wait_slot(struct vtmem_io *io, unsigned int *waited_s)
{
	unsigned int patience_s = vtmem_load_patience_s(io->pool->dev);

	return vtmem_wait_slot(io->unkicked, HZ) ||
	       ++*waited_s < patience_s || !patience_s ||
	       op_is_write(bio_op(io->bio));
}

/* A read or a write. Returns 0 or a negative errno. */
static int vtmem_disk_transfer(struct vtmem_pool *pool, struct bio *bio,
			       bool may_repeat)
{
	unsigned int waited_s = 0;
	struct vtmem_io io = {
		.pool = pool,
		.bio = bio,
		.may_repeat = may_repeat,
		.rest = bio->bi_iter,
		.inflight = LIST_HEAD_INIT(io.inflight),
	};
	int done;

	while (io.rest.bi_size && !io.err) {
		done = vtmem_io_step(&io);
		if (done == -EAGAIN && !list_empty(&io.inflight))
			vtmem_io_collect(&io);
		else if (done == -EAGAIN)
			done = vtmem_io_wait_slot(&io, &waited_s) ? 0 : -ETIMEDOUT;
		if (done < 0 && done != -EAGAIN)
			vtmem_io_failed(&io, op_is_write(bio_op(bio)),
					io.rest.bi_sector / SECTORS_PER_PAGE,
					io.rest.bi_size >> PAGE_SHIFT, done);
	}
	while (!list_empty(&io.inflight))
		vtmem_io_collect(&io);
	return io.err;
}

/* Nobody wants these pages any more. */
static void vtmem_disk_discard(struct vtmem_pool *pool, struct bio *bio)
{
	u64 page = bio->bi_iter.bi_sector / SECTORS_PER_PAGE;
	u64 end = page + bio->bi_iter.bi_size / PAGE_SIZE;
	struct vtmem_key key;

	for (; page < end; page++) {
		vtmem_disk_key(&key, page);
		vtmem_flush(pool, &key);
		vtmem_count(pool->dev, invalidates);
		if (!(page % VTMEM_CHUNK_PAGES))
			cond_resched();
	}
}

/**
 * vtmem_disk_submit() - do what a bio asks for, and end it
 * @pool:	the disk's pool
 * @bio:	a bio within the disk, whole pages
 *
 * Context: may sleep, for as long as the host does not answer.
 */
void vtmem_disk_submit(struct vtmem_pool *pool, struct bio *bio)
{
	unsigned int nr_pages = bio->bi_iter.bi_size >> PAGE_SHIFT;
	u64 page = bio->bi_iter.bi_sector / SECTORS_PER_PAGE;
	unsigned long counted_from = 0;
	u64 start = vtmem_clock_now();
	int err = 0;

	/* A flush has no pages, and nothing to do. */
	if (nr_pages)
		counted_from = bio_start_io_acct(bio);
	switch (bio_op(bio)) {
	case REQ_OP_READ:
	case REQ_OP_WRITE:
		/* Not whole pages: somebody ignores the block size. */
		if ((bio->bi_iter.bi_sector & (SECTORS_PER_PAGE - 1)) ||
		    (bio->bi_iter.bi_size & ~PAGE_MASK))
			err = -EINVAL;
		else
			err = vtmem_disk_transfer(pool, bio, true);
		if (err == -ESTALE && op_is_write(bio_op(bio))) {
			vtmem_session_await(pool->dev);
			err = vtmem_disk_transfer(pool, bio, false);
		}
		break;
	case REQ_OP_DISCARD:
	case REQ_OP_WRITE_ZEROES:
		vtmem_disk_discard(pool, bio);
		break;
	case REQ_OP_FLUSH:
		/* A write is done when it is answered: nothing is cached. */
		break;
	default:
		err = -EOPNOTSUPP;
		break;
	}
	trace_virtio_tmem_bio((__force unsigned int)bio_op(bio), page, nr_pages,
			      vtmem_clock_ns_since(start), err);
	bio->bi_status = errno_to_blk_status(err);
	if (nr_pages)
		bio_end_io_acct(bio, counted_from);
	bio_endio(bio);
}
