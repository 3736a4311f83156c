// Every rule of BAD_REQUEST, each broken alone.
#include <doctest/doctest.h>

#include <functional>
#include <vector>

#include "device/request.h"

using namespace tmemd;

namespace {

constexpr uint32_t kMaxPages = 64;
constexpr uint64_t kRequest = kRequestBytes, kResponse = kResponseBytes;

Chain lengths(uint64_t readableBytes, uint64_t writableBytes) {
  Chain chain;
  chain.readableBytes = readableBytes;
  chain.writableBytes = writableBytes;
  return chain;
}

Request of(uint16_t op) {
  Request request;
  request.op = op;
  return request;
}

Request pages(uint16_t op, uint32_t index, uint32_t pageCount) {
  Request request = of(op);
  request.pool = 3;
  request.object = {{1, 2, 3}};
  request.index = index;
  request.pageCount = pageCount;
  return request;
}

bool control(const Request& request, Chain chain = lengths(kRequest, kResponse)) {
  return wellFormed(request, QueueKind::kControl, kMaxPages, chain);
}

bool page(const Request& request, Chain chain = lengths(kRequest, kResponse)) {
  return wellFormed(request, QueueKind::kPages, kMaxPages, chain);
}

Chain withData(uint64_t pageCount) { return lengths(kRequest + pageCount * 4096, kResponse); }
Chain withRoom(uint64_t pageCount) { return lengths(kRequest, kResponse + pageCount * 4096); }

}  // namespace

TEST_CASE("a control request uses its own fields and no others") {
  Request create = of(VIRTIO_TMEM_OP_POOL_CREATE);
  create.index = 12;
  Request destroy = of(VIRTIO_TMEM_OP_POOL_DESTROY);
  destroy.pool = 5;
  Request stat = of(VIRTIO_TMEM_OP_STAT);
  stat.pool = VIRTIO_TMEM_ALL_POOLS;
  Request attach = of(VIRTIO_TMEM_OP_ATTACH);
  attach.object.word[0] = 77;
  const std::vector<Request> good = {of(VIRTIO_TMEM_OP_RESET), create, destroy, stat, attach};
  for (const Request& request : good) {
    CAPTURE(request.op);
    CHECK(control(request));
    CHECK_FALSE(page(request));  // wrong kind of queue
    CHECK_FALSE(control(request, lengths(kRequest - 1, kResponse)));
    CHECK_FALSE(control(request, lengths(kRequest + 1, kResponse)));
    CHECK_FALSE(control(request, lengths(kRequest, kResponse + 1)));

    Request bad = request;
    bad.pageCount = 1;
    CHECK_FALSE(control(bad));
    bad = request;
    bad.object.word[1] = 1;
    CHECK_FALSE(control(bad));
    bad = request;
    bad.flags |= 4;
    CHECK_FALSE(control(bad));
    bad = request;
    bad.index ^= 1;
    CHECK_FALSE(control(bad));  // unused, or a page shift that was not offered
  }
  Request reset = of(VIRTIO_TMEM_OP_RESET);
  reset.pool = 1;
  CHECK_FALSE(control(reset));
  attach.pool = 1;
  CHECK_FALSE(control(attach));
  create.flags = VIRTIO_TMEM_POOL_PERSISTENT | VIRTIO_TMEM_POOL_SHARED;
  CHECK(control(create));  // SHARED is DENIED, which is another answer
  create.object.word[0] = 1;
  CHECK_FALSE(control(create));
}

TEST_CASE("a page request has exactly its pages") {
  for (uint32_t count : {1u, 2u, kMaxPages}) {
    CHECK(page(pages(VIRTIO_TMEM_OP_PUT, 7, count), withData(count)));
    CHECK(page(pages(VIRTIO_TMEM_OP_GET, 7, count), withRoom(count)));
    CHECK_FALSE(control(pages(VIRTIO_TMEM_OP_PUT, 7, count), withData(count)));
    CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_PUT, 7, count), withData(count - 1)));
    CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_PUT, 7, count), withData(count + 1)));
    CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_PUT, 7, count), withRoom(count)));
    CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_GET, 7, count), withRoom(count + 1)));
    CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_GET, 7, count), withData(count)));
  }
  CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_PUT, 7, 0), withData(0)));
  CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_GET, 7, kMaxPages + 1), withRoom(kMaxPages + 1)));
  CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_GET, 0, 0xffff'ffff), withRoom(0xffff'ffff)));
}

TEST_CASE("the last index is 0xffffffff") {
  CHECK(page(pages(VIRTIO_TMEM_OP_GET, 0xffff'ffff, 1), withRoom(1)));
  CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_GET, 0xffff'ffff, 2), withRoom(2)));
  CHECK(page(pages(VIRTIO_TMEM_OP_FLUSH, 1, 0xffff'ffff)));
  CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_FLUSH, 2, 0xffff'ffff)));
  CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_FLUSH, 2, 0)));
}

TEST_CASE("flags belong to their ops") {
  Request get = pages(VIRTIO_TMEM_OP_GET, 0, 1);
  get.flags = VIRTIO_TMEM_GET_EXCLUSIVE;
  CHECK(page(get, withRoom(1)));
  get.flags = 2;
  CHECK_FALSE(page(get, withRoom(1)));
  Request put = pages(VIRTIO_TMEM_OP_PUT, 0, 1);
  put.flags = VIRTIO_TMEM_GET_EXCLUSIVE;
  CHECK_FALSE(page(put, withData(1)));
  Request flush = pages(VIRTIO_TMEM_OP_FLUSH, 0, 1);
  flush.flags = 1;
  CHECK_FALSE(page(flush));
}

TEST_CASE("flushing an object names no page") {
  CHECK(page(pages(VIRTIO_TMEM_OP_FLUSH_OBJECT, 0, 0)));
  CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_FLUSH_OBJECT, 1, 0)));
  CHECK_FALSE(page(pages(VIRTIO_TMEM_OP_FLUSH_OBJECT, 0, 1)));
}

TEST_CASE("an op nobody knows is bad on every queue") {
  for (uint32_t op = 0; op <= 0xffff; ++op) {
    const bool known = (op >= 1 && op <= 5) || (op >= 0x10 && op <= 0x13);
    if (known) continue;
    REQUIRE_FALSE(control(of(static_cast<uint16_t>(op))));
    REQUIRE_FALSE(page(of(static_cast<uint16_t>(op))));
  }
}
