// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: objects and chunks in reserve.
 *
 * Both are made by the put that needs them, which must not wait for memory: it
 * takes them from a reserve that a work item keeps full, and is refused in the
 * rare case that the reserve and the free memory are used up.
 */
#include <linux/slab.h>

#include "vtmem.h"

/* 64 chunks are room for 128 MiB of pages not seen before, in about 20 KiB. */
#define SPARES			64

/* When they are used up: what is free at once, and not the last of it. */
#define SPARE_GFP	(GFP_NOWAIT | __GFP_NOWARN | __GFP_NOMEMALLOC)

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
 * vtmem_reserve_refill() - fill the reserve now
 * @reserve: a reserve
 *
 * Context: may sleep.
 * Return: 0, or -ENOMEM if there is not a single object or chunk.
 */
int vtmem_reserve_refill(struct vtmem_reserve *reserve)
{
	vtmem_refill(&reserve->refill_work);
	return READ_ONCE(reserve->nr_chunks) &&
	       READ_ONCE(reserve->nr_objects) ? 0 : -ENOMEM;
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

/**
 * vtmem_reserve_object() - take an object
 * @reserve: a reserve
 *
 * Context: any but NMI.
 * Return: a zeroed object, or NULL if there is none and no memory.
 */
struct vtmem_object *vtmem_reserve_object(struct vtmem_reserve *reserve)
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

/**
 * vtmem_reserve_chunk() - take a chunk
 * @reserve: a reserve
 *
 * Context: any but NMI.
 * Return: a zeroed chunk, or NULL if there is none and no memory.
 */
struct vtmem_chunk *vtmem_reserve_chunk(struct vtmem_reserve *reserve)
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
