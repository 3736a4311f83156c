#include "driver.h"

#include "kernel.h"
#include "ring.h"
#include "vtmem.h"
#include "vtmem_rings.h"
#include "vtmem_session.h"
#include "vtmem_swapdev.h"

struct driver {
  struct vtmem_device dev;
  struct virtio_device vdev;
  struct vtmem_stats stats;
  unsigned int ring_size;
};

struct srcu_struct vtmem_srcu;
struct workqueue_struct *vtmem_workqueue;
unsigned int vtmem_poll_us = 1;
unsigned int vtmem_load_timeout_s;

/* --- in place of virtio_tmem_clock.c, _debugfs.c and _wishes.c ----------- */

/* A poller looks a few times: each look is a scheduling point. */
static u64 ticks;
u64 vtmem_clock_now(void) { return ticks++; }
u64 vtmem_clock_ns_since(u64 start) { return ticks - start; }
u64 vtmem_clock_cycles(unsigned int us) { return 2 * us; }

void vtmem_record_latency(struct vtmem_device *dev, enum vtmem_latency kind, u64 ns) {
  (void)dev;
  (void)kind;
  (void)ns;
}

/* This host wishes nothing. */
void vtmem_wishes_changed(struct vtmem_device *dev) { (void)dev; }

/* --- in place of virtio_tmem_rings.c and _swapdev.c ----------------------- */

void vtmem_open_request_queues(struct vtmem_device *dev) {
  unsigned int i;

  for (i = 1; i < dev->nr_queues; i++) vtmem_queue_open(&dev->queues[i]);
}

/* Puts make what they need themselves. */
int vtmem_swapdev_populate(struct vtmem_device *dev) {
  (void)dev;
  return 0;
}

/* --- the device's life, as virtio_tmem_core.c and _power.c have it ------- */

static void driver_make_rings(struct driver *driver) {
  struct vtmem_device *dev = &driver->dev;
  unsigned int i;

  for (i = 0; i < dev->nr_queues; i++)
    sim_check(!vtmem_queue_set_ring(&dev->queues[i],
                                    ring_create(&driver->vdev, i, driver->ring_size, vtmem_queue_callback)),
              "a ring of %u is too small", driver->ring_size);
  vtmem_queue_open(&dev->queues[0]);
}

static void driver_take_rings(struct driver *driver) {
  struct vtmem_device *dev = &driver->dev;
  struct virtqueue *vqs[VTMEM_MAX_QUEUES];
  unsigned int i;

  for (i = 0; i < dev->nr_queues; i++) {
    vqs[i] = dev->queues[i].vq;
    ring_reset(vqs[i]);
  }
  for (i = 0; i < dev->nr_queues; i++) vtmem_queue_close(&dev->queues[i]);
  for (i = 0; i < dev->nr_queues; i++) ring_free(vqs[i]);
}

struct driver *driver_create_bare(unsigned int nr_request_queues, unsigned int ring_size, uint64_t reserve) {
  struct driver *driver = calloc(1, sizeof(*driver));
  struct vtmem_device *dev = &driver->dev;
  unsigned int i;

  driver->ring_size = ring_size;
  driver->vdev.priv = dev;
  dev->vdev = &driver->vdev;
  dev->stats = &driver->stats;
  dev->reserve = reserve;
  dev->max_pages_per_request = 64;
  dev->nr_queues = 1 + nr_request_queues;
  mutex_init(&dev->control_mutex);
  INIT_LIST_HEAD(&dev->pools);
  vtmem_session_init(dev);
  dev->queues = calloc(VTMEM_MAX_QUEUES, sizeof(*dev->queues));
  for (i = 0; i < dev->nr_queues; i++) sim_check(!vtmem_queue_init(&dev->queues[i], dev, i), "no memory");
  sim_check(!vtmem_reserve_init(&dev->spares), "no memory");
  driver_make_rings(driver);
  sim_check(!vtmem_session_reset(dev), "no session");
  vtmem_open_request_queues(dev);
  return driver;
}

struct driver *driver_create(unsigned int nr_request_queues, unsigned int ring_size, uint64_t reserve) {
  struct driver *driver = driver_create_bare(nr_request_queues, ring_size, reserve);

  vtmem_blocks_alloc(&driver->dev, VTMEM_SLOT_STAGED);
  vtmem_blocks_alloc(&driver->dev, VTMEM_SLOT_WINDOW);
  return driver;
}

uint64_t driver_memory(const struct driver *driver) { return vtmem_memory(&driver->dev); }

void driver_free(struct driver *driver) {
  struct vtmem_device *dev = &driver->dev;
  unsigned int i;

  vtmem_session_hold(dev);
  for (i = 0; i < dev->nr_queues; i++) vtmem_queue_kill(&dev->queues[i]);
  for (i = 0; i < dev->nr_queues; i++) cancel_delayed_work_sync(&dev->queues[i].flush_work);
  driver_take_rings(driver);
  vtmem_session_hold(dev);
  vtmem_pool_free_all(dev);
  vtmem_reserve_free(&dev->spares);
  for (i = 0; i < dev->nr_queues; i++) vtmem_queue_free(&dev->queues[i]);
  free(dev->queues);
  free(driver);
}

int driver_suspend(struct driver *driver) {
  struct vtmem_device *dev = &driver->dev;
  unsigned int i;
  int err;

  vtmem_session_hold(dev);
  for (i = 0; i < dev->nr_queues; i++) {
    err = vtmem_queue_pause(&dev->queues[i]);
    if (err) {
      while (i--) vtmem_queue_open(&dev->queues[i]);
      vtmem_session_release(dev);
      return err;
    }
  }
  driver_take_rings(driver);
  return 0;
}

void driver_resume(struct driver *driver) {
  struct vtmem_device *dev = &driver->dev;

  driver_make_rings(driver);
  sim_check(!vtmem_session_go_on(dev, dev->disk_pool, true), "no session after suspend");
  dev->session_lost = false;
  vtmem_open_request_queues(dev);
  vtmem_session_release(dev);
}

/* --- what a front end does ----------------------------------------------- */

struct vtmem_pool *driver_pool_create(struct driver *driver, bool persistent) {
  struct vtmem_pool *pool = vtmem_pool_create(&driver->dev, persistent);

  sim_check(!IS_ERR(pool) || PTR_ERR(pool) == -ESTALE, "no pool");
  return IS_ERR(pool) ? NULL : pool;
}

struct vtmem_pool *driver_disk_create(struct driver *driver) {
  driver->dev.disk_pool = driver_pool_create(driver, true);
  return driver->dev.disk_pool;
}

bool driver_await_session(struct driver *driver) { return vtmem_session_await(&driver->dev); }

uint32_t driver_pool_id(const struct vtmem_pool *pool) { return pool->id; }
void driver_pool_destroy(struct vtmem_pool *pool) { vtmem_pool_destroy(pool); }

static int driver_put_by(int (*put)(struct vtmem_pool *pool, const struct vtmem_key *key, struct page *page),
                         struct vtmem_pool *pool, const struct vtmem_key *key, uint64_t content) {
  struct page *page = calloc(1, sizeof(*page));
  int err;

  page->references = 1;
  page->content = content;
  err = put(pool, key, page);
  page->content = ~content; /* it is used for something else */
  put_page(page);
  return err;
}

int driver_put(struct vtmem_pool *pool, uint64_t oid, uint32_t index, uint64_t content) {
  return driver_put_by(vtmem_put, pool, &(struct vtmem_key){{oid}, index}, content);
}

int driver_put_staged(struct vtmem_pool *pool, uint64_t oid, uint32_t index, uint64_t content) {
  return driver_put_by(vtmem_put_staged, pool, &(struct vtmem_key){{oid}, index}, content);
}

int driver_get(struct vtmem_pool *pool, uint64_t oid, uint32_t index, uint64_t *content) {
  struct page *page = calloc(1, sizeof(*page));
  int err = vtmem_get(pool, &(struct vtmem_key){{oid}, index}, page);

  *content = page->content;
  free(page);
  return err;
}

void driver_flush(struct vtmem_pool *pool, uint64_t oid, uint32_t index) {
  vtmem_flush(pool, &(struct vtmem_key){{oid}, index});
}

void driver_flush_object(struct vtmem_pool *pool, uint64_t oid) { vtmem_flush_object(pool, (u64[3]){oid}); }

/* --- what a test asks ---------------------------------------------------- */

void driver_settle(struct driver *driver) {
  struct vtmem_queue *q;
  unsigned int i, waited_ms = 0;
  bool idle;

  do {
    sim_block(sim_now() + 20);
    idle = true;
    for (i = 1; i < driver->dev.nr_queues; i++) {
      q = &driver->dev.queues[i];
      idle = idle && !q->nr_inflight && !q->nr_pending && !q->nr_open && list_empty(&q->dirty_objects);
    }
    waited_ms += 20;
    sim_check(waited_ms < 60000, "the queues do not run empty");
  } while (!idle);
}

int64_t driver_held(const struct driver *driver) { return driver->dev.nr_held.counter; }

unsigned int driver_kept(const struct driver *driver) {
  unsigned int i, kept = 0;

  for (i = 1; i < driver->dev.nr_queues; i++) kept += driver->dev.queues[i].nr_kept;
  return kept;
}

bool driver_keeps(struct vtmem_pool *pool, uint64_t oid, uint32_t index) {
  struct vtmem_key key = {{oid}, index};
  struct vtmem_queue *q = vtmem_pool_queue(pool, key.oid);
  bool kept;

  spin_lock_irq(&q->lock);
  kept = vtmem_staged_page(q, pool, &key);
  spin_unlock_irq(&q->lock);
  return kept;
}

bool driver_remembers(struct vtmem_pool *pool, uint64_t oid, uint32_t index) {
  struct vtmem_key key = {{oid}, index};
  struct vtmem_queue *q = vtmem_pool_queue(pool, key.oid);
  struct vtmem_chunk *chunk;
  bool present;

  spin_lock_irq(&q->lock);
  chunk = vtmem_chunk_find(q, pool, &key);
  present = chunk && vtmem_chunk_is_present(chunk, index);
  spin_unlock_irq(&q->lock);
  return present;
}

uint64_t driver_rekicks(const struct driver *driver) { return driver->stats.counter[VTMEM_COUNT_rekicks]; }
uint64_t driver_sleeps(const struct driver *driver) { return driver->stats.counter[VTMEM_COUNT_sleeps]; }
uint64_t driver_woken(void) { return kernel_nr_woken; }
