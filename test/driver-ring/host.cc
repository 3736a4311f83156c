#include "host.h"

#include <linux/virtio_tmem.h>

#include <cstring>

#include "ring.h"
#include "sim.h"

namespace driver_ring {

Host *host = nullptr;

namespace {

struct Answer {
  uint32_t status = VIRTIO_TMEM_S_OK;
  uint32_t nr_done = 0;
  uint64_t value = 0;
};

Answer put(const virtio_tmem_req &req, const ring_request &request) {
  Answer answer;
  for (uint32_t i = 0; i < req.nr_pages; i++) {
    const HostKey key{req.pool, req.oid[0], req.index + i};
    const bool refused = host->refuse_next > 0 || sim_random(100) < host->refused_percent;
    if (refused) {
      if (host->refuse_next > 0) host->refuse_next--;
      // Nothing is left under this key, nor under those after it.
      for (; i < req.nr_pages; i++) host->pages.erase({req.pool, req.oid[0], req.index + i});
      answer.status = VIRTIO_TMEM_S_REFUSED;
      if (host->overdo_next > 0) {
        host->overdo_next--;
        answer.nr_done = req.nr_pages + 1;
      }
      return answer;
    }
    host->pages[key] = ring_page_content(request.pages[i]);
    answer.nr_done++;
  }
  return answer;
}

Answer get(const virtio_tmem_req &req, const ring_request &request) {
  Answer answer;
  for (uint32_t i = 0; i < req.nr_pages; i++) {
    const auto found = host->pages.find({req.pool, req.oid[0], req.index + i});
    if (found != host->pages.end() && !host->persistent[req.pool] && sim_random(100) < host->dropped_percent) {
      host->pages.erase(found);
      answer.status = VIRTIO_TMEM_S_MISS;
      return answer;
    }
    if (found == host->pages.end()) {
      answer.status = VIRTIO_TMEM_S_MISS;
      return answer;
    }
    ring_set_page_content(request.pages[i], found->second);
    if (req.flags & VIRTIO_TMEM_GET_EXCLUSIVE) host->pages.erase(found);
    answer.nr_done++;
  }
  return answer;
}

Answer flush(const virtio_tmem_req &req) {
  std::erase_if(host->pages, [&](const auto &page) {
    const HostKey &key = page.first;
    return key.pool == req.pool && key.oid == req.oid[0] &&
           (req.op == VIRTIO_TMEM_OP_FLUSH_OBJECT || key.index - req.index < req.nr_pages);
  });
  return {};
}

Answer execute(const virtio_tmem_req &req, const ring_request &request) {
  Answer answer;
  switch (req.op) {
    case VIRTIO_TMEM_OP_RESET:
      host->loseSession();
      host->session = answer.value = ++host->sessions;
      return answer;
    case VIRTIO_TMEM_OP_ATTACH:
      if (host->session == 0 || host->session != req.oid[0]) answer.status = VIRTIO_TMEM_S_NO_SESSION;
      return answer;
  }
  if (host->session == 0) {
    answer.status = VIRTIO_TMEM_S_NO_SESSION;
    return answer;
  }
  switch (req.op) {
    case VIRTIO_TMEM_OP_POOL_CREATE:
      host->persistent[host->next_pool] = req.flags & VIRTIO_TMEM_POOL_PERSISTENT;
      answer.value = host->next_pool++;
      return answer;
    case VIRTIO_TMEM_OP_POOL_DESTROY:
      std::erase_if(host->pages, [&](const auto &page) { return page.first.pool == req.pool; });
      host->persistent.erase(req.pool);
      return answer;
  }
  if (!host->persistent.contains(req.pool)) {
    answer.status = VIRTIO_TMEM_S_NO_POOL;
    host->poolless++;
    return answer;
  }
  switch (req.op) {
    case VIRTIO_TMEM_OP_STAT:
      for (const auto &page : host->pages) answer.value += page.first.pool == req.pool;
      return answer;
    case VIRTIO_TMEM_OP_PUT:
      return put(req, request);
    case VIRTIO_TMEM_OP_GET:
      return get(req, request);
    case VIRTIO_TMEM_OP_FLUSH:
    case VIRTIO_TMEM_OP_FLUSH_OBJECT:
      return flush(req);
    default:
      sim_fail(__FILE__, __LINE__, "op %#x", req.op);
  }
}

}  // namespace
}  // namespace driver_ring

void driver_ring::Host::loseSession() {
  session = 0;
  pages.clear();
  persistent.clear();
  next_pool = 0;
}

uint32_t host_execute(const struct ring_request *request) {
  using driver_ring::host;
  virtio_tmem_req req;

  if (request->queue != 0 && sim_random(100) < host->stalled_percent)
    for (const int64_t end = sim_now() + host->stall_ms; sim_now() < end;) sim_block(end);
  memcpy(&req, request->header, sizeof(req));
  const bool pages = req.op == VIRTIO_TMEM_OP_PUT || req.op == VIRTIO_TMEM_OP_GET;
  sim_check(!pages || req.nr_pages == request->nr_pages, "op %#x names %u pages and brings %u", req.op, req.nr_pages,
            request->nr_pages);
  const auto answer = driver_ring::execute(req, *request);
  const virtio_tmem_resp resp{answer.status, answer.nr_done, answer.value};
  memcpy(request->response, &resp, sizeof(resp));
  return sizeof(resp) + (req.op == VIRTIO_TMEM_OP_GET ? answer.nr_done * 4096 : 0);
}
