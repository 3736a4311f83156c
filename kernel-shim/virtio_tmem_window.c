// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: gets of neighbours, ahead of need.
 *
 * Files are read ahead: the kernel asks for page after page. When a get is for
 * the page after the last one, it and the present pages behind it are asked for
 * in one request, into a window's block. Gets are then answered from there, and
 * MAX_AHEAD windows more are kept on the way, so that the host works while the
 * guest does: it takes longer for a window than the guest takes to copy one.
 *
 * A window is a copy, not a move: its pages stay present until they are taken,
 * and are then flushed, in runs. So a window that is not used up costs no hit.
 *   mask		pages that may be answered from it. A page that is put again
 *		leaves it, because the copy may be older
 *   present	what is not present is not answered from a window either: that is
 *		how a flush takes pages out of it
 */
#include <linux/highmem.h>
#include <linux/mm.h>

#include "vtmem.h"

/* Fewer pages than this are not worth a window. */
#define MIN_WINDOW_PAGES	4U

/* Windows on the way behind the one in use. */
#define MAX_AHEAD		2U

/**
 * vtmem_window_find() - find the window with a page
 * @q:		the page's queue, locked
 * @pool:	its pool
 * @key:	its key
 *
 * Return: a window that has the page, or, INFLIGHT, will; or NULL.
 */
struct vtmem_request *vtmem_window_find(struct vtmem_queue *q,
					const struct vtmem_pool *pool,
					const struct vtmem_key *key)
{
	struct vtmem_request *window;

	lockdep_assert_held(&q->lock);
	list_for_each_entry(window, &q->windows, link) {
		if (window->mask && vtmem_request_names(window, pool, key) &&
		    test_bit(key->index - window->key.index, &window->mask))
			return window;
	}
	return NULL;
}

/**
 * vtmem_window_forget() - a page is put: older copies are not valid any more
 * @q:		the page's queue, locked
 * @pool:	its pool
 * @key:	its key
 */
void vtmem_window_forget(struct vtmem_queue *q, const struct vtmem_pool *pool,
			 const struct vtmem_key *key)
{
	struct vtmem_request *window;

	list_for_each_entry(window, &q->windows, link) {
		if (window->mask && vtmem_request_names(window, pool, key))
			__clear_bit(key->index - window->key.index,
				    &window->mask);
	}
}

/* How many pages from @key on the host may have, up to a window's size. */
static unsigned int vtmem_window_pages(struct vtmem_queue *q,
				       const struct vtmem_pool *pool,
				       const struct vtmem_key *key)
{
	unsigned int most = min_t(unsigned int, VTMEM_BLOCK_PAGES,
				  q->dev->max_pages_per_request);
	struct vtmem_chunk *chunk = vtmem_chunk_find(q, pool, key);
	unsigned int first = key->index & (VTMEM_CHUNK_PAGES - 1);
	unsigned int end;

	if (!chunk)
		return 0;
	end = find_next_zero_bit(chunk->present, VTMEM_CHUNK_PAGES, first);
	return min(end - first, most);
}

/*
 * Asks for a window that starts with @key. With @used_up only a slot is taken
 * whose pages have all been taken, else the oldest. NULL if that cannot be.
 */
static struct vtmem_request *vtmem_window_submit(struct vtmem_queue *q,
						 struct vtmem_pool *pool,
						 const struct vtmem_key *key,
						 bool used_up)
{
	unsigned int nr_pages = vtmem_window_pages(q, pool, key);
	struct vtmem_request *window;

	if (nr_pages < MIN_WINDOW_PAGES)
		return NULL;
	list_for_each_entry(window, &q->windows, link) {
		if (window->state == VTMEM_REQ_INFLIGHT ||
		    window->nr_waiters || (used_up && window->mask))
			continue;
		window->op = VIRTIO_TMEM_OP_GET;
		window->flags = 0;
		window->pool = pool;
		window->pool_id = pool->id;
		window->key = *key;
		window->nr_pages = nr_pages;
		window->page = window->own_page;
		window->bytes = nr_pages * PAGE_SIZE;
		window->mask = GENMASK(nr_pages - 1, 0);
		list_move_tail(&window->link, &q->windows);
		if (vtmem_queue_submit(q, window)) {
			window->mask = 0;
			return NULL;
		}
		return window;
	}
	return NULL;
}

/*
 * Sees to it that the windows behind @window are on the way. The first may take
 * the slot of an older one that was not used up, which another reader may still
 * want; those after it may not. Returns whether any was asked for.
 */
static bool vtmem_window_ahead(struct vtmem_queue *q,
			       const struct vtmem_request *window)
{
	struct vtmem_pool *pool = window->pool;
	struct vtmem_key next = window->key;
	bool asked = false;
	unsigned int i;

	for (i = 0; i < MAX_AHEAD; i++) {
		next.index = window->key.index + window->nr_pages;
		if (next.index < window->key.index)
			break;
		window = vtmem_window_find(q, pool, &next);
		if (window)
			continue;
		window = vtmem_window_submit(q, pool, &next, i > 0);
		if (!window)
			break;
		asked = true;
	}
	return asked;
}

/**
 * vtmem_window_open() - ask for a page and its neighbours, if they are being read
 * @q:		the page's queue, locked and open
 * @pool:	an ephemeral pool
 * @key:	a page that is present and in no window
 *
 * Return: the window, submitted; NULL if the page is better asked for alone.
 */
struct vtmem_request *vtmem_window_open(struct vtmem_queue *q,
					struct vtmem_pool *pool,
					const struct vtmem_key *key)
{
	bool next = q->last_pool == pool &&
		    key->index == q->last_get.index + 1 &&
		    !memcmp(q->last_get.oid, key->oid, sizeof(key->oid));

	struct vtmem_request *window;

	q->last_pool = pool;
	q->last_get = *key;
	window = next ? vtmem_window_submit(q, pool, key, false) : NULL;
	if (window)
		vtmem_window_ahead(q, window);
	return window;
}

/**
 * vtmem_window_take() - answer a get from a window
 * @q:		a locked queue
 * @window:	a window with the page, not INFLIGHT
 * @key:	the page
 * @page:	where to copy it
 *
 * Return: whether another window was asked for, so that the device has to be
 *	   notified.
 */
bool vtmem_window_take(struct vtmem_queue *q, struct vtmem_request *window,
		       const struct vtmem_key *key, struct page *page)
{
	unsigned int i = key->index - window->key.index;

	copy_highpage(page, window->own_page + i);
	__clear_bit(i, &window->mask);
	q->last_pool = window->pool;
	q->last_get = *key;
	return i % (VTMEM_BLOCK_PAGES / 2) == 0 &&
	       q->state == VTMEM_QUEUE_OPEN && vtmem_window_ahead(q, window);
}

/**
 * vtmem_window_complete() - a window's answer is here
 * @q:		its queue, locked
 * @window:	the window; its result is set
 */
void vtmem_window_complete(struct vtmem_queue *q, struct vtmem_request *window)
{
	struct vtmem_key key = window->key;
	unsigned int missing = window->nr_done;
	struct vtmem_chunk *chunk;

	lockdep_assert_held(&q->lock);
	if (missing < window->nr_pages) {
		/* The host has dropped this page; those behind it, who knows. */
		key.index += missing;
		chunk = vtmem_chunk_find(q, window->pool, &key);
		if (chunk && test_bit(missing, &window->mask) &&
		    vtmem_chunk_clear_present(chunk, key.index)) {
			vtmem_count(q->dev, clean_misses);
			if (window->result != -ENOENT) {
				vtmem_flush_set_pending(q, chunk, key.index);
				queue_delayed_work(vtmem_workqueue,
						   &q->flush_work,
						   VTMEM_FLUSH_DELAY);
			}
			vtmem_chunk_release(q, chunk);
		}
		window->mask &= missing ? GENMASK(missing - 1, 0) : 0;
	}
	/* Pairs with the acquire in vtmem_poll(). */
	smp_store_release(&window->state, VTMEM_REQ_FREE);
	vtmem_wake_waiters(q, window);
}
