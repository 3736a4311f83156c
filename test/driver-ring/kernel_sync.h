/*
 * The kernel, as far as the guest driver's request layer uses it: locks, atomics, waits, work and the ring. Each is a
 * scheduling point, see sim.h.
 */
#ifndef TMEMD_TEST_DRIVER_RING_KERNEL_SYNC_H
#define TMEMD_TEST_DRIVER_RING_KERNEL_SYNC_H

#define HZ SIM_HZ
#define jiffies ((unsigned long)sim_now())
#define msecs_to_jiffies(ms) (ms)

#define READ_ONCE(x) (*({ sim_point(false); (volatile __typeof__(x) *)&(x); }))
#define WRITE_ONCE(x, value)                 \
  do {                                       \
    sim_point(false);                        \
    *(volatile __typeof__(x) *)&(x) = value; \
  } while (0)
#define smp_load_acquire(pointer) ({ sim_point(false); *(pointer); })
#define smp_store_release(pointer, value) \
  do {                                    \
    *(pointer) = (value);                 \
    sim_point(false);                     \
  } while (0)
#define cpu_relax() sim_point(true)
#define need_resched() false
#define cond_resched() sim_point(false)
#define usleep_range(low, high) ((void)sim_block(sim_now() + 1))

/* Before it happens and after: what comes next may find the world changed. */
#define ATOMIC_OP(type, suffix, number)                                            \
  typedef struct {                                                                 \
    number counter;                                                                \
  } type;                                                                          \
  static inline number suffix##_read(const type *v) {                              \
    sim_point(false);                                                              \
    return v->counter;                                                             \
  }                                                                                \
  static inline void suffix##_set(type *v, number value) { v->counter = value; }   \
  static inline number suffix##_add_return(number by, type *v) {                   \
    sim_point(false);                                                              \
    v->counter += by;                                                              \
    number now = v->counter;                                                       \
    sim_point(false);                                                              \
    return now;                                                                    \
  }                                                                                \
  static inline number suffix##_read_acquire(const type *v) { return suffix##_read(v); } \
  static inline void suffix##_add(number by, type *v) { suffix##_add_return(by, v); }  \
  static inline void suffix##_sub(number by, type *v) { suffix##_add_return(-by, v); } \
  static inline void suffix##_inc(type *v) { suffix##_add_return(1, v); }              \
  static inline void suffix##_dec(type *v) { suffix##_add_return(-1, v); }             \
  static inline number suffix##_dec_return_release(type *v) { return suffix##_add_return(-1, v); } \
  static inline number suffix##_inc_return(type *v) { return suffix##_add_return(1, v); }
ATOMIC_OP(atomic_t, atomic, int)
ATOMIC_OP(atomic_long_t, atomic_long, long)

/* --- locks --------------------------------------------------------------- */

typedef struct sim_lock spinlock_t;
struct mutex {
  struct sim_lock lock;
};

#define spin_lock_init(l) ((l)->owner = NULL)
#define spin_lock(l) sim_lock_take(l)
#define spin_unlock(l) sim_lock_drop(l)
#define spin_lock_irq(l) sim_lock_take(l)
#define spin_unlock_irq(l) sim_lock_drop(l)
#define spin_lock_irqsave(l, flags) ((flags) = 0, sim_lock_take(l))
#define spin_unlock_irqrestore(l, flags) ((void)(flags), sim_lock_drop(l))
#define spin_trylock_irqsave(l, flags) ((flags) = 0, sim_lock_try(l))
#define mutex_init(m) ((m)->lock.owner = NULL)
#define mutex_lock(m) kernel_mutex_lock(m)
#define mutex_unlock(m) sim_lock_drop(&(m)->lock)
#define lockdep_assert_held(l) sim_lock_assert((const struct sim_lock *)(l))

/* As long as it takes: time may pass meanwhile. */
static inline void kernel_mutex_lock(struct mutex *mutex) {
  while (!sim_lock_try(&mutex->lock)) sim_block(sim_now() + 1);
}

struct srcu_struct {
  int unused;
};
struct rcu_head {
  int unused;
};
struct completion {
  int unused;
};

/* --- waits --------------------------------------------------------------- */

#define TASK_UNINTERRUPTIBLE 2
#define TASK_NORMAL 3
#define WQ_FLAG_EXCLUSIVE 1

struct wait_queue_entry;
typedef int (*wait_queue_func_t)(struct wait_queue_entry *entry, unsigned int mode, int flags, void *key);
typedef struct wait_queue_head {
  struct list_head head;
} wait_queue_head_t;
typedef struct wait_queue_entry {
  unsigned int flags;
  struct sim_task *task;
  wait_queue_func_t func;
  struct list_head entry;
} wait_queue_entry_t;

/* Tasks that were woken from a wait queue, so far. */
extern u64 kernel_nr_woken;

int autoremove_wake_function(struct wait_queue_entry *entry, unsigned int mode, int flags, void *key);
void init_wait_entry(struct wait_queue_entry *entry, int flags);
void prepare_to_wait(struct wait_queue_head *head, struct wait_queue_entry *entry, int state);
void finish_wait(struct wait_queue_head *head, struct wait_queue_entry *entry);
long schedule_timeout(long timeout);
void __wake_up(struct wait_queue_head *head, unsigned int mode, int nr_exclusive, void *key);
static inline void prepare_to_wait_exclusive(struct wait_queue_head *head, struct wait_queue_entry *entry, int state) {
  entry->flags |= WQ_FLAG_EXCLUSIVE;
  prepare_to_wait(head, entry, state);
}

#define init_waitqueue_head(wq) INIT_LIST_HEAD(&(wq)->head)
#define DEFINE_WAIT(name)        \
  struct wait_queue_entry name;  \
  init_wait_entry(&name, 0)
#define wake_up_all(wq) __wake_up(wq, TASK_NORMAL, 0, NULL)
/* By looking again: returns whether it holds. */
#define wait_event_timeout(wq, condition, timeout)                                                   \
  ({                                                                                                 \
    (void)&(wq);                                                                                     \
    for (int64_t _end = sim_now() + (timeout); !(condition) && sim_now() < _end;) sim_block(sim_now() + 1); \
    (condition);                                                                                     \
  })
#define wake_up(wq) __wake_up(wq, TASK_NORMAL, 1, NULL)

/* --- work ---------------------------------------------------------------- */

struct workqueue_struct;
struct work_struct {
  void (*func)(struct work_struct *work);
  bool pending;
  bool running;
  bool again;
  unsigned int starting; /* fibers that will look at it */
};
struct delayed_work {
  struct work_struct work;
};

#define INIT_WORK(w, f) (*(w) = (struct work_struct){.func = (f)})
#define INIT_DELAYED_WORK(w, f) INIT_WORK(&(w)->work, f)
#define to_delayed_work(w) container_of(w, struct delayed_work, work)
#define queue_work(wq, w) kernel_queue_work(w, 0)
#define queue_delayed_work(wq, w, delay) kernel_queue_work(&(w)->work, delay)
#define cancel_work_sync(w) kernel_cancel_work(w)
#define cancel_delayed_work_sync(w) kernel_cancel_work(&(w)->work)
bool kernel_queue_work(struct work_struct *work, unsigned long delay);
bool kernel_cancel_work(struct work_struct *work);

/* --- the ring, whose other end is host.h --------------------------------- */

struct virtio_device {
  struct device dev;
  void *priv;
};
struct virtqueue {
  struct virtio_device *vdev;
  unsigned int index;
};
typedef void vq_callback_t(struct virtqueue *vq);

int virtqueue_add_sgs(struct virtqueue *vq, struct scatterlist *sgs[], unsigned int out, unsigned int in, void *data,
                      gfp_t gfp);
void *virtqueue_get_buf(struct virtqueue *vq, unsigned int *length);
void *virtqueue_detach_unused_buf(struct virtqueue *vq);
bool virtqueue_enable_cb(struct virtqueue *vq);
void virtqueue_disable_cb(struct virtqueue *vq);
bool virtqueue_kick_prepare(struct virtqueue *vq);
bool virtqueue_notify(struct virtqueue *vq);
bool virtqueue_is_broken(struct virtqueue *vq);
unsigned int virtqueue_get_vring_size(struct virtqueue *vq);

/* --- counters ------------------------------------------------------------ */

#define this_cpu_inc(counter) ((counter)++)

#endif
