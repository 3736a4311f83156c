/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: tracepoints, one for each operation on pages, with
 * the time it took. For put and get that is from the call to the answer, for
 * flush from submission to the moment the answer was seen.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM virtio_tmem

#if !defined(_VIRTIO_TMEM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _VIRTIO_TMEM_TRACE_H

#include <linux/tracepoint.h>

#include "vtmem.h"

DECLARE_EVENT_CLASS(virtio_tmem_page,
		    TP_PROTO(const struct vtmem_pool *pool,
			     const struct vtmem_key *key, unsigned int queue,
			     u64 ns, int err),
		    TP_ARGS(pool, key, queue, ns, err),
		    TP_STRUCT__entry(__field(u64, oid0)
				     __field(u64, oid1)
				     __field(u64, oid2)
				     __field(u64, ns)
				     __field(u32, pool)
				     __field(u32, index)
				     __field(u32, queue)
				     __field(int, err)),
		    TP_fast_assign(__entry->oid0 = key->oid[0];
				   __entry->oid1 = key->oid[1];
				   __entry->oid2 = key->oid[2];
				   __entry->ns = ns;
				   __entry->pool = pool->id;
				   __entry->index = key->index;
				   __entry->queue = queue;
				   __entry->err = err;),
		    TP_printk("pool=%u oid=%llx.%llx.%llx index=%u queue=%u ns=%llu err=%d",
			      __entry->pool, __entry->oid0, __entry->oid1,
			      __entry->oid2, __entry->index, __entry->queue,
			      __entry->ns, __entry->err)
);

DEFINE_EVENT(virtio_tmem_page, virtio_tmem_put,
	     TP_PROTO(const struct vtmem_pool *pool,
		      const struct vtmem_key *key, unsigned int queue,
		      u64 ns, int err),
	     TP_ARGS(pool, key, queue, ns, err)
);

DEFINE_EVENT(virtio_tmem_page, virtio_tmem_get,
	     TP_PROTO(const struct vtmem_pool *pool,
		      const struct vtmem_key *key, unsigned int queue,
		      u64 ns, int err),
	     TP_ARGS(pool, key, queue, ns, err)
);

TRACE_EVENT(virtio_tmem_flush,
	    TP_PROTO(const struct vtmem_request *req, unsigned int queue,
		     u64 ns),
	    TP_ARGS(req, queue, ns),
	    TP_STRUCT__entry(__field(u64, oid0)
			     __field(u64, oid1)
			     __field(u64, oid2)
			     __field(u64, ns)
			     __field(u32, pool)
			     __field(u32, index)
			     __field(u32, nr_pages)
			     __field(u32, queue)
			     __field(int, err)),
	    TP_fast_assign(__entry->oid0 = req->key.oid[0];
			   __entry->oid1 = req->key.oid[1];
			   __entry->oid2 = req->key.oid[2];
			   __entry->ns = ns;
			   __entry->pool = req->pool_id;
			   __entry->index = req->key.index;
			   __entry->nr_pages = req->nr_pages;
			   __entry->queue = queue;
			   __entry->err = req->result;),
	    TP_printk("pool=%u oid=%llx.%llx.%llx index=%u nr_pages=%u queue=%u ns=%llu err=%d",
		      __entry->pool, __entry->oid0, __entry->oid1,
		      __entry->oid2, __entry->index, __entry->nr_pages,
		      __entry->queue, __entry->ns, __entry->err)
);

TRACE_EVENT(virtio_tmem_bio,
	    TP_PROTO(unsigned int op, u64 page, unsigned int nr_pages, u64 ns,
		     int err),
	    TP_ARGS(op, page, nr_pages, ns, err),
	    TP_STRUCT__entry(__field(u64, page)
			     __field(u64, ns)
			     __field(u32, op)
			     __field(u32, nr_pages)
			     __field(int, err)),
	    TP_fast_assign(__entry->page = page;
			   __entry->ns = ns;
			   __entry->op = op;
			   __entry->nr_pages = nr_pages;
			   __entry->err = err;),
	    TP_printk("op=%u page=%llu nr_pages=%u ns=%llu err=%d",
		      __entry->op, __entry->page, __entry->nr_pages,
		      __entry->ns, __entry->err)
);

#endif /* _VIRTIO_TMEM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE virtio_tmem_trace
#include <trace/define_trace.h>
