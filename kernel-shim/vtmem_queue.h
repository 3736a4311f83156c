/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: a virtqueue with its slots and what is remembered of its objects.
 */
#ifndef _VTMEM_QUEUE_H
#define _VTMEM_QUEUE_H

#include <linux/hashtable.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/virtio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "vtmem_pool.h"

struct vtmem_device;
struct vtmem_request;
struct vtmem_wire;

#define VTMEM_QUEUE_NAME_SIZE	16

enum vtmem_queue_state {
	VTMEM_QUEUE_PAUSED,	/* no ring: before probe ends, while suspended */
	VTMEM_QUEUE_OPEN,
	VTMEM_QUEUE_DEAD,	/* never again: removed, shut down or broken */
};

/**
 * struct vtmem_queue - a virtqueue, its slots and its chunks
 * @dev:	its device
 * @vq:		the ring; never NULL while OPEN
 * @index:	0 is the control queue
 * @lock:	guards everything below but @kicking and @flush_work
 * @state:	see enum vtmem_queue_state
 * @stalled:	a waiter gave up and nothing was answered since: requests that
 *		may fail are refused instead of waiting in turn
 * @kicking:	tasks about to notify the device, outside the lock
 * @sleepers:	tasks in vtmem_sleep(); used-ring callbacks are armed while > 0
 * @answer_wait: those who wait for a request's answer
 * @slot_wait:	those who wait for a slot
 * @requests:	all slots
 * @nr_requests: their number
 * @nr_blocks:	of staged puts and windows, see virtio_tmem_blocks.c
 * @wires:	their DMA memory
 * @free:	slots for requests somebody waits for
 * @nr_taken:	those not on it: in the ring, or with whom collects the answer
 * @free_staged: slots for puts nobody waits for
 * @staged:	those in use, the newest first
 * @nr_open:	those of them that neighbours may join
 * @nr_kept:	those of them the device did not take
 * @nr_staged_pages: of all of them
 * @windows:	slots for gets of neighbours, the least recently used first
 * @last_get:	the ephemeral page got last, of @last_pool
 * @last_pool:	only compared, never followed
 * @free_flush:	slots reserved for flushes
 * @nr_inflight: slots in the ring
 * @nr_unkicked: requests of any kind submitted since the device was last
 *		notified
 * @objects:	by pool and id
 * @ephemeral_chunks: of all objects of ephemeral pools, the oldest first
 * @nr_ephemeral_chunks: their number
 * @dirty:	chunks with a page to flush
 * @dirty_objects: objects to flush as a whole
 * @nr_pending:	pages to flush in all chunks
 * @flush_work:	submits what no other request took along
 */
struct vtmem_queue {
	struct vtmem_device *dev;
	struct virtqueue *vq;
	unsigned int index;
	char name[VTMEM_QUEUE_NAME_SIZE];

	spinlock_t lock; /* only vtmem_reserve.lock nests in it */
	enum vtmem_queue_state state;
	bool stalled;
	atomic_t kicking;
	unsigned int sleepers;
	wait_queue_head_t answer_wait;
	wait_queue_head_t slot_wait;

	struct vtmem_request *requests;
	unsigned int nr_requests;
	unsigned int nr_blocks;
	struct vtmem_wire *wires;
	struct list_head free;
	unsigned int nr_taken;
	struct list_head free_staged;
	struct list_head staged;
	unsigned int nr_open;
	unsigned int nr_kept;
	unsigned int nr_staged_pages;
	struct list_head windows;
	struct vtmem_key last_get;
	const struct vtmem_pool *last_pool;
	struct list_head free_flush;
	unsigned int nr_inflight;

	unsigned int nr_unkicked;

	DECLARE_HASHTABLE(objects, 10);
	struct list_head ephemeral_chunks;
	unsigned int nr_ephemeral_chunks;
	struct list_head dirty;
	struct list_head dirty_objects;
	unsigned int nr_pending;
	struct delayed_work flush_work;
};

int vtmem_queue_init(struct vtmem_queue *q, struct vtmem_device *dev,
		     unsigned int index);
void vtmem_queue_free(struct vtmem_queue *q);
int vtmem_queue_set_ring(struct vtmem_queue *q, struct virtqueue *vq);
void vtmem_queue_open(struct vtmem_queue *q);
int vtmem_queue_pause(struct vtmem_queue *q);
void vtmem_queue_kill(struct vtmem_queue *q);
void vtmem_queue_close(struct vtmem_queue *q);

#endif /* _VTMEM_QUEUE_H */
