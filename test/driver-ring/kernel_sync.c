// Waits and work of kernel_sync.h, as kernel/sched/wait.c and kernel/workqueue.c have them.
#include "kernel.h"

u64 kernel_nr_woken;

static bool try_to_wake_up(struct sim_task *task) {
  bool *asleep = sim_asleep(task);

  if (!*asleep) return false;
  *asleep = false;
  kernel_nr_woken++;
  sim_wake(task);
  return true;
}

int autoremove_wake_function(struct wait_queue_entry *entry, unsigned int mode, int flags, void *key) {
  (void)mode;
  (void)flags;
  (void)key;
  if (!try_to_wake_up(entry->task)) return 0;
  list_del_init(&entry->entry);
  return 1;
}

void init_wait_entry(struct wait_queue_entry *entry, int flags) {
  entry->flags = flags;
  entry->task = sim_current();
  entry->func = autoremove_wake_function;
  INIT_LIST_HEAD(&entry->entry);
}

void prepare_to_wait(struct wait_queue_head *head, struct wait_queue_entry *entry, int state) {
  (void)state;
  sim_point(false);
  if (list_empty(&entry->entry)) {
    if (entry->flags & WQ_FLAG_EXCLUSIVE)
      list_add_tail(&entry->entry, &head->head);
    else
      list_add(&entry->entry, &head->head);
  }
  *sim_asleep(entry->task) = true;
  sim_point(false);
}

void finish_wait(struct wait_queue_head *head, struct wait_queue_entry *entry) {
  (void)head;
  *sim_asleep(entry->task) = false;
  sim_point(false);
  if (!list_empty(&entry->entry)) list_del_init(&entry->entry);
}

long schedule_timeout(long timeout) {
  bool *asleep = sim_asleep(sim_current());
  int64_t deadline = sim_now() + timeout;

  sim_point(false);
  if (*asleep) sim_block(deadline);
  *asleep = false;
  return deadline > sim_now() ? deadline - sim_now() : 0;
}

void __wake_up(struct wait_queue_head *head, unsigned int mode, int nr_exclusive, void *key) {
  struct wait_queue_entry *entry, *next;

  sim_point(false);
  list_for_each_entry_safe(entry, next, &head->head, entry) {
    unsigned int flags = entry->flags;
    int woken = entry->func(entry, mode, 0, key);

    if (woken < 0) break;
    if (woken && (flags & WQ_FLAG_EXCLUSIVE) && !--nr_exclusive) break;
  }
}

static void kernel_run_work(void *argument) {
  struct work_struct *work = argument;

  work->starting--;
  if (!work->pending) return;
  if (work->running) {
    work->again = true;
    return;
  }
  do {
    work->again = false;
    work->pending = false;
    work->running = true;
    work->func(work);
    work->running = false;
  } while (work->again && work->pending);
}

static void kernel_start_work(void *argument) {
  struct work_struct *work = argument;

  work->starting++;
  sim_spawn_detached("work", kernel_run_work, work);
}

bool kernel_queue_work(struct work_struct *work, unsigned long delay) {
  sim_point(false);
  if (work->pending) return false;
  work->pending = true;
  if (delay)
    sim_at(sim_now() + (int64_t)delay, kernel_start_work, work);
  else
    kernel_start_work(work);
  return true;
}

bool kernel_cancel_work(struct work_struct *work) {
  bool was_pending;

  sim_point(false);
  was_pending = work->pending;
  do {
    work->pending = false;
    sim_cancel(kernel_start_work, work);
    if (!work->starting && !work->running) break;
    sim_block(sim_now() + 1);
  } while (true);
  return was_pending;
}
