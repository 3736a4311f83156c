/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: what the guest remembers of its pages, and the flushes it owes.
 */
#ifndef _VTMEM_OBJECT_H
#define _VTMEM_OBJECT_H

#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "vtmem_pool.h"

struct vtmem_queue;

/* Pages a chunk covers; an object may be larger than that. */
#define VTMEM_CHUNK_SHIFT	9
#define VTMEM_CHUNK_PAGES	((u32)BIT(VTMEM_CHUNK_SHIFT))

/* How long a remembered flush waits for others to travel with. */
#define VTMEM_FLUSH_DELAY	msecs_to_jiffies(20)

/* Flushes that travel with a put or get: bounds what they add to its answer. */
#define VTMEM_PIGGYBACK_FLUSHES	4

/* Pages to flush that do not wait for company. */
#define VTMEM_FLUSH_BATCH	128

/**
 * struct vtmem_object - an object the host may have pages of
 * @node:	in its queue's table
 * @link:	on the queue's dirty_objects while @flush_all, on the reserve
 * @pool:	the pool
 * @oid:	the id
 * @flush_all:	a FLUSH_OBJECT is owed; there are no chunks unless put since
 * @chunks:	by first index
 */
struct vtmem_object {
	struct hlist_node node;
	struct list_head link;
	struct vtmem_pool *pool;
	u64 oid[3];
	bool flush_all;
	struct rb_root chunks;
};

/**
 * struct vtmem_chunk - VTMEM_CHUNK_PAGES pages of an object
 * @node:	in its object's tree
 * @link:	on the queue's dirty list while @nr_pending > 0, on the reserve
 * @age:	on the queue's list of ephemeral chunks
 * @object:	the object
 * @first:	index of its first page
 * @nr_present:	bits set in @present
 * @nr_pending:	bits set in @pending
 * @present:	pages the host may have
 * @pending:	pages that were invalidated and not yet flushed on the host
 */
struct vtmem_chunk {
	struct rb_node node;
	struct list_head link;
	struct list_head age;
	struct vtmem_object *object;
	u32 first;
	u16 nr_present;
	u16 nr_pending;
	DECLARE_BITMAP(present, VTMEM_CHUNK_PAGES);
	DECLARE_BITMAP(pending, VTMEM_CHUNK_PAGES);
};

/**
 * struct vtmem_reserve - objects and chunks for puts, which must not allocate
 * @lock:	guards the lists and their lengths
 * @objects:	spare objects
 * @nr_objects:	their number
 * @chunks:	spare chunks
 * @nr_chunks:	their number
 * @refill_work: tops them up
 */
struct vtmem_reserve {
	spinlock_t lock; /* innermost */
	struct list_head objects;
	unsigned int nr_objects;
	struct list_head chunks;
	unsigned int nr_chunks;
	struct work_struct refill_work;
};

int vtmem_reserve_init(struct vtmem_reserve *reserve);
void vtmem_reserve_free(struct vtmem_reserve *reserve);
int vtmem_reserve_refill(struct vtmem_reserve *reserve);
struct vtmem_object *vtmem_reserve_object(struct vtmem_reserve *reserve);
struct vtmem_chunk *vtmem_reserve_chunk(struct vtmem_reserve *reserve);

struct vtmem_object *vtmem_object_find(struct vtmem_queue *q,
				       const struct vtmem_pool *pool,
				       const u64 oid[3]);
struct vtmem_object *vtmem_object_get(struct vtmem_queue *q,
				      struct vtmem_pool *pool,
				      const u64 oid[3]);
void vtmem_object_free_chunks(struct vtmem_queue *q,
			      struct vtmem_object *object);
void vtmem_object_release(struct vtmem_object *object);
void vtmem_object_forget_pool(struct vtmem_queue *q, struct vtmem_pool *pool);

struct vtmem_chunk *vtmem_chunk_find(struct vtmem_queue *q,
				     const struct vtmem_pool *pool,
				     const struct vtmem_key *key);
struct vtmem_chunk *vtmem_chunk_get(struct vtmem_queue *q,
				    struct vtmem_pool *pool,
				    const struct vtmem_key *key);
int vtmem_chunk_populate(struct vtmem_queue *q, struct vtmem_pool *pool,
			 const struct vtmem_key *key);
void vtmem_chunk_set_present(struct vtmem_chunk *chunk, u32 index);
bool vtmem_chunk_clear_present(struct vtmem_chunk *chunk, u32 index);
bool vtmem_chunk_is_present(const struct vtmem_chunk *chunk, u32 index);
bool vtmem_chunk_is_held(const struct vtmem_chunk *chunk, u32 index);
void vtmem_chunk_free(struct vtmem_queue *q, struct vtmem_chunk *chunk);
void vtmem_chunk_release(struct vtmem_queue *q, struct vtmem_chunk *chunk);

void vtmem_flush_set_pending(struct vtmem_queue *q, struct vtmem_chunk *chunk,
			     u32 index);
void vtmem_flush_clear_pending(struct vtmem_queue *q,
			       struct vtmem_chunk *chunk, u32 index,
			       u32 nr_pages);
void vtmem_flush_set_chunk(struct vtmem_queue *q, struct vtmem_chunk *chunk);
bool vtmem_flush_is_pending(const struct vtmem_chunk *chunk, u32 index);
void vtmem_flush_set_object(struct vtmem_queue *q,
			    struct vtmem_object *object);
bool vtmem_flush_submit_object(struct vtmem_queue *q,
			       struct vtmem_object *object);
bool vtmem_flush_submit(struct vtmem_queue *q, unsigned int max);
void vtmem_flush_work(struct work_struct *work);

#endif /* _VTMEM_OBJECT_H */
