/*
 * The other end of the driver's rings: a fiber a ring executes what is in it, in order, as a device does, and a second
 * one raises its interrupts. What a request does is up to the host, see host.h.
 *
 * The device looks into the ring when it is notified, and until it finds nothing more: a notification that is owed and
 * not given shows as a request that stays. It interrupts while callbacks are armed. Both are as VIRTIO_RING_F_EVENT_IDX
 * has them: each side announces that it is about to stop looking, and looks once more.
 */
#ifndef TMEMD_TEST_DRIVER_RING_RING_H
#define TMEMD_TEST_DRIVER_RING_RING_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct virtio_device;
struct virtqueue;

/** A ring of @size descriptors, the device's fibers running; @callback is its interrupt. */
struct virtqueue *ring_create(struct virtio_device *vdev, unsigned int index, unsigned int size,
                              void (*callback)(struct virtqueue *));
/** The device's reset: it touches nothing any more. */
void ring_reset(struct virtqueue *vq);
/** Frees it; it was reset. */
void ring_free(struct virtqueue *vq);

struct page;

/** What the device sees of a request. */
struct ring_request {
  unsigned int queue;
  const void *header; /* 40 bytes */
  void *response;     /* 16 bytes */
  struct page **pages;
  unsigned int nr_pages;
};

/** The host's part, in host.cc: executes a request; returns the used length. */
uint32_t host_execute(const struct ring_request *request);

uint64_t ring_page_content(const struct page *page);
void ring_set_page_content(struct page *page, uint64_t content);

#ifdef __cplusplus
}
#endif

#endif
