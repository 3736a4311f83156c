// Runs the requests of page queues: PUT, GET, FLUSH, FLUSH_OBJECT.
//
// Requests of a queue take effect and complete in ring order. GETs that follow
// one another, whatever chains they came in, go to the store as one batch so
// that it can prefetch; everything else first waits for the batch before it.
// Completions are published per batch of gets, every few puts, and when nothing is left to do.
//
//   ring -> take -> read, check -> GET:   pages_ -> Store::get -> respond
//                                  else:  Store::put / flush   -> respond
//
// A page put is copied into the worker's staging page once and never read
// from guest memory again; a page got is decoded in place where the guest's
// buffer for it is contiguous and memory, else through a bounce page.
//
// When guest memory turns out to be lost (FaultGuard) nothing more is done to
// the store and nothing is completed: run() says so and the session ends.
#ifndef TMEMD_DEVICE_PAGE_REQUESTS_H_
#define TMEMD_DEVICE_PAGE_REQUESTS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "device/device_counters.h"
#include "device/guest_memory.h"
#include "device/queue.h"
#include "device/request.h"
#include "engine/store.h"

namespace tmemd {

class PageRequests {
 public:
  PageRequests(Store& store, GuestId guest, WorkerContext& context, uint32_t maxPagesPerRequest,
               DeviceCounters& counters);

  // RESET or ATTACH succeeded on this connection.
  void openSession() { sessionOpen_ = true; }
  bool sessionOpen() const { return sessionOpen_; }

  enum class Result { kDone, kMemoryLost };

  // Runs at most `maxChains` chains that are known to be available.
  Result run(Queue& queue, const GuestMemory& memory, uint32_t maxChains);

 private:
  // A GET waits in the batch until this many pages are wanted.
  static constexpr size_t kBatchPages = 16;
  // Completions held back while more requests wait: publishing one costs an exchange of cache
  // lines with the driver's processor. A put takes microseconds, so fewer of them.
  static constexpr uint32_t kMaxUnpublished = 32;
  static constexpr uint32_t kMaxUnpublishedPuts = 4;

  struct PendingGet {
    Chain chain;
    size_t firstOp = 0;
    uint32_t pageCount = 0;
  };
  struct Bounce {
    size_t op;
    std::byte* page;
  };
  using BouncePage = std::array<std::byte, kPageBytes>;

  Result runOne(Queue& queue, const GuestMemory& memory);
  bool put(const Queue& queue, const GuestMemory& memory, const Request& request, const Chain& chain, Response& response);
  void addGet(const Request& request, PendingGet& pending);
  Result finishGets(Queue& queue, const GuestMemory& memory);
  void respond(Queue& queue, const Chain& chain, const Response& response, uint32_t dataBytes);
  std::byte* nextBouncePage();

  Store& store_;
  const GuestId guest_;
  WorkerContext& context_;
  const uint32_t maxPagesPerRequest_;
  DeviceCounters& counters_;
  bool sessionOpen_ = false;

  // The batch of GETs; gets_[i] is reused so that its chain keeps its capacity.
  std::array<PendingGet, kBatchPages> gets_;
  size_t getCount_ = 0;
  std::vector<GetOp> ops_;
  std::vector<Bounce> bounces_;
  std::vector<std::unique_ptr<BouncePage>> bouncePages_;
  uint64_t lastNs_ = 0;  // when the current request or batch was begun
  uint32_t unpublished_ = 0;
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_PAGE_REQUESTS_H_
