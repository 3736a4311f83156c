// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: KUnit tests of what has no device in it, that is,
 * what the guest remembers of its pages, how it turns invalidations into
 * flushes, and how latencies are counted.
 *
 * The files under test are included whole. Below them, in place of a ring,
 * is a list of the requests that would have entered it.
 */
#include <kunit/test.h>
#include <linux/slab.h>

#include "vtmem.h"

struct workqueue_struct *vtmem_workqueue;

#include "virtio_tmem_object.c"
#include "virtio_tmem_chunk.c"
#include "virtio_tmem_spares.c"
#include "virtio_tmem_flush.c"

#define TEST_SLOTS	8

struct vtmem_sent {
	u16 op;
	u64 oid[3];
	u32 index;
	u32 nr_pages;
};

/**
 * struct vtmem_test - a queue of a device that is not there
 * @dev:	the device, as far as the files under test look at it
 * @queue:	its only queue
 * @persistent:	a pool
 * @ephemeral:	another
 * @slots:	of the queue; all of them for flushes
 * @sent:	what was submitted
 * @nr_sent:	how many of them
 */
struct vtmem_test {
	struct vtmem_device dev;
	struct vtmem_queue queue;
	struct vtmem_pool persistent;
	struct vtmem_pool ephemeral;
	struct vtmem_request slots[TEST_SLOTS];
	struct vtmem_sent sent[TEST_SLOTS];
	unsigned int nr_sent;
};

/* --- in place of virtio_tmem_request.c ----------------------------------- */

struct vtmem_request *vtmem_queue_slot(struct vtmem_queue *q,
				       struct list_head *list)
{
	struct vtmem_request *req =
		list_first_entry_or_null(list, struct vtmem_request, link);

	if (req)
		list_del(&req->link);
	return req;
}

void vtmem_queue_put_slot(struct vtmem_queue *q, struct vtmem_request *req)
{
	list_add(&req->link, &q->free_flush);
}

int vtmem_queue_submit(struct vtmem_queue *q, struct vtmem_request *req)
{
	struct vtmem_test *test = container_of(q, struct vtmem_test, queue);
	struct vtmem_sent *sent = &test->sent[test->nr_sent++];

	sent->op = req->op;
	memcpy(sent->oid, req->key.oid, sizeof(sent->oid));
	sent->index = req->key.index;
	sent->nr_pages = req->nr_pages;
	return 0;
}

void vtmem_queue_harvest(struct vtmem_queue *q)
{
}

void vtmem_staged_close(struct vtmem_queue *q)
{
}

void vtmem_queue_unlock_kick(struct vtmem_queue *q, unsigned long flags)
	__releases(&q->lock)
{
	spin_unlock_irqrestore(&q->lock, flags);
}

/* --- what the tests say -------------------------------------------------- */

static struct vtmem_key vtmem_key(u64 object, u32 index)
{
	return (struct vtmem_key){ .oid = { object, 0, 0 }, .index = index };
}

/* As a put does; false if there was nothing to remember it with. */
static bool vtmem_test_put(struct vtmem_test *test, struct vtmem_pool *pool,
			   struct vtmem_key key)
{
	struct vtmem_queue *q = &test->queue;
	struct vtmem_chunk *chunk;

	spin_lock_irq(&q->lock);
	chunk = vtmem_chunk_get(q, pool, &key);
	if (chunk) {
		vtmem_flush_clear_pending(q, chunk, key.index, 1);
		vtmem_chunk_set_present(chunk, key.index);
	}
	spin_unlock_irq(&q->lock);
	return chunk;
}

/* As an invalidation does; false if the host certainly has no such page. */
static bool vtmem_test_invalidate(struct vtmem_test *test,
				  struct vtmem_pool *pool, struct vtmem_key key)
{
	struct vtmem_queue *q = &test->queue;
	struct vtmem_chunk *chunk;
	bool present = false;

	spin_lock_irq(&q->lock);
	chunk = vtmem_chunk_find(q, pool, &key);
	if (chunk && vtmem_chunk_clear_present(chunk, key.index)) {
		present = true;
		vtmem_flush_set_pending(q, chunk, key.index);
	}
	spin_unlock_irq(&q->lock);
	return present;
}

static void vtmem_test_flush(struct vtmem_test *test, unsigned int max)
{
	spin_lock_irq(&test->queue.lock);
	vtmem_flush_submit(&test->queue, max);
	spin_unlock_irq(&test->queue.lock);
}

static bool vtmem_test_has_chunk(struct vtmem_test *test,
				 struct vtmem_pool *pool, struct vtmem_key key)
{
	struct vtmem_chunk *chunk;

	spin_lock_irq(&test->queue.lock);
	chunk = vtmem_chunk_find(&test->queue, pool, &key);
	spin_unlock_irq(&test->queue.lock);
	return chunk;
}

static void vtmem_expect_sent(struct kunit *kunit, unsigned int n, u16 op,
			      u64 object, u32 index, u32 nr_pages)
{
	struct vtmem_test *test = kunit->priv;
	const struct vtmem_sent *sent = &test->sent[n];

	KUNIT_EXPECT_EQ(kunit, sent->op, op);
	KUNIT_EXPECT_EQ(kunit, sent->oid[0], object);
	KUNIT_EXPECT_EQ(kunit, sent->index, index);
	KUNIT_EXPECT_EQ(kunit, sent->nr_pages, nr_pages);
}

/* --- tests --------------------------------------------------------------- */

static void vtmem_test_neighbours_share_a_flush(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;
	static const u32 order[] = { 7, 5, 6, 20, 4 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(order); i++)
		KUNIT_ASSERT_TRUE(kunit,
				  vtmem_test_put(test, &test->persistent,
						 vtmem_key(1, order[i])));
	for (i = 0; i < ARRAY_SIZE(order); i++)
		vtmem_test_invalidate(test, &test->persistent,
				      vtmem_key(1, order[i]));
	KUNIT_EXPECT_EQ(kunit, test->queue.nr_pending, 5u);
	vtmem_test_flush(test, UINT_MAX);
	KUNIT_ASSERT_EQ(kunit, test->nr_sent, 2u);
	vtmem_expect_sent(kunit, 0, VIRTIO_TMEM_OP_FLUSH, 1, 4, 4);
	vtmem_expect_sent(kunit, 1, VIRTIO_TMEM_OP_FLUSH, 1, 20, 1);
	KUNIT_EXPECT_EQ(kunit, test->queue.nr_pending, 0u);
}

static void vtmem_test_chunks_are_apart(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;
	u32 edge = VTMEM_CHUNK_PAGES;

	vtmem_test_put(test, &test->persistent, vtmem_key(1, edge - 1));
	vtmem_test_put(test, &test->persistent, vtmem_key(1, edge));
	vtmem_test_put(test, &test->persistent, vtmem_key(1, U32_MAX));
	vtmem_test_invalidate(test, &test->persistent, vtmem_key(1, edge - 1));
	vtmem_test_invalidate(test, &test->persistent, vtmem_key(1, edge));
	vtmem_test_invalidate(test, &test->persistent, vtmem_key(1, U32_MAX));
	vtmem_test_flush(test, UINT_MAX);
	KUNIT_ASSERT_EQ(kunit, test->nr_sent, 3u);
	vtmem_expect_sent(kunit, 0, VIRTIO_TMEM_OP_FLUSH, 1, edge - 1, 1);
	vtmem_expect_sent(kunit, 1, VIRTIO_TMEM_OP_FLUSH, 1, edge, 1);
	vtmem_expect_sent(kunit, 2, VIRTIO_TMEM_OP_FLUSH, 1, U32_MAX, 1);
}

static void vtmem_test_absent_page_is_not_flushed(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;

	KUNIT_EXPECT_FALSE(kunit,
			   vtmem_test_invalidate(test, &test->persistent,
						 vtmem_key(1, 3)));
	vtmem_test_put(test, &test->persistent, vtmem_key(1, 3));
	KUNIT_EXPECT_FALSE(kunit,
			   vtmem_test_invalidate(test, &test->persistent,
						 vtmem_key(1, 4)));
	KUNIT_EXPECT_FALSE(kunit,
			   vtmem_test_invalidate(test, &test->ephemeral,
						 vtmem_key(1, 3)));
	vtmem_test_flush(test, UINT_MAX);
	KUNIT_EXPECT_EQ(kunit, test->nr_sent, 0u);
}

static void vtmem_test_put_takes_its_flush_back(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;
	u32 index;

	for (index = 0; index < 3; index++) {
		vtmem_test_put(test, &test->persistent, vtmem_key(1, index));
		vtmem_test_invalidate(test, &test->persistent,
				      vtmem_key(1, index));
	}
	vtmem_test_put(test, &test->persistent, vtmem_key(1, 1));
	vtmem_test_flush(test, UINT_MAX);
	KUNIT_ASSERT_EQ(kunit, test->nr_sent, 2u);
	vtmem_expect_sent(kunit, 0, VIRTIO_TMEM_OP_FLUSH, 1, 0, 1);
	vtmem_expect_sent(kunit, 1, VIRTIO_TMEM_OP_FLUSH, 1, 2, 1);
}

static void vtmem_test_flush_waits_for_a_slot(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;
	struct vtmem_request *last = &test->slots[TEST_SLOTS - 1];
	u32 index;

	for (index = 0; index < 2 * TEST_SLOTS + 2; index += 2) {
		vtmem_test_put(test, &test->persistent, vtmem_key(1, index));
		vtmem_test_invalidate(test, &test->persistent,
				      vtmem_key(1, index));
	}
	vtmem_test_flush(test, UINT_MAX);
	KUNIT_EXPECT_EQ(kunit, test->nr_sent, (unsigned int)TEST_SLOTS);
	KUNIT_EXPECT_EQ(kunit, test->queue.nr_pending, 1u);

	test->nr_sent = 0;
	vtmem_queue_put_slot(&test->queue, last);
	vtmem_test_flush(test, UINT_MAX);
	KUNIT_ASSERT_EQ(kunit, test->nr_sent, 1u);
	vtmem_expect_sent(kunit, 0, VIRTIO_TMEM_OP_FLUSH, 1, 2 * TEST_SLOTS, 1);
	KUNIT_EXPECT_EQ(kunit, test->queue.nr_pending, 0u);
}

static void vtmem_test_most_requests_a_round(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;
	u32 index;

	for (index = 0; index < 6; index += 2) {
		vtmem_test_put(test, &test->persistent, vtmem_key(1, index));
		vtmem_test_invalidate(test, &test->persistent,
				      vtmem_key(1, index));
	}
	vtmem_test_flush(test, 2);
	KUNIT_EXPECT_EQ(kunit, test->nr_sent, 2u);
	KUNIT_EXPECT_EQ(kunit, test->queue.nr_pending, 1u);
}

static void vtmem_test_object_flush_replaces_its_pages(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;
	struct vtmem_queue *q = &test->queue;
	struct vtmem_object *object;
	struct vtmem_key key = vtmem_key(5, 0);

	vtmem_test_put(test, &test->ephemeral, key);
	vtmem_test_put(test, &test->ephemeral, vtmem_key(5, 100000));
	vtmem_test_invalidate(test, &test->ephemeral, key);
	spin_lock_irq(&q->lock);
	object = vtmem_object_find(q, &test->ephemeral, key.oid);
	vtmem_flush_set_object(q, object);
	vtmem_flush_set_object(q, object);
	spin_unlock_irq(&q->lock);
	KUNIT_EXPECT_EQ(kunit, q->nr_pending, 0u);
	KUNIT_EXPECT_EQ(kunit, q->nr_ephemeral_chunks, 0u);
	vtmem_test_flush(test, UINT_MAX);
	KUNIT_ASSERT_EQ(kunit, test->nr_sent, 1u);
	vtmem_expect_sent(kunit, 0, VIRTIO_TMEM_OP_FLUSH_OBJECT, 5, 0, 0);
	KUNIT_EXPECT_TRUE(kunit, hash_empty(q->objects));
}

static void vtmem_test_empty_ephemeral_chunks_go(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;

	vtmem_test_put(test, &test->ephemeral, vtmem_key(1, 3));
	vtmem_test_put(test, &test->persistent, vtmem_key(1, 3));
	vtmem_test_invalidate(test, &test->ephemeral, vtmem_key(1, 3));
	vtmem_test_invalidate(test, &test->persistent, vtmem_key(1, 3));
	vtmem_test_flush(test, UINT_MAX);
	KUNIT_EXPECT_FALSE(kunit, vtmem_test_has_chunk(test, &test->ephemeral,
						       vtmem_key(1, 3)));
	KUNIT_EXPECT_TRUE(kunit, vtmem_test_has_chunk(test, &test->persistent,
						      vtmem_key(1, 3)));
	KUNIT_EXPECT_EQ(kunit, test->queue.nr_ephemeral_chunks, 0u);
}

static void vtmem_test_pools_are_apart(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;

	vtmem_test_put(test, &test->persistent, vtmem_key(1, 0));
	vtmem_test_put(test, &test->ephemeral, vtmem_key(1, 0));
	vtmem_test_put(test, &test->ephemeral, vtmem_key(2, 0));
	vtmem_test_invalidate(test, &test->ephemeral, vtmem_key(2, 0));
	vtmem_object_forget_pool(&test->queue, &test->ephemeral);
	KUNIT_EXPECT_EQ(kunit, test->queue.nr_pending, 0u);
	KUNIT_EXPECT_EQ(kunit, test->queue.nr_ephemeral_chunks, 0u);
	KUNIT_EXPECT_FALSE(kunit, vtmem_test_has_chunk(test, &test->ephemeral,
						       vtmem_key(1, 0)));
	KUNIT_EXPECT_TRUE(kunit, vtmem_test_has_chunk(test, &test->persistent,
						      vtmem_key(1, 0)));
	vtmem_test_flush(test, UINT_MAX);
	KUNIT_EXPECT_EQ(kunit, test->nr_sent, 0u);
}

static void vtmem_test_reserve_is_refilled(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;
	u64 object;

	/* Each put needs an object and a chunk of its own. */
	for (object = 0; object < SPARES; object++)
		KUNIT_ASSERT_TRUE(kunit,
				  vtmem_test_put(test, &test->persistent,
						 vtmem_key(object, 0)));
	flush_work(&test->dev.spares.refill_work);
	KUNIT_EXPECT_EQ(kunit, test->dev.spares.nr_chunks, (unsigned int)SPARES);
	KUNIT_EXPECT_TRUE(kunit, vtmem_test_put(test, &test->persistent,
						vtmem_key(SPARES, 0)));
}

static void vtmem_test_empty_reserve_takes_free_memory(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;
	struct vtmem_reserve *reserve = &test->dev.spares;
	struct vtmem_chunk *chunk, *next;
	LIST_HEAD(taken);

	flush_work(&reserve->refill_work);
	spin_lock_irq(&reserve->lock);
	list_splice_init(&reserve->chunks, &taken);
	spin_unlock_irq(&reserve->lock);
	KUNIT_EXPECT_TRUE(kunit, vtmem_test_put(test, &test->persistent,
						vtmem_key(1, 0)));
	list_for_each_entry_safe(chunk, next, &taken, link)
		kfree(chunk);
}

static void vtmem_test_ephemeral_chunks_are_bounded(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;

	unsigned int bound = totalram_pages() / RAM_PAGES_PER_EPHEMERAL_CHUNK;
	unsigned int object;

	for (object = 0; object < bound; object++)
		KUNIT_ASSERT_TRUE(kunit,
				  vtmem_test_put(test, &test->ephemeral,
						 vtmem_key(object, 0)));
	KUNIT_EXPECT_EQ(kunit, test->queue.nr_pending, 0U);

	/* The oldest makes room: its page is flushed, and then it goes. */
	KUNIT_EXPECT_TRUE(kunit, vtmem_test_put(test, &test->ephemeral,
						vtmem_key(object, 0)));
	KUNIT_EXPECT_EQ(kunit, test->queue.nr_pending, 1U);
	vtmem_test_flush(test, UINT_MAX);
	KUNIT_EXPECT_EQ(kunit, test->queue.nr_ephemeral_chunks, bound);
	KUNIT_EXPECT_FALSE(kunit, vtmem_test_has_chunk(test, &test->ephemeral,
						       vtmem_key(0, 0)));

	/* Where flushes are not sent there is an end to it. */
	INIT_LIST_HEAD(&test->queue.free_flush);
	while (test->queue.nr_ephemeral_chunks < 2 * bound)
		KUNIT_ASSERT_TRUE(kunit,
				  vtmem_test_put(test, &test->ephemeral,
						 vtmem_key(++object, 0)));
	KUNIT_EXPECT_FALSE(kunit, vtmem_test_put(test, &test->ephemeral,
						 vtmem_key(++object, 0)));
	KUNIT_EXPECT_TRUE(kunit, vtmem_test_put(test, &test->persistent,
						vtmem_key(1, 0)));
}

/* --- the suite ----------------------------------------------------------- */

static int vtmem_test_init(struct kunit *kunit)
{
	struct vtmem_test *test = kunit_kzalloc(kunit, sizeof(*test), GFP_KERNEL);
	struct vtmem_queue *q;
	unsigned int i;

	if (!test)
		return -ENOMEM;
	kunit->priv = test;
	q = &test->queue;
	vtmem_workqueue = system_wq;
	test->dev.stats = alloc_percpu(struct vtmem_stats);
	if (!test->dev.stats)
		return -ENOMEM;
	if (vtmem_reserve_init(&test->dev.spares)) {
		free_percpu(test->dev.stats);
		return -ENOMEM;
	}
	test->persistent.persistent = true;
	q->dev = &test->dev;
	test->dev.nr_queues = 2;
	q->state = VTMEM_QUEUE_OPEN;
	spin_lock_init(&q->lock);
	hash_init(q->objects);
	INIT_LIST_HEAD(&q->free_flush);
	INIT_LIST_HEAD(&q->ephemeral_chunks);
	INIT_LIST_HEAD(&q->dirty);
	INIT_LIST_HEAD(&q->dirty_objects);
	for (i = 0; i < TEST_SLOTS; i++)
		list_add_tail(&test->slots[i].link, &q->free_flush);
	return 0;
}

static void vtmem_test_exit(struct kunit *kunit)
{
	struct vtmem_test *test = kunit->priv;

	vtmem_object_forget_pool(&test->queue, &test->persistent);
	vtmem_object_forget_pool(&test->queue, &test->ephemeral);
	vtmem_reserve_free(&test->dev.spares);
	free_percpu(test->dev.stats);
}

/* Each bucket starts where the one before it ends, and none is too wide. */
static void vtmem_test_latency_buckets_meet(struct kunit *kunit)
{
	unsigned int bucket;

	for (bucket = 0; bucket < VTMEM_LATENCY_BUCKETS - 1; bucket++) {
		u64 from = vtmem_latency_from_ns(bucket);
		u64 end = vtmem_latency_from_ns(bucket + 1);

		KUNIT_EXPECT_EQ(kunit, vtmem_latency_bucket(from), bucket);
		KUNIT_EXPECT_EQ(kunit, vtmem_latency_bucket(end - 1), bucket);
		KUNIT_EXPECT_LE(kunit, end - from, max(from / 8, 1ULL));
	}
	KUNIT_EXPECT_EQ(kunit, vtmem_latency_bucket(U64_MAX), bucket);
	KUNIT_EXPECT_EQ(kunit, vtmem_latency_from_ns(bucket),
			BIT_ULL(VTMEM_LATENCY_LAST_LOG2));
}

static struct kunit_case vtmem_test_cases[] = {
	KUNIT_CASE(vtmem_test_neighbours_share_a_flush),
	KUNIT_CASE(vtmem_test_chunks_are_apart),
	KUNIT_CASE(vtmem_test_absent_page_is_not_flushed),
	KUNIT_CASE(vtmem_test_put_takes_its_flush_back),
	KUNIT_CASE(vtmem_test_flush_waits_for_a_slot),
	KUNIT_CASE(vtmem_test_most_requests_a_round),
	KUNIT_CASE(vtmem_test_object_flush_replaces_its_pages),
	KUNIT_CASE(vtmem_test_empty_ephemeral_chunks_go),
	KUNIT_CASE(vtmem_test_pools_are_apart),
	KUNIT_CASE(vtmem_test_reserve_is_refilled),
	KUNIT_CASE(vtmem_test_empty_reserve_takes_free_memory),
	KUNIT_CASE(vtmem_test_ephemeral_chunks_are_bounded),
	KUNIT_CASE(vtmem_test_latency_buckets_meet),
	{}
};

static struct kunit_suite vtmem_test_suite = {
	.name = "virtio_tmem",
	.init = vtmem_test_init,
	.exit = vtmem_test_exit,
	.test_cases = vtmem_test_cases,
};

kunit_test_suite(vtmem_test_suite);

MODULE_DESCRIPTION("KUnit tests of the virtio-tmem guest driver");
MODULE_LICENSE("GPL");
