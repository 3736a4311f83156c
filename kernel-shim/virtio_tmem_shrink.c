// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: frontswap's pages on their way home.
 *
 * When the host wishes the guest to hold fewer pages, and before a device goes,
 * a thread brings pages back with frontswap_shrink(), a swapoff of so many pages
 * that goes through the page tables of all processes. Nothing new is stored
 * meanwhile, so what memory has no room for goes to the swap disk. There is room
 * on it: a page in frontswap occupies its slot of the disk all the time.
 *
 * Rounds are small, and there is none while memory and swap are as good as full,
 * because a page that comes home needs memory before it gives up its slot, and
 * the kernel would kill somebody to get it.
 *
 * frontswap_shrink() does not return when it is asked for as many pages as there
 * are, or when some of them go while it runs, as long as the swap area has other
 * pages: it searches on until it is interrupted, as the user of swapoff does.
 * Here a timer does, with a signal, once the pages are home or none has moved
 * for a while. The rest may be nobody's any more, see virtio_tmem_slots.c. Of
 * several swap areas frontswap_shrink() knows the first only.
 *
 * Two that search tmpfs at once, for frontswap_shrink() and for swapoff, may send
 * one of them round in circles for ever (shmem_unuse() in 5.10: who comes back to
 * a file that the other one has taken off the list stays there). swapoff comes
 * first: while one runs there is no round, and when rounds move nothing they
 * become rare.
 *
 * A page that is lost is the end of this thread, as of any that loads one.
 */
#include <linux/frontswap.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/oom.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <linux/swap.h>
#include <linux/timer.h>
#include <linux/wait.h>

#include "vtmem.h"
#include "vtmem_shrink.h"

/* Pages of a round, unless a 16th of all is more. */
#define ROUND_PAGES		1024

/* Of memory and swap together, one page in so many is left alone. */
#define RAM_PAGES_PER_SPARE	64

#define NO_ROOM_PAUSE		HZ
#define STUCK_AFTER		HZ
#define STUCK_PAUSE		(5UL * HZ)
#define STUCK_PAUSE_MAX		(20UL * HZ)
#define SWAPOFF_PAUSE		HZ
/* The pages are home, the host has not been told yet. */
#define FLUSH_PAUSE		(HZ / 10 + 1)
#define WATCH_INTERVAL		(HZ / 10 + 1)

/* A device that goes waits so long for a round's end. */
#define ROUND_END_TIMEOUT	(10 * HZ)

static void vtmem_shrink_watch(struct timer_list *timer);

/*
 * @lock:	guards the rest; taken by the timer too
 * @dev:	whose target counts, or NULL
 * @busy:	a round is under way
 * @goal:	the excess at which it is over
 * @excess:	as the timer saw it last
 * @moved:	when that changed, in jiffies
 * @stuck:	it did not for too long
 * @thread:	runs rounds; made once, as frontswap cannot be unregistered
 * @wait:	the thread, for an excess; others, for the end of a round
 * @next_round:	not before, in jiffies; the thread's own, as is
 * @stuck_pause: how long that is after the next round that moves nothing
 */
static struct {
	spinlock_t lock; /* nests in nothing */
	struct vtmem_device *dev;
	bool busy;
	u64 goal;
	u64 excess;
	unsigned long moved;
	bool stuck;
	struct timer_list timer;
	struct task_struct *thread;
	wait_queue_head_t wait;
	unsigned long next_round;
	unsigned long stuck_pause;
} shrink = {
	.lock = __SPIN_LOCK_UNLOCKED(shrink.lock),
	.timer = __TIMER_INITIALIZER(vtmem_shrink_watch, 0),
	.wait = __WAIT_QUEUE_HEAD_INITIALIZER(shrink.wait),
	.next_round = INITIAL_JIFFIES,
	.stuck_pause = STUCK_PAUSE,
};

/* Pages held beyond the target. Under the lock. */
static u64 vtmem_excess(void)
{
	u64 held, target;

	lockdep_assert_held(&shrink.lock);
	if (!shrink.dev)
		return 0;
	held = atomic_long_read(&shrink.dev->nr_held);
	target = READ_ONCE(shrink.dev->target);
	return held > target ? held - target : 0;
}

static bool vtmem_is_excess(void)
{
	bool excess;

	spin_lock_bh(&shrink.lock);
	excess = vtmem_excess() > 0;
	spin_unlock_bh(&shrink.lock);
	return excess;
}

static bool vtmem_is_busy(void)
{
	return READ_ONCE(shrink.busy);
}

/* Does a task run swapoff? It says so to the OOM killer. */
static bool vtmem_is_swapoff(void)
{
	struct task_struct *task;
	bool found = false;

	rcu_read_lock();
	for_each_process(task) {
		found = oom_task_origin(task);
		if (found)
			break;
	}
	rcu_read_unlock();
	return found;
}

/* Interrupts a round that has nothing left to do, or is in the way. */
static void vtmem_shrink_watch(struct timer_list *timer)
{
	u64 excess;
	bool over;

	spin_lock(&shrink.lock);
	excess = vtmem_excess();
	if (excess != shrink.excess) {
		shrink.excess = excess;
		shrink.moved = jiffies;
	}
	shrink.stuck = time_after(jiffies, shrink.moved + STUCK_AFTER);
	over = excess <= shrink.goal || shrink.stuck;
	spin_unlock(&shrink.lock);
	if (over || vtmem_is_swapoff())
		send_sig(SIGINT, shrink.thread, 1);
	else
		mod_timer(timer, jiffies + WATCH_INTERVAL);
}

/* How many of @excess pages there is memory for now. */
static unsigned long vtmem_shrink_pages(u64 excess)
{
	long spare = totalram_pages() / RAM_PAGES_PER_SPARE;
	long room = max(si_mem_available(), 0L) + get_nr_swap_pages() - spare;
	u64 round = max_t(u64, ROUND_PAGES, excess / 16);

	return room > 0 ? min3((u64)room, round, excess) : 0;
}

/* Returns how long to wait for the next round. */
static long vtmem_shrink_round(void)
{
	unsigned long before = frontswap_curr_pages(), pages;
	bool stuck;
	u64 excess;

	if (vtmem_is_swapoff())
		return SWAPOFF_PAUSE;
	if (time_before(jiffies, shrink.next_round)) {
		vtmem_slots_turn_over();
		return STUCK_PAUSE;
	}
	spin_lock_bh(&shrink.lock);
	excess = vtmem_excess();
	pages = vtmem_shrink_pages(excess);
	WRITE_ONCE(shrink.busy, pages > 0);
	shrink.goal = excess - pages;
	shrink.excess = excess;
	shrink.moved = jiffies;
	shrink.stuck = false;
	spin_unlock_bh(&shrink.lock);
	if (!excess)
		return 0;
	if (!pages)
		return NO_ROOM_PAUSE;

	mod_timer(&shrink.timer, jiffies + WATCH_INTERVAL);
	frontswap_shrink(before > pages ? before - pages : 0);
	del_timer_sync(&shrink.timer);
	flush_signals(current);

	spin_lock_bh(&shrink.lock);
	WRITE_ONCE(shrink.busy, false);
	stuck = shrink.stuck;
	spin_unlock_bh(&shrink.lock);
	wake_up_all(&shrink.wait);
	if (stuck) {
		vtmem_slots_turn_over();
		shrink.next_round = jiffies + shrink.stuck_pause;
		shrink.stuck_pause = min(2 * shrink.stuck_pause,
					 STUCK_PAUSE_MAX);
		return STUCK_PAUSE;
	}
	shrink.stuck_pause = STUCK_PAUSE;
	return frontswap_curr_pages() < before ? 0 : FLUSH_PAUSE;
}

static int vtmem_shrink_thread(void *unused)
{
	long pause;

	allow_signal(SIGINT);
	for (;;) {
		if (!vtmem_is_excess()) {
			shrink.next_round = jiffies;
			shrink.stuck_pause = STUCK_PAUSE;
			wait_event_idle(shrink.wait, vtmem_is_excess());
		}
		pause = vtmem_shrink_round();
		if (pause)
			schedule_timeout_idle(pause);
		else
			cond_resched();
	}
	return 0;
}

/**
 * vtmem_shrink_start() - follow a device's target
 * @dev: the device frontswap uses
 *
 * Return: 0 or a negative errno.
 */
int vtmem_shrink_start(struct vtmem_device *dev)
{
	struct task_struct *thread;

	if (!shrink.thread) {
		thread = kthread_create(vtmem_shrink_thread, NULL,
					"virtio_tmem");
		if (IS_ERR(thread))
			return PTR_ERR(thread);
		shrink.thread = thread;
		wake_up_process(thread);
	}
	spin_lock_bh(&shrink.lock);
	shrink.dev = dev;
	spin_unlock_bh(&shrink.lock);
	vtmem_shrink_wake();
	return 0;
}

/**
 * vtmem_shrink_wake() - the target has changed
 */
void vtmem_shrink_wake(void)
{
	wake_up_all(&shrink.wait);
}

/**
 * vtmem_shrink_all() - bring everything back
 * @dev: a device that is going; it stores nothing any more
 */
void vtmem_shrink_all(struct vtmem_device *dev)
{
	WRITE_ONCE(dev->target, 0);
	vtmem_shrink_wake();
}

/**
 * vtmem_shrink_stop() - follow a device's target no more
 * @dev: any device
 *
 * Context: may sleep.
 */
void vtmem_shrink_stop(struct vtmem_device *dev)
{
	spin_lock_bh(&shrink.lock);
	if (shrink.dev == dev)
		shrink.dev = NULL;
	spin_unlock_bh(&shrink.lock);
	wait_event_timeout(shrink.wait, !vtmem_is_busy(), ROUND_END_TIMEOUT);
}
