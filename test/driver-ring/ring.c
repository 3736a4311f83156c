#include "ring.h"

#include "kernel.h"

#define MAX_CHAIN 12
#define MAX_PAGES 64

struct chain {
  struct list_head link;
  struct scatterlist sgs[MAX_CHAIN];
  unsigned int out, in;
  void *data;
  uint32_t used_length;
};

struct ring {
  struct virtqueue vq;
  unsigned int size, descriptors;
  struct list_head avail, used;
  struct sim_task *device, *irq;
  vq_callback_t *callback;
  bool device_sleeps, armed, raised, stopping;
};

static struct ring *ring_of(struct virtqueue *vq) { return container_of(vq, struct ring, vq); }

/* Executes a chain, however it is cut: the header first, the response where the device may write its first 16 bytes. */
static void ring_execute(struct ring *ring, struct chain *chain) {
  struct page *pages[MAX_PAGES];
  struct ring_request request = {.queue = ring->vq.index, .pages = pages};
  unsigned int i, j;

  for (i = 0; i < chain->out + chain->in; i++) {
    struct scatterlist *sg = &chain->sgs[i];

    if (sg->page) {
      for (j = 0; j < sg->length / PAGE_SIZE; j++) {
        sim_check(request.nr_pages < MAX_PAGES, "a request of too many pages");
        pages[request.nr_pages++] = sg->page + j;
      }
    } else if (i < chain->out) {
      request.header = sg->memory;
    } else {
      request.response = sg->memory;
    }
  }
  chain->used_length = host_execute(&request);
}

static void ring_device(void *argument) {
  struct ring *ring = argument;

  while (!ring->stopping) {
    if (list_empty(&ring->avail)) {
      ring->device_sleeps = true;
      sim_point(false);
      if (list_empty(&ring->avail) && !ring->stopping) sim_block(SIM_NEVER);
      ring->device_sleeps = false;
      continue;
    }
    struct chain *chain = list_first_entry(&ring->avail, struct chain, link);

    sim_point(false);
    ring_execute(ring, chain);
    sim_point(false);
    list_move_tail(&chain->link, &ring->used);
    sim_point(false);
    if (ring->armed) {
      ring->raised = true;
      sim_wake(ring->irq);
    }
  }
}

static void ring_irq(void *argument) {
  struct ring *ring = argument;

  while (!ring->stopping) {
    if (!ring->raised) {
      sim_block(SIM_NEVER);
      continue;
    }
    ring->raised = false;
    ring->callback(&ring->vq);
  }
}

struct virtqueue *ring_create(struct virtio_device *vdev, unsigned int index, unsigned int size,
                              void (*callback)(struct virtqueue *)) {
  struct ring *ring = calloc(1, sizeof(*ring));

  ring->vq.vdev = vdev;
  ring->vq.index = index;
  ring->size = size;
  ring->callback = callback;
  /* A new ring has its callbacks armed. */
  ring->armed = true;
  INIT_LIST_HEAD(&ring->avail);
  INIT_LIST_HEAD(&ring->used);
  ring->device = sim_spawn(index ? "device" : "device, control", ring_device, ring);
  ring->irq = sim_spawn("interrupt", ring_irq, ring);
  return &ring->vq;
}

void ring_reset(struct virtqueue *vq) {
  struct ring *ring = ring_of(vq);

  ring->stopping = true;
  sim_wake(ring->device);
  sim_wake(ring->irq);
  sim_join(ring->device);
  sim_join(ring->irq);
}

void ring_free(struct virtqueue *vq) {
  struct ring *ring = ring_of(vq);
  struct chain *chain, *next;

  list_for_each_entry_safe(chain, next, &ring->avail, link) free(chain);
  list_for_each_entry_safe(chain, next, &ring->used, link) free(chain);
  free(ring);
}

uint64_t ring_page_content(const struct page *page) { return page->content; }
void ring_set_page_content(struct page *page, uint64_t content) { page->content = content; }

static bool ring_holds(struct list_head *list, const void *data) {
  struct chain *chain;

  list_for_each_entry(chain, list, link) if (chain->data == data) return true;
  return false;
}

int virtqueue_add_sgs(struct virtqueue *vq, struct scatterlist *sgs[], unsigned int out, unsigned int in, void *data,
                      gfp_t gfp) {
  struct ring *ring = ring_of(vq);
  struct chain *chain = calloc(1, sizeof(*chain));
  unsigned int i;

  (void)gfp;
  sim_check(!ring_holds(&ring->avail, data) && !ring_holds(&ring->used, data), "a slot is in the ring twice");
  sim_check(out + in <= MAX_CHAIN, "a chain of %u descriptors", out + in);
  sim_check(ring->descriptors + out + in <= ring->size, "a slot in hand and no room in the ring");
  for (i = 0; i < out + in; i++) chain->sgs[i] = *sgs[i];
  chain->out = out;
  chain->in = in;
  chain->data = data;
  ring->descriptors += out + in;
  list_add_tail(&chain->link, &ring->avail);
  sim_point(false);
  return 0;
}

static void *ring_take(struct ring *ring, struct list_head *list, unsigned int *length) {
  struct chain *chain = list_first_entry_or_null(list, struct chain, link);
  void *data;

  if (!chain) return NULL;
  list_del(&chain->link);
  ring->descriptors -= chain->out + chain->in;
  data = chain->data;
  *length = chain->used_length;
  free(chain);
  return data;
}

void *virtqueue_get_buf(struct virtqueue *vq, unsigned int *length) {
  sim_point(false);
  return ring_take(ring_of(vq), &ring_of(vq)->used, length);
}

void *virtqueue_detach_unused_buf(struct virtqueue *vq) {
  unsigned int length;

  sim_check(ring_of(vq)->stopping, "the ring is taken apart and the device was not reset");
  return ring_take(ring_of(vq), &ring_of(vq)->avail, &length);
}

bool virtqueue_enable_cb(struct virtqueue *vq) {
  ring_of(vq)->armed = true;
  sim_point(false);
  return list_empty(&ring_of(vq)->used);
}

void virtqueue_disable_cb(struct virtqueue *vq) { ring_of(vq)->armed = false; }

bool virtqueue_kick_prepare(struct virtqueue *vq) {
  sim_point(false);
  return ring_of(vq)->device_sleeps;
}

bool virtqueue_notify(struct virtqueue *vq) {
  sim_point(false);
  sim_wake(ring_of(vq)->device);
  return true;
}

bool virtqueue_is_broken(struct virtqueue *vq) {
  (void)ring_of(vq)->size;
  return false;
}

unsigned int virtqueue_get_vring_size(struct virtqueue *vq) { return ring_of(vq)->size; }
