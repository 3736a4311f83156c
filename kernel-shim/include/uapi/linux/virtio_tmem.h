/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-tmem, version 1: transcendent memory over virtio.
 *
 * The one definition of the wire format. The guest driver, the device in
 * addon/ and the driver-side mock in test/ include this file; the constants of
 * the control plane are checked against it by a test. PROTOCOL.md says what
 * the fields mean.
 *
 * Everything on the wire is little endian. A page is 4096 bytes in every
 * count, in config space and elsewhere.
 */
#ifndef _UAPI_LINUX_VIRTIO_TMEM_H
#define _UAPI_LINUX_VIRTIO_TMEM_H

#include <linux/types.h>

/*
 * Default virtio device id. VMMs refuse ids they have no name for; this one
 * is named in the standard and no Linux driver binds to it.
 */
#define VIRTIO_TMEM_DEFAULT_DEVICE_ID	13

#define VIRTIO_TMEM_MAGIC		0x4d454d54	/* "TMEM" */
#define VIRTIO_TMEM_VERSION		1
#define VIRTIO_TMEM_PAGE_SHIFT		12
#define VIRTIO_TMEM_MAX_PAGES_PER_REQUEST	256

/* Queue 0 takes control requests, queues 1..n take page requests. */
#define VIRTIO_TMEM_CONTROL_QUEUE	0

/* virtio_tmem_config.capabilities */
#define VIRTIO_TMEM_CAP_PERSISTENT	(1U << 0)
#define VIRTIO_TMEM_CAP_EPHEMERAL	(1U << 1)
#define VIRTIO_TMEM_CAP_SHARED		(1U << 2)	/* reserved */
#define VIRTIO_TMEM_CAP_EXCLUSIVE_GET	(1U << 3)
#define VIRTIO_TMEM_CAP_TARGET		(1U << 4)

/* virtio_tmem_config.persistent_target: the host has no wish */
#define VIRTIO_TMEM_NO_TARGET		(~0ULL)

struct virtio_tmem_config {
	__le32 magic;
	__le16 version;
	__le16 num_request_queues;
	__le32 capabilities;
	__le32 page_shift_mask;		/* bit n: pages of 2^n bytes; bit 12 always */
	__le16 max_pages_per_request;	/* 1..256 */
	__le16 max_pools;
	__le32 reserved;
	__le64 persistent_reserve;	/* pages that cannot be refused */
	__le64 persistent_limit;	/* most persistent pages, 0: none set */
	__le64 persistent_target;	/* pages the host asks to come down to */
	__u8 reserved2[16];
};

/* Control queue */
#define VIRTIO_TMEM_OP_RESET		0x01
#define VIRTIO_TMEM_OP_POOL_CREATE	0x02
#define VIRTIO_TMEM_OP_POOL_DESTROY	0x03
#define VIRTIO_TMEM_OP_STAT		0x04
#define VIRTIO_TMEM_OP_ATTACH		0x05
/* Request queues */
#define VIRTIO_TMEM_OP_PUT		0x10
#define VIRTIO_TMEM_OP_GET		0x11
#define VIRTIO_TMEM_OP_FLUSH		0x12
#define VIRTIO_TMEM_OP_FLUSH_OBJECT	0x13

/* virtio_tmem_req.flags of POOL_CREATE */
#define VIRTIO_TMEM_POOL_PERSISTENT	(1U << 0)
#define VIRTIO_TMEM_POOL_SHARED		(1U << 1)	/* reserved: DENIED */
/* virtio_tmem_req.flags of GET */
#define VIRTIO_TMEM_GET_EXCLUSIVE	(1U << 0)

/* virtio_tmem_req.pool of STAT: every pool of the guest */
#define VIRTIO_TMEM_ALL_POOLS		0xffffffffU
/*
 * ... persistent_target and persistent_limit as they are now, as in config
 * space; NO_POOL from an older device
 */
#define VIRTIO_TMEM_STAT_TARGET		0xfffffffeU
#define VIRTIO_TMEM_STAT_LIMIT		0xfffffffdU

struct virtio_tmem_req {
	__le16 op;
	__le16 flags;
	__le32 pool;
	__le64 oid[3];
	__le32 index;
	__le32 nr_pages;
};

#define VIRTIO_TMEM_S_OK		0
#define VIRTIO_TMEM_S_MISS		1
#define VIRTIO_TMEM_S_REFUSED		2
#define VIRTIO_TMEM_S_BAD_REQUEST	3
#define VIRTIO_TMEM_S_NO_POOL		4
#define VIRTIO_TMEM_S_DENIED		5
#define VIRTIO_TMEM_S_CORRUPT		6
#define VIRTIO_TMEM_S_NO_SESSION	7
#define VIRTIO_TMEM_S_TOO_MANY		8

struct virtio_tmem_resp {
	__le32 status;
	__le32 nr_done;
	__le64 value;
};

#endif /* _UAPI_LINUX_VIRTIO_TMEM_H */
