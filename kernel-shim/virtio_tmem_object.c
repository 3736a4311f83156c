// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: the objects the guest remembers.
 *
 * A queue has a table of the objects that go through it, and an object a tree of
 * chunks, see virtio_tmem_chunk.c. An object of an ephemeral pool goes with its
 * last chunk; those of a persistent pool stay until the pool goes, because swap
 * uses the same offsets again and again.
 */
#include <linux/hash.h>
#include <linux/jhash.h>
#include <linux/slab.h>

#include "vtmem.h"

static u32 vtmem_object_hash(const struct vtmem_pool *pool, const u64 oid[3])
{
	return jhash2((const u32 *)oid, 3 * sizeof(u64) / sizeof(u32),
		      hash_ptr(pool, 32));
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

/**
 * vtmem_object_get() - find an object, or make it from the reserve
 * @q:		its queue, locked
 * @pool:	its pool
 * @oid:	its id
 *
 * Return: the object, or NULL if the reserve is empty.
 */
struct vtmem_object *vtmem_object_get(struct vtmem_queue *q,
				      struct vtmem_pool *pool,
				      const u64 oid[3])
{
	struct vtmem_object *object = vtmem_object_find(q, pool, oid);

	if (object)
		return object;
	object = vtmem_reserve_object(&q->dev->spares);
	if (!object)
		return NULL;
	object->pool = pool;
	memcpy(object->oid, oid, sizeof(object->oid));
	object->chunks = RB_ROOT;
	hash_add(q->objects, &object->node,
		 vtmem_object_hash(pool, object->oid));
	return object;
}

static void vtmem_object_free(struct vtmem_object *object)
{
	hash_del(&object->node);
	kfree(object);
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
