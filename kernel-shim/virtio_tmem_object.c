// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: what the guest remembers of its pages.
 *
 * A queue has a table of the objects that go through it. An object has a tree
 * of chunks, and a chunk has two bits a page:
 *   present	the page was put and neither flushed nor taken since. The host
 *		may have dropped an ephemeral page all the same; a page that is
 *		not present is certainly not there
 *   pending	the page is to be flushed, see virtio_tmem_flush.c
 * Both are made by the put that needs them, which must not wait for memory: it
 * takes them from a reserve that a work item keeps full, and is refused in the
 * rare case that the reserve and the free memory are used up.
 *
 * A chunk of an ephemeral pool goes when none of its bits is set, an object
 * with its last chunk; those of a persistent pool stay until the pool goes,
 * because swap uses the same offsets again and again. Ephemeral chunks are
 * bounded, since there may be very many files: beyond the bound the pages of the
 * oldest are flushed.
 */
#include <linux/hash.h>
#include <linux/jhash.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "vtmem.h"

/* 64 chunks are room for 128 MiB of pages not seen before, in about 20 KiB. */
#define SPARES			64

/* When they are used up: what is free at once, and not the last of it. */
#define SPARE_GFP	(GFP_NOWAIT | __GFP_NOWARN | __GFP_NOMEMALLOC)

/*
 * Ephemeral chunks of all queues: one for 16 pages of the guest's memory, which
 * is 0.4 % of it. Small files have one each.
 */
#define RAM_PAGES_PER_EPHEMERAL_CHUNK	16

static u32 vtmem_object_hash(const struct vtmem_pool *pool, const u64 oid[3])
{
	return jhash2((const u32 *)oid, 3 * sizeof(u64) / sizeof(u32),
		      hash_ptr(pool, 32));
}

static void vtmem_refill(struct work_struct *work)
{
	struct vtmem_reserve *reserve =
		container_of(work, struct vtmem_reserve, refill_work);
	struct vtmem_object *object;
	struct vtmem_chunk *chunk;

	while (READ_ONCE(reserve->nr_objects) < SPARES ||
	       READ_ONCE(reserve->nr_chunks) < SPARES) {
		object = kzalloc(sizeof(*object), GFP_KERNEL | __GFP_NOWARN);
		chunk = kzalloc(sizeof(*chunk), GFP_KERNEL | __GFP_NOWARN);
		if (!object || !chunk) {
			/* The next put that finds too few tries again. */
			kfree(object);
			kfree(chunk);
			return;
		}
		spin_lock_irq(&reserve->lock);
		list_add(&object->link, &reserve->objects);
		reserve->nr_objects++;
		list_add(&chunk->link, &reserve->chunks);
		reserve->nr_chunks++;
		spin_unlock_irq(&reserve->lock);
	}
}

/**
 * vtmem_reserve_init() - fill the reserve of objects and chunks
 * @reserve: a zeroed reserve
 *
 * Return: 0 or -ENOMEM.
 */
int vtmem_reserve_init(struct vtmem_reserve *reserve)
{
	INIT_LIST_HEAD(&reserve->objects);
	INIT_LIST_HEAD(&reserve->chunks);
	spin_lock_init(&reserve->lock);
	INIT_WORK(&reserve->refill_work, vtmem_refill);
	vtmem_refill(&reserve->refill_work);
	if (reserve->nr_chunks < SPARES) {
		vtmem_reserve_free(reserve);
		return -ENOMEM;
	}
	return 0;
}

/**
 * vtmem_reserve_free() - undo vtmem_reserve_init()
 * @reserve: a reserve nobody uses
 */
void vtmem_reserve_free(struct vtmem_reserve *reserve)
{
	struct vtmem_object *object, *next_object;
	struct vtmem_chunk *chunk, *next_chunk;

	cancel_work_sync(&reserve->refill_work);
	list_for_each_entry_safe(object, next_object, &reserve->objects, link)
		kfree(object);
	list_for_each_entry_safe(chunk, next_chunk, &reserve->chunks, link)
		kfree(chunk);
}

static void vtmem_reserve_check(struct vtmem_reserve *reserve)
{
	if (READ_ONCE(reserve->nr_objects) <= SPARES / 2 ||
	    READ_ONCE(reserve->nr_chunks) <= SPARES / 2)
		queue_work(vtmem_workqueue, &reserve->refill_work);
}

static struct vtmem_object *vtmem_take_object(struct vtmem_reserve *reserve)
{
	struct vtmem_object *object;

	spin_lock(&reserve->lock);
	object = list_first_entry_or_null(&reserve->objects,
					  struct vtmem_object, link);
	if (object) {
		list_del_init(&object->link);
		reserve->nr_objects--;
	}
	spin_unlock(&reserve->lock);
	vtmem_reserve_check(reserve);
	return object ?: kzalloc(sizeof(*object), SPARE_GFP);
}

static struct vtmem_chunk *vtmem_take_chunk(struct vtmem_reserve *reserve)
{
	struct vtmem_chunk *chunk;

	spin_lock(&reserve->lock);
	chunk = list_first_entry_or_null(&reserve->chunks, struct vtmem_chunk,
					 link);
	if (chunk) {
		list_del_init(&chunk->link);
		reserve->nr_chunks--;
	}
	spin_unlock(&reserve->lock);
	vtmem_reserve_check(reserve);
	return chunk ?: kzalloc(sizeof(*chunk), SPARE_GFP);
}

/**
 * vtmem_object_find() - find an object
 * @q:		its queue, locked
 * @pool:	its pool
 * @oid:	its id
 *
 * Return: the object, or NULL if the host certainly has no page of it and
 *	   owes it no flush.
 */
struct vtmem_object *vtmem_object_find(struct vtmem_queue *q,
				       const struct vtmem_pool *pool,
				       const u64 oid[3])
{
	struct vtmem_object *object;

	lockdep_assert_held(&q->lock);
	hash_for_each_possible(q->objects, object, node,
			       vtmem_object_hash(pool, oid)) {
		if (object->pool == pool &&
		    !memcmp(object->oid, oid, sizeof(object->oid)))
			return object;
	}
	return NULL;
}

static void vtmem_object_free(struct vtmem_object *object)
{
	hash_del(&object->node);
	kfree(object);
}

static void vtmem_chunk_free(struct vtmem_queue *q, struct vtmem_chunk *chunk)
{
	struct vtmem_object *object = chunk->object;

	rb_erase(&chunk->node, &object->chunks);
	atomic_long_sub(chunk->nr_present, &object->pool->nr_present);
	if (chunk->nr_pending) {
		q->nr_pending -= chunk->nr_pending;
		list_del(&chunk->link);
	}
	if (!object->pool->persistent) {
		list_del(&chunk->age);
		q->nr_ephemeral_chunks--;
	}
	kfree(chunk);
}

/**
 * vtmem_object_free_chunks() - forget all there is about an object's pages
 * @q:		its queue, locked
 * @object:	the object; it stays
 */
void vtmem_object_free_chunks(struct vtmem_queue *q,
			      struct vtmem_object *object)
{
	struct rb_node *node;

	lockdep_assert_held(&q->lock);
	while ((node = rb_first(&object->chunks)))
		vtmem_chunk_free(q, rb_entry(node, struct vtmem_chunk, node));
}

/**
 * vtmem_object_release() - free an object nothing is remembered about
 * @object:	an object of a locked queue
 */
void vtmem_object_release(struct vtmem_object *object)
{
	if (!object->flush_all && RB_EMPTY_ROOT(&object->chunks) &&
	    !object->pool->persistent)
		vtmem_object_free(object);
}

/**
 * vtmem_chunk_find() - find a page's chunk
 * @q:		its queue, locked
 * @pool:	its pool
 * @key:	its key
 *
 * Return: the chunk, or NULL if the host certainly does not have the page.
 */
struct vtmem_chunk *vtmem_chunk_find(struct vtmem_queue *q,
				     const struct vtmem_pool *pool,
				     const struct vtmem_key *key)
{
	struct vtmem_object *object = vtmem_object_find(q, pool, key->oid);
	u32 first = round_down(key->index, VTMEM_CHUNK_PAGES);
	struct rb_node *node = object ? object->chunks.rb_node : NULL;

	while (node) {
		struct vtmem_chunk *chunk =
			rb_entry(node, struct vtmem_chunk, node);

		if (chunk->first == first)
			return chunk;
		node = first < chunk->first ? node->rb_left : node->rb_right;
	}
	return NULL;
}

static void vtmem_chunk_insert(struct vtmem_object *object,
			       struct vtmem_chunk *chunk)
{
	struct rb_node **link = &object->chunks.rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = chunk->first < rb_entry(parent, struct vtmem_chunk,
					       node)->first ?
			&parent->rb_left : &parent->rb_right;
	}
	rb_link_node(&chunk->node, parent, link);
	rb_insert_color(&chunk->node, &object->chunks);
}

/*
 * Keeps the ephemeral chunks of a queue in their bounds by flushing the oldest,
 * which goes when its flushes are sent. Returns false if they are not being
 * sent, so that there are already twice as many.
 */
static bool vtmem_chunk_make_room(struct vtmem_queue *q)
{
	unsigned long bound = totalram_pages() / RAM_PAGES_PER_EPHEMERAL_CHUNK /
			      (q->dev->nr_queues - 1);
	struct vtmem_chunk *oldest;

	if (q->nr_ephemeral_chunks < bound)
		return true;
	oldest = list_first_entry_or_null(&q->ephemeral_chunks,
					  struct vtmem_chunk, age);
	if (oldest) {
		list_move_tail(&oldest->age, &q->ephemeral_chunks);
		vtmem_flush_set_chunk(q, oldest);
	}
	return q->nr_ephemeral_chunks < 2 * bound;
}

/**
 * vtmem_chunk_get() - find a page's chunk, or make it from the reserve
 * @q:		its queue, locked
 * @pool:	its pool
 * @key:	its key
 *
 * Return: the chunk, or NULL if the reserve is empty or there are too many.
 */
struct vtmem_chunk *vtmem_chunk_get(struct vtmem_queue *q,
				    struct vtmem_pool *pool,
				    const struct vtmem_key *key)
{
	struct vtmem_chunk *chunk = vtmem_chunk_find(q, pool, key);
	struct vtmem_reserve *reserve = &q->dev->spares;
	struct vtmem_object *object;

	if (chunk)
		return chunk;
	if (!pool->persistent && !vtmem_chunk_make_room(q))
		return NULL;
	chunk = vtmem_take_chunk(reserve);
	if (!chunk)
		return NULL;
	object = vtmem_object_find(q, pool, key->oid);
	if (!object) {
		object = vtmem_take_object(reserve);
		if (!object) {
			kfree(chunk);
			return NULL;
		}
		object->pool = pool;
		memcpy(object->oid, key->oid, sizeof(object->oid));
		object->chunks = RB_ROOT;
		hash_add(q->objects, &object->node,
			 vtmem_object_hash(pool, object->oid));
	}
	chunk->object = object;
	chunk->first = round_down(key->index, VTMEM_CHUNK_PAGES);
	vtmem_chunk_insert(object, chunk);
	if (!pool->persistent) {
		list_add_tail(&chunk->age, &q->ephemeral_chunks);
		q->nr_ephemeral_chunks++;
	}
	return chunk;
}

/**
 * vtmem_chunk_populate() - make a page's chunk before it is needed
 * @q:		its queue, unlocked
 * @pool:	its pool
 * @key:	its key
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int vtmem_chunk_populate(struct vtmem_queue *q, struct vtmem_pool *pool,
			 const struct vtmem_key *key)
{
	struct vtmem_reserve *reserve = &q->dev->spares;
	struct vtmem_chunk *chunk;

	for (;;) {
		spin_lock_irq(&q->lock);
		chunk = vtmem_chunk_get(q, pool, key);
		spin_unlock_irq(&q->lock);
		if (chunk)
			return 0;
		vtmem_refill(&reserve->refill_work);
		if (!READ_ONCE(reserve->nr_chunks) ||
		    !READ_ONCE(reserve->nr_objects))
			return -ENOMEM;
	}
}

/**
 * vtmem_chunk_set_present() - note that a page is being put
 * @chunk:	its chunk, of a locked queue
 * @index:	the page
 */
void vtmem_chunk_set_present(struct vtmem_chunk *chunk, u32 index)
{
	if (__test_and_set_bit(index - chunk->first, chunk->present))
		return;
	chunk->nr_present++;
	atomic_long_inc(&chunk->object->pool->nr_present);
}

/**
 * vtmem_chunk_clear_present() - note that the host does not have a page
 * @chunk:	its chunk, of a locked queue
 * @index:	the page
 *
 * Return: whether it was present.
 */
bool vtmem_chunk_clear_present(struct vtmem_chunk *chunk, u32 index)
{
	if (!__test_and_clear_bit(index - chunk->first, chunk->present))
		return false;
	chunk->nr_present--;
	atomic_long_dec(&chunk->object->pool->nr_present);
	return true;
}

/**
 * vtmem_chunk_is_present() - may the host have a page?
 * @chunk:	its chunk, of a locked queue
 * @index:	the page
 */
bool vtmem_chunk_is_present(const struct vtmem_chunk *chunk, u32 index)
{
	return test_bit(index - chunk->first, chunk->present);
}

/**
 * vtmem_chunk_is_held() - is a page counted in vtmem_pool.nr_held?
 * @chunk:	its chunk, of a locked queue
 * @index:	the page
 *
 * A page whose flush was sent is counted for it until the flush is over, and
 * once more when it is put meanwhile.
 */
bool vtmem_chunk_is_held(const struct vtmem_chunk *chunk, u32 index)
{
	return vtmem_chunk_is_present(chunk, index) ||
	       test_bit(index - chunk->first, chunk->pending);
}

/**
 * vtmem_chunk_release() - free a chunk nothing is remembered in
 * @q:		its queue, locked
 * @chunk:	the chunk; it may be gone afterwards, and its object too
 */
void vtmem_chunk_release(struct vtmem_queue *q, struct vtmem_chunk *chunk)
{
	struct vtmem_object *object = chunk->object;

	lockdep_assert_held(&q->lock);
	if (object->pool->persistent || chunk->nr_present || chunk->nr_pending)
		return;
	vtmem_chunk_free(q, chunk);
	vtmem_object_release(object);
}

/**
 * vtmem_object_forget_pool() - forget all there is about a pool's pages
 * @q:		an unlocked queue
 * @pool:	a pool about to be dropped as a whole
 */
void vtmem_object_forget_pool(struct vtmem_queue *q, struct vtmem_pool *pool)
{
	struct vtmem_object *object;
	struct hlist_node *next;
	unsigned int bucket;

	for (bucket = 0; bucket < HASH_SIZE(q->objects); bucket++) {
		spin_lock_irq(&q->lock);
		hlist_for_each_entry_safe(object, next, &q->objects[bucket],
					  node) {
			if (object->pool != pool)
				continue;
			vtmem_object_free_chunks(q, object);
			if (object->flush_all)
				list_del(&object->link);
			vtmem_object_free(object);
		}
		spin_unlock_irq(&q->lock);
	}
}
