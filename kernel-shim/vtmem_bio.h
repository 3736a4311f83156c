/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: a read or write of the swap block device.
 */
#ifndef _VTMEM_BIO_H
#define _VTMEM_BIO_H

#include <linux/bio.h>
#include <linux/list.h>

struct page;
struct vtmem_chunk;
struct vtmem_key;
struct vtmem_pool;
struct vtmem_queue;

/**
 * struct vtmem_io - a read or write on its way
 * @pool:	the disk's
 * @bio:	what is asked for
 * @rest:	what is not submitted yet
 * @inflight:	requests, oldest first
 * @unkicked:	a queue with requests the device was not told of, or NULL
 * @may_repeat:	a write is made again if there was no session for it
 * @err:	the first error
 */
struct vtmem_io {
	struct vtmem_pool *pool;
	struct bio *bio;
	struct bvec_iter rest;
	struct list_head inflight;
	struct vtmem_queue *unkicked;
	bool may_repeat;
	int err;
};

void vtmem_bio_copy(struct bio *bio, struct bvec_iter iter, struct page *page,
		    bool to_bio);
bool vtmem_on_host(const struct vtmem_chunk *chunk, u32 index);
unsigned int vtmem_run(const struct vtmem_chunk *chunk, u32 index,
		       unsigned int max);
unsigned int vtmem_submit_stretch(struct vtmem_queue *q, struct vtmem_io *io,
				  struct vtmem_chunk *chunk,
				  const struct vtmem_key *key,
				  unsigned int max);

#endif /* _VTMEM_BIO_H */
