/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: a request, from its slot into the ring and back.
 *
 * Life of a request
 * -----------------
 *   FREE -> INFLIGHT -> DONE -> FREE	its waiter collects the result
 *   FREE -> INFLIGHT -> FREE		a flush: nobody waits. A window: who waits
 *					looks at it again
 *   FREE -> OPEN -> INFLIGHT -> FREE	a staged put: nobody waits. While OPEN,
 *					neighbours join it
 *   INFLIGHT -> KEPT -> FREE		a staged put of persistent pages that the
 *					device did not take: the slot's copies
 *					are the only ones there are
 *   INFLIGHT -> ABANDONED -> FREE	its waiter gave up; the page it named
 *					stays pinned until the device answers or
 *					the ring is reset, because until then
 *					the device may still touch it
 */
#ifndef _VTMEM_REQUEST_H
#define _VTMEM_REQUEST_H

#include <linux/bits.h>
#include <linux/cache.h>
#include <linux/list.h>
#include <linux/scatterlist.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/virtio.h>
#include <uapi/linux/virtio_tmem.h>

#include "vtmem_pool.h"

struct vtmem_device;
struct vtmem_queue;

/* Slots that make up one request at most. */
#define VTMEM_MAX_PARTS		8

/* After this long what may fail gives up: a put, an ephemeral get. */
#define VTMEM_TIMEOUT_S		1

/* What the device reads and writes; the two halves never share a cache line. */
struct vtmem_wire {
	struct virtio_tmem_req req;
	struct virtio_tmem_resp resp ____cacheline_aligned;
} ____cacheline_aligned;

enum vtmem_request_state {
	VTMEM_REQ_FREE,
	VTMEM_REQ_INFLIGHT,
	VTMEM_REQ_DONE,
	VTMEM_REQ_ABANDONED,
	VTMEM_REQ_OPEN,
	VTMEM_REQ_KEPT,
};

/* What a slot is for, for good. */
enum vtmem_slot_kind {
	VTMEM_SLOT_WAIT,	/* a page, or none: somebody waits */
	VTMEM_SLOT_STAGED,	/* puts, see virtio_tmem_stage.c */
	VTMEM_SLOT_WINDOW,	/* gets, see virtio_tmem_window.c */
	VTMEM_SLOT_FLUSH,
};

/* Pages of a staged put or of a window: neighbours in memory, one descriptor. */
#define VTMEM_BLOCK_ORDER	4
#define VTMEM_BLOCK_PAGES	((u32)BIT(VTMEM_BLOCK_ORDER))

/**
 * struct vtmem_request - a slot of a queue
 * @state:	guarded by the queue's lock; DONE is published with release
 *		semantics so that a waiter may look without the lock
 * @kind:	what the slot is for
 * @link:	on @home while free; a staged put on the queue's list of those, a
 *		window always on the queue's list of those
 * @home:	the free list the slot returns to; NULL: the ring has no room for it
 * @wire:	DMA memory of this slot
 * @pool:	pool of a page request, NULL for a control request
 * @pool_id:	the request's pool field
 * @flags:	the request's flags field
 * @own_page:	the slot's page, the first of a block in a slot for staged puts
 *		or a window, if a front end asked for those; NULL in slots for
 *		flushes
 * @page:	first page a PUT or GET names: @own_page, or for a PUT its
 *		caller's
 * @bytes:	from @page on, contiguous: one page or, lent for a PUT, several
 * @next_part:	another slot whose page goes with this one's in one request
 * @sg:		@page in the ring
 * @must_finish: its waiter does not give up before the device has answered or
 *		the ring is gone: the pages are lent without a reference
 * @op:		VIRTIO_TMEM_OP_*
 * @key:	object and first page
 * @nr_pages:	pages asked for
 * @nr_waiters:	of a window: tasks that wait for its answer; it is not used for
 *		another get before they have looked at it
 * @mask:	of them, by number: those a window still has, or those whose copy
 *		in a staged put is current; a KEPT put's are the only ones
 * @submitted:	vtmem_clock_now() when it entered the ring
 * @result:	0 or a negative errno, valid in DONE
 * @nr_done:	the prefix of @nr_pages that succeeded, valid in DONE
 * @value:	the response's value, valid in DONE
 */
struct vtmem_request {
	enum vtmem_request_state state;
	bool must_finish;
	enum vtmem_slot_kind kind;
	struct list_head link;
	struct list_head *home;
	struct vtmem_wire *wire;
	struct vtmem_pool *pool;
	struct page *own_page;
	struct page *page;
	u32 bytes;
	struct vtmem_request *next_part;
	struct scatterlist sg;
	u16 op;
	u16 flags;
	u32 pool_id;
	struct vtmem_key key;
	u32 nr_pages;
	unsigned int nr_waiters;
	unsigned long mask;
	u64 submitted;
	int result;
	u32 nr_done;
	u64 value;
};

void vtmem_queue_callback(struct virtqueue *vq);
struct vtmem_request *vtmem_queue_slot(struct vtmem_queue *q,
				       struct list_head *list);
void vtmem_queue_put_slot(struct vtmem_queue *q, struct vtmem_request *req);
int vtmem_queue_submit(struct vtmem_queue *q, struct vtmem_request *req);
void vtmem_queue_complete(struct vtmem_queue *q, struct vtmem_request *req);
void vtmem_queue_harvest(struct vtmem_queue *q);
void vtmem_queue_unlock_kick(struct vtmem_queue *q, unsigned long flags)
	__releases(&q->lock);
void vtmem_queue_kick_rest(struct vtmem_queue *q);

void vtmem_blocks_alloc(struct vtmem_device *dev, enum vtmem_slot_kind kind);
u64 vtmem_memory(const struct vtmem_device *dev);

void vtmem_staged_close(struct vtmem_queue *q);
struct page *vtmem_staged_page(struct vtmem_queue *q,
			       const struct vtmem_pool *pool,
			       const struct vtmem_key *key);
void vtmem_staged_supersede(struct vtmem_queue *q,
			    const struct vtmem_pool *pool,
			    const struct vtmem_key *key);
void vtmem_staged_forget(struct vtmem_queue *q, const struct vtmem_pool *pool);
void vtmem_staged_complete(struct vtmem_queue *q, struct vtmem_request *req);

struct vtmem_request *vtmem_window_find(struct vtmem_queue *q,
					const struct vtmem_pool *pool,
					const struct vtmem_key *key);
bool vtmem_window_take(struct vtmem_queue *q, struct vtmem_request *window,
		       const struct vtmem_key *key, struct page *page);
struct vtmem_request *vtmem_window_open(struct vtmem_queue *q,
					struct vtmem_pool *pool,
					const struct vtmem_key *key);
void vtmem_window_forget(struct vtmem_queue *q, const struct vtmem_pool *pool,
			 const struct vtmem_key *key);
void vtmem_window_complete(struct vtmem_queue *q, struct vtmem_request *window);

void vtmem_wake_waiters(struct vtmem_queue *q, struct vtmem_request *req);
void vtmem_wake_for_slot(struct vtmem_queue *q);
bool vtmem_wait_slot(struct vtmem_queue *q, long timeout);
int vtmem_wait_done(struct vtmem_queue *q, struct vtmem_request *req);
bool vtmem_abandon(struct vtmem_queue *q, struct vtmem_request *req);
int vtmem_wait(struct vtmem_queue *q, struct vtmem_request *req,
	       struct page *to, u64 *value);
unsigned int vtmem_load_patience_s(struct vtmem_device *dev);

/* Is @key one of the pages of @req? */
static inline bool vtmem_request_names(const struct vtmem_request *req,
				       const struct vtmem_pool *pool,
				       const struct vtmem_key *key)
{
	return req->pool == pool && key->index - req->key.index < req->nr_pages &&
	       !memcmp(req->key.oid, key->oid, sizeof(key->oid));
}

int vtmem_submit_page(struct vtmem_queue *q, struct vtmem_request *req, u16 op,
		      u16 op_flags, struct vtmem_pool *pool,
		      const struct vtmem_key *key, struct page *page);

#endif /* _VTMEM_REQUEST_H */
