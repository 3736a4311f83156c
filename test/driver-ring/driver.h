/*
 * The driver as a front end sees it: a device with its rings, pools, and what is done to their pages.
 */
#ifndef TMEMD_TEST_DRIVER_RING_DRIVER_H
#define TMEMD_TEST_DRIVER_RING_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct driver;
struct vtmem_pool;

/** A device that was probed and has no front end: @ring_size descriptors a ring, @reserve pages. */
struct driver *driver_create_bare(unsigned int nr_request_queues, unsigned int ring_size, uint64_t reserve);
/** The same, and frontswap and cleancache have attached. */
struct driver *driver_create(unsigned int nr_request_queues, unsigned int ring_size, uint64_t reserve);
/** Bytes its queues take of the guest's memory. */
uint64_t driver_memory(const struct driver *driver);
/** As remove does it, when no front end is inside a call. */
void driver_free(struct driver *driver);
/** As S3 does it. Returns a negative errno if the device did not answer. */
int driver_suspend(struct driver *driver);
void driver_resume(struct driver *driver);

/** NULL: the host has lost the session. */
struct vtmem_pool *driver_pool_create(struct driver *driver, bool persistent);
/** The pool of a disk: a session that is lost is replaced from now on. */
struct vtmem_pool *driver_disk_create(struct driver *driver);
/** Waits for a session in place of a lost one, if the driver knows that it is lost. Returns whether there is one. */
bool driver_await_session(struct driver *driver);
uint32_t driver_pool_id(const struct vtmem_pool *pool);
void driver_pool_destroy(struct vtmem_pool *pool);

/** A put that is waited for, of a page that is overwritten once the call is over. */
int driver_put(struct vtmem_pool *pool, uint64_t oid, uint32_t index, uint64_t content);
int driver_put_staged(struct vtmem_pool *pool, uint64_t oid, uint32_t index, uint64_t content);
int driver_get(struct vtmem_pool *pool, uint64_t oid, uint32_t index, uint64_t *content);
void driver_flush(struct vtmem_pool *pool, uint64_t oid, uint32_t index);
void driver_flush_object(struct vtmem_pool *pool, uint64_t oid);

/** Waits until nothing is left in the rings, nor to be sent. */
void driver_settle(struct driver *driver);
/** Persistent pages the driver believes the host to hold. */
int64_t driver_held(const struct driver *driver);
/** Slots with copies that the host did not take. */
unsigned int driver_kept(const struct driver *driver);
/** Is the copy of this page the only one? */
bool driver_keeps(struct vtmem_pool *pool, uint64_t oid, uint32_t index);
/** Does the driver believe the host to have this page? */
bool driver_remembers(struct vtmem_pool *pool, uint64_t oid, uint32_t index);
/** Notifications repeated after a second: who waited so long had lost a wake-up, or the device was slow. */
uint64_t driver_rekicks(const struct driver *driver);
/** Waits that were longer than a poll. */
uint64_t driver_sleeps(const struct driver *driver);
/** Tasks that were woken, in all runs so far. */
uint64_t driver_woken(void);

#ifdef __cplusplus
}
#endif

#endif
