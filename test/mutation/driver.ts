/** The guest driver's request layer, as far as it runs in user space: test/driver-ring. */
import { inFile, type Mutation } from './mutation.js';

const ring = ['driver_ring_test'];

export const driver: readonly Mutation[] = [
  ...inFile('kernel-shim/virtio_tmem_stage.c', ring, [
    {
      check: 'a newer put of a page does not overtake an older one in a slot that is open',
      from: 'offset <= req->nr_pages &&',
      to: 'offset == req->nr_pages &&',
    },
    {
      check: 'a put makes older copies of its page void',
      from: '\tvtmem_staged_supersede(q, pool, key);\n\t__set_bit(req->nr_pages',
      to: '\t__set_bit(req->nr_pages',
    },
    {
      check: 'a copy that was superseded is not kept',
      from: '\tif (!test_bit(key->index - req->key.index, &req->mask))\n\t\treturn false;\n\tchunk',
      to: '\tchunk',
    },
    {
      check: 'only what is within the reserve is staged',
      from: 'return vtmem_pool_hold(pool, dev->reserve);',
      to: 'return vtmem_pool_hold(pool, dev->reserve + 16);',
    },
    {
      check: "an object's flush that is owed is sent before a put into it",
      from: '\tif (object && object->flush_all && !vtmem_flush_submit_object(q, object))\n\t\treturn ERR_PTR(-EBUSY);\n',
      to: '\tif (object && object->flush_all && false)\n\t\treturn ERR_PTR(-EBUSY);\n',
    },
    {
      check: 'no flush that was remembered before a put comes after it',
      from: '\tvtmem_flush_clear_pending(q, chunk, key->index, 1);\n\tvtmem_chunk_set_present',
      to: '\tvtmem_chunk_set_present',
    },
  ]),
  ...inFile('kernel-shim/virtio_tmem_window.c', ring, [
    {
      check: 'a window on its way is not used for another',
      from: 'if (window->state == VTMEM_REQ_INFLIGHT ||\n\t\t    window->nr_waiters ||',
      to: 'if (window->nr_waiters ||',
    },
    {
      check: 'pages that did not come are not answered from a window',
      from: 'window->mask &= missing ? GENMASK(missing - 1, 0) : 0;',
      to: '',
    },
  ]),
  ...inFile('kernel-shim/virtio_tmem_request.c', ring, [
    {
      check: 'nothing passes a put that was staged before it',
      from: '\tif (req->kind != VTMEM_SLOT_STAGED)\n\t\tvtmem_staged_close(q);\n',
      to: '',
    },
    {
      check: 'an answer tells of no more pages than were asked about',
      from: 'if (nr_done > req->nr_pages || all != !req->result)',
      to: 'if (all != !req->result)',
    },
    {
      check: 'a request of a pool is counted as over only when nothing looks at the pool any more',
      from: '\tlockdep_assert_held(&q->lock);\n\tq->nr_inflight--;\n',
      to: '\tlockdep_assert_held(&q->lock);\n\tq->nr_inflight--;\n\tif (pool)\n\t\tatomic_dec_return_release(&pool->inflight);\n\tpool = NULL;\n',
    },
  ]),
  ...inFile('kernel-shim/virtio_tmem_queue.c', ring, [
    {
      check: 'a suspend waits for those that have not collected their answer',
      from: 'empty = !q->nr_inflight && !q->nr_taken &&\n\t\t\t!atomic_read(&q->kicking);',
      to: 'empty = !q->nr_inflight &&\n\t\t\t!atomic_read(&q->kicking);',
    },
  ]),
  ...inFile('kernel-shim/virtio_tmem_pool.c', ring, [
    {
      check: 'a pool is freed only when no request of it is in a ring',
      from: '\tdrained = vtmem_pool_drain(pool);\n',
      to: '\tdrained = true;\n\tif (0)\n\t\tvtmem_pool_drain(pool);\n',
    },
  ]),
];
