/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: what its files share.
 *
 * Model
 * -----
 * device	one virtio device, a control queue and 1..n request queues
 * pool		a namespace of pages on the host, persistent or ephemeral
 * object	192 bits inside a pool; every request of an object goes through
 *		the one request queue its hash selects, and a queue executes and
 *		completes in order. That is the only ordering there is.
 * page		an object and a 32-bit index
 * chunk	VTMEM_CHUNK_PAGES consecutive pages of an object, as the guest
 *		remembers them: which of them may be on the host, which of them
 *		wait to be flushed
 * request	a preallocated slot: wire header, wire response, a page of its
 *		own, bookkeeping
 *
 * A front end (frontswap) translates the kernel's calls into puts,
 * gets and flushes; it knows nothing of rings. The queue layer knows nothing of
 * swap.
 *
 * Life of a request
 * -----------------
 *   FREE -> INFLIGHT -> DONE -> FREE	its waiter collects the result
 *   FREE -> INFLIGHT -> FREE		nobody waits (flushes)
 *   INFLIGHT -> ABANDONED -> FREE	its waiter gave up; the page it named
 *					stays pinned until the device answers or
 *					the ring is reset, because until then
 *					the device may still touch it
 *
 * Locks
 * -----
 * vtmem_device.control_mutex	serialises control requests' callers
 *   vtmem_queue.lock		the ring, the slots, the chunks of that queue;
 *				taken with interrupts off, also by the
 *				interrupt handler; nothing sleeps under it
 *     vtmem_reserve.lock	the lists of spare objects and chunks
 *
 * Front ends hold vtmem_srcu for reading while they use a device or a pool, so
 * that removing either waits for them.
 */
#ifndef _VTMEM_H
#define _VTMEM_H

#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/hashtable.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/percpu.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/virtio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <uapi/linux/virtio_tmem.h>

/* Pages a chunk covers; an object may be larger than that. */
#define VTMEM_CHUNK_SHIFT	9
#define VTMEM_CHUNK_PAGES	((u32)BIT(VTMEM_CHUNK_SHIFT))

/* How long a remembered flush waits for others to travel with. */
#define VTMEM_FLUSH_DELAY	msecs_to_jiffies(20)

/* After this long what may fail gives up: a put, an ephemeral get. */
#define VTMEM_TIMEOUT_S		1

/* Flushes that travel with a put or get: bounds what they add to its answer. */
#define VTMEM_PIGGYBACK_FLUSHES	4

/* Pages to flush that do not wait for company. */
#define VTMEM_FLUSH_BATCH	128

#define VTMEM_QUEUE_NAME_SIZE	16

struct vtmem_device;

/**
 * struct vtmem_key - names a page inside a pool
 * @oid:	object id
 * @index:	page of the object
 */
struct vtmem_key {
	u64 oid[3];
	u32 index;
};

/**
 * struct vtmem_pool - a pool on the host
 * @link:	on its device's list
 * @dev:	its device
 * @id:		the host's name for it, valid for one session
 * @persistent:	false: the host may drop any page at any time
 * @inflight:	requests of this pool in some ring
 */
struct vtmem_pool {
	struct list_head link;
	struct vtmem_device *dev;
	u32 id;
	bool persistent;
	atomic_t inflight;
};

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
};

/**
 * struct vtmem_request - a slot of a queue
 * @state:	guarded by the queue's lock; DONE is published with release
 *		semantics so that a waiter may look without the lock
 * @detached:	nobody waits for the result
 * @link:	on @home while free
 * @home:	the free list the slot returns to
 * @wire:	DMA memory of this slot
 * @pool:	pool of a page request, NULL for a control request
 * @pool_id:	the request's pool field
 * @flags:	the request's flags field
 * @own_page:	the slot's page; NULL in slots for flushes
 * @page:	page a PUT or GET names: @own_page, or for a PUT its caller's
 * @op:		VIRTIO_TMEM_OP_*
 * @key:	object and first page
 * @nr_pages:	pages asked for
 * @submitted:	vtmem_clock_now() when it entered the ring
 * @result:	0 or a negative errno, valid in DONE
 * @value:	the response's value, valid in DONE
 */
struct vtmem_request {
	enum vtmem_request_state state;
	bool detached;
	struct list_head link;
	struct list_head *home;
	struct vtmem_wire *wire;
	struct vtmem_pool *pool;
	struct page *own_page;
	struct page *page;
	u16 op;
	u16 flags;
	u32 pool_id;
	struct vtmem_key key;
	u32 nr_pages;
	u64 submitted;
	int result;
	u64 value;
};

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
 * @wait:	those tasks
 * @requests:	all slots
 * @nr_requests: their number
 * @wires:	their DMA memory
 * @free:	slots for requests somebody waits for
 * @free_flush:	slots reserved for flushes
 * @nr_inflight: slots in the ring
 * @nr_unkicked: puts submitted since the device was last notified
 * @objects:	by pool and id
 * @nr_ephemeral_chunks: of all objects of ephemeral pools
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
	wait_queue_head_t wait;

	struct vtmem_request *requests;
	unsigned int nr_requests;
	struct vtmem_wire *wires;
	struct list_head free;
	struct list_head free_flush;
	unsigned int nr_inflight;

	unsigned int nr_unkicked;

	DECLARE_HASHTABLE(objects, 10);
	unsigned int nr_ephemeral_chunks;
	struct list_head dirty;
	struct list_head dirty_objects;
	unsigned int nr_pending;
	struct delayed_work flush_work;
};

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

/* Latency histograms: bucket n counts [2^n, 2^(n+1)) ns, the last all above. */
#define VTMEM_LATENCY_BUCKETS	36

enum vtmem_latency {
	VTMEM_LATENCY_PUT,
	VTMEM_LATENCY_GET,
	VTMEM_LATENCY_FLUSH,
	VTMEM_NR_LATENCIES,
};

/*
 * Counters, each a file of that name in debugfs. The first four are what
 * kernel developers know from frontswap; here they count what this driver
 * answered.
 */
enum vtmem_counter {
	VTMEM_COUNT_loads,
	VTMEM_COUNT_succ_stores,
	VTMEM_COUNT_failed_stores,
	VTMEM_COUNT_invalidates,
	VTMEM_COUNT_refused_host,	/* capacity, limit, frozen */
	VTMEM_COUNT_refused_huge_page,
	VTMEM_COUNT_refused_no_pool,
	VTMEM_COUNT_refused_no_chunk,	/* the reserve of chunks was empty */
	VTMEM_COUNT_refused_stalled,	/* the service does not answer */
	VTMEM_COUNT_refused_timeout,
	VTMEM_COUNT_refused_error,	/* another answer, a broken ring */
	VTMEM_COUNT_lost_loads,		/* failed after a successful store */
	VTMEM_COUNT_flush_requests,
	VTMEM_COUNT_flush_failures,
	VTMEM_COUNT_kicks,
	VTMEM_COUNT_rekicks,
	VTMEM_COUNT_sleeps,
	VTMEM_COUNT_interrupts,
	VTMEM_COUNT_timeouts,
	VTMEM_COUNT_late_completions,
	VTMEM_COUNT_bad_responses,
	VTMEM_NR_COUNTERS,
};

/* One per CPU; sums are taken by the reader. */
struct vtmem_stats {
	u64 counter[VTMEM_NR_COUNTERS];
	u64 latency[VTMEM_NR_LATENCIES][VTMEM_LATENCY_BUCKETS];
};

/**
 * struct vtmem_device - one virtio-tmem device
 * @vdev:	the virtio device
 * @session:	the session id RESET returned, for ATTACH
 * @capabilities: VIRTIO_TMEM_CAP_*
 * @reserve:	pages the host guarantees to take
 * @limit:	most persistent pages, 0: none set
 * @target:	pages the host asks us to come down to
 * @config_work: re-reads limit and target
 * @queues:	control queue, then the request queues
 * @nr_queues:	of both kinds
 * @control_mutex: serialises control requests
 * @pools:	every pool, guarded by @control_mutex
 * @refuse_puts: front ends put nothing any more: being removed or hibernated
 * @removing:	loads have a limit to their patience
 * @hibernating: what the host holds will not fit the memory image
 * @pm_notifier: learns of hibernation before it starts
 * @spares:	objects and chunks for puts
 * @stats:	per-CPU counters
 * @debugfs:	their directory
 */
struct vtmem_device {
	struct virtio_device *vdev;
	u64 session;
	u32 capabilities;
	u64 reserve;
	u64 limit;
	u64 target;
	struct work_struct config_work;

	struct vtmem_queue *queues;
	unsigned int nr_queues;
	struct mutex control_mutex; /* may be held while waiting for the host */
	struct list_head pools;
	bool refuse_puts;
	bool removing;
	bool hibernating;
	struct notifier_block pm_notifier;

	struct vtmem_reserve spares;

	struct vtmem_stats __percpu *stats;
	struct dentry *debugfs;
};

/* virtio_tmem_core.c */
extern struct srcu_struct vtmem_srcu;
extern struct workqueue_struct *vtmem_workqueue;
extern unsigned int vtmem_poll_us;
extern unsigned int vtmem_load_timeout_s;

/* virtio_tmem_clock.c */
void vtmem_clock_calibrate(void);
u64 vtmem_clock_now(void);
u64 vtmem_clock_ns_since(u64 start);
u64 vtmem_clock_cycles(unsigned int us);

/* virtio_tmem_queue.c */
int vtmem_queue_init(struct vtmem_queue *q, struct vtmem_device *dev,
		     unsigned int index);
void vtmem_queue_free(struct vtmem_queue *q);
int vtmem_queue_set_ring(struct vtmem_queue *q, struct virtqueue *vq);
void vtmem_queue_open(struct vtmem_queue *q);
int vtmem_queue_pause(struct vtmem_queue *q);
void vtmem_queue_kill(struct vtmem_queue *q);
void vtmem_queue_close(struct vtmem_queue *q);

/* virtio_tmem_request.c */
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

/* virtio_tmem_wait.c */
bool vtmem_wait_slot(struct vtmem_queue *q, long timeout);
int vtmem_wait(struct vtmem_queue *q, struct vtmem_request *req,
	       struct page *to, u64 *value);
unsigned int vtmem_load_patience_s(struct vtmem_device *dev);

/* virtio_tmem_page.c */
int vtmem_put(struct vtmem_pool *pool, const struct vtmem_key *key,
	      struct page *page);
int vtmem_get(struct vtmem_pool *pool, const struct vtmem_key *key,
	      struct page *page);
void vtmem_flush(struct vtmem_pool *pool, const struct vtmem_key *key);
int vtmem_submit_page(struct vtmem_queue *q, struct vtmem_request *req, u16 op,
		      u16 op_flags, struct vtmem_pool *pool,
		      const struct vtmem_key *key, struct page *page);

/* virtio_tmem_object.c */
int vtmem_reserve_init(struct vtmem_reserve *reserve);
void vtmem_reserve_free(struct vtmem_reserve *reserve);
struct vtmem_object *vtmem_object_find(struct vtmem_queue *q,
				       const struct vtmem_pool *pool,
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
void vtmem_chunk_set_present(struct vtmem_chunk *chunk, u32 index);
bool vtmem_chunk_clear_present(struct vtmem_chunk *chunk, u32 index);
void vtmem_chunk_release(struct vtmem_queue *q, struct vtmem_chunk *chunk);

/* virtio_tmem_flush.c */
void vtmem_flush_set_pending(struct vtmem_queue *q, struct vtmem_chunk *chunk,
			     u32 index);
void vtmem_flush_clear_pending(struct vtmem_queue *q,
			       struct vtmem_chunk *chunk, u32 index,
			       u32 nr_pages);
bool vtmem_flush_is_pending(const struct vtmem_chunk *chunk, u32 index);
void vtmem_flush_set_object(struct vtmem_queue *q,
			    struct vtmem_object *object);
bool vtmem_flush_submit_object(struct vtmem_queue *q,
			       struct vtmem_object *object);
bool vtmem_flush_submit(struct vtmem_queue *q, unsigned int max);
void vtmem_flush_work(struct work_struct *work);

/* virtio_tmem_pool.c */
int vtmem_session_reset(struct vtmem_device *dev);
int vtmem_session_attach(struct vtmem_device *dev);
int vtmem_session_pages(struct vtmem_device *dev, u64 *pages);
struct vtmem_pool *vtmem_pool_create(struct vtmem_device *dev,
				     bool persistent);
void vtmem_pool_destroy(struct vtmem_pool *pool);
int vtmem_pool_recreate_all(struct vtmem_device *dev);
void vtmem_pool_free_all(struct vtmem_device *dev);
struct vtmem_queue *vtmem_pool_queue(struct vtmem_pool *pool,
				     const u64 oid[3]);

/* virtio_tmem_frontswap.c */
int vtmem_frontswap_attach(struct vtmem_device *dev);
void vtmem_frontswap_drain(struct vtmem_device *dev);
void vtmem_frontswap_detach(struct vtmem_device *dev);
void vtmem_frontswap_shrink_to(u64 pages);

/* virtio_tmem_debugfs.c */
void vtmem_debugfs_create(struct vtmem_device *dev);
void vtmem_debugfs_remove(struct vtmem_device *dev);
void vtmem_record_latency(struct vtmem_device *dev, enum vtmem_latency kind,
			  u64 ns);

#define vtmem_count(dev, name) \
	this_cpu_inc((dev)->stats->counter[VTMEM_COUNT_##name])

#endif /* _VTMEM_H */
