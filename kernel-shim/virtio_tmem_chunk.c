// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: what the guest remembers of its pages.
 *
 * A chunk of an object has two bits a page:
 *   present	the page was put and neither flushed nor taken since. The host
 *		may have dropped an ephemeral page all the same; a page that is
 *		not present is certainly not there
 *   pending	the page is to be flushed, see virtio_tmem_flush.c
 *
 * A chunk of an ephemeral pool goes when none of its bits is set; those of a
 * persistent pool stay. Ephemeral chunks are bounded, since there may be very
 * many files: beyond the bound the pages of the oldest are flushed.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "vtmem.h"

/*
 * Ephemeral chunks of all queues: one for 16 pages of the guest's memory, which
 * is 0.4 % of it. Small files have one each.
 */
#define RAM_PAGES_PER_EPHEMERAL_CHUNK	16

/**
 * vtmem_chunk_free() - forget a chunk, whatever is remembered in it
 * @q:		its queue, locked
 * @chunk:	the chunk; its object stays
 */
void vtmem_chunk_free(struct vtmem_queue *q, struct vtmem_chunk *chunk)
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
	struct vtmem_object *object;

	if (chunk)
		return chunk;
	if (!pool->persistent && !vtmem_chunk_make_room(q))
		return NULL;
	chunk = vtmem_reserve_chunk(&q->dev->spares);
	if (!chunk)
		return NULL;
	object = vtmem_object_get(q, pool, key->oid);
	if (!object) {
		kfree(chunk);
		return NULL;
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
	struct vtmem_chunk *chunk;

	for (;;) {
		spin_lock_irq(&q->lock);
		chunk = vtmem_chunk_get(q, pool, key);
		spin_unlock_irq(&q->lock);
		if (chunk)
			return 0;
		if (vtmem_reserve_refill(&q->dev->spares))
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
