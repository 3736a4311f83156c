// The control side: prepares, then hands over to the worker.
#include "device/device.h"

#include <algorithm>
#include <utility>

#include "device/front_end_error.h"
#include "device/worker.h"

namespace tmemd {

Device::Device(std::shared_ptr<Store> store, GuestId guest, DeviceOptions options)
    : queueCount_(options.queueCount),
      memoryMapBytesMax_(options.memoryMapBytesMax),
      worker_(std::make_unique<Worker>(std::move(store), guest, std::move(options))) {}

Device::~Device() = default;

const DeviceCounters& Device::counters() const { return worker_->counters(); }

void Device::setLimitAndTarget(uint64_t limitPages, uint64_t targetPages) {
  worker_->setLimitAndTarget(limitPages, targetPages);
}

void Device::close(std::function<void()> done) {
  regions_.clear();
  worker_->stop(std::move(done));
}

// --- memory ------------------------------------------------------------------

MapAllowance Device::allowance(bool besideTable) const {
  MapAllowance allowance{memoryMapBytesMax_, 0};
  for (const auto& region : regions_) allowance.bytesTaken += besideTable ? region->mappingBytes() : 0;
  return allowance;
}

GuestMemory::Regions Device::map(std::vector<RegionSetup> setups, MapAllowance allowance) {
  GuestMemory::Regions regions;
  for (RegionSetup& setup : setups) {
    regions.push_back(std::make_shared<MappedRegion>(std::move(setup), allowance));
    allowance.bytesTaken += regions.back()->mappingBytes();
  }
  return regions;
}

void Device::setMemoryTable(GuestMemory::Regions regions, Done done) {
  adopt(std::move(regions), std::move(done));
}

void Device::addMemoryRegion(std::shared_ptr<const MappedRegion> region, Done done) {
  GuestMemory::Regions regions = regions_;
  regions.push_back(std::move(region));
  adopt(std::move(regions), std::move(done));
}

void Device::removeMemoryRegion(uint64_t guestAddress, uint64_t sizeBytes, uint64_t userspaceAddress,
                                Done done) {
  GuestMemory::Regions regions = regions_;
  const size_t removed = std::erase_if(regions, [&](const auto& region) {
    return region->guestAddress() == guestAddress && region->sizeBytes() == sizeBytes &&
           region->userspaceAddress() == userspaceAddress;
  });
  if (removed == 0) return done({"no such memory region to remove"});
  adopt(std::move(regions), std::move(done));
}

void Device::adopt(GuestMemory::Regions regions, Done done) {
  std::shared_ptr<const GuestMemory> memory;
  try {
    memory = std::make_shared<const GuestMemory>(regions);
  } catch (const FrontEndError& error) {
    // Refused by the worker, who drops what was mapped for it: as below, the caller's thread must not.
    Outcome refusal{error.what()};
    return worker_->post(
        {[refused = std::move(regions), refusal](Worker&) { return refusal; }, std::move(done)});
  }
  regions_ = std::move(regions);
  // The last holder of a region unmaps it. The caller's thread must not, as
  // that takes long: the table replaced stays with the worker until it is done.
  worker_->post(
      {[memory = std::move(memory)](Worker& worker) { return worker.adoptMemory(memory); }, std::move(done)});
}

// --- rings -------------------------------------------------------------------

bool Device::checkQueue(uint16_t queue, const Done& done) const {
  if (queue < queueCount_) return true;
  done({"queue " + std::to_string(queue) + " of a device with " + std::to_string(queueCount_)});
  return false;
}

void Device::startVring(uint16_t queue, VringSetup setup, Done done) {
  if (!checkQueue(queue, done)) return;
  auto shared = std::make_shared<VringSetup>(std::move(setup));
  worker_->post({[queue, shared](Worker& worker) { return worker.startVring(queue, std::move(*shared)); },
                 std::move(done)});
}

void Device::enableVring(uint16_t queue, bool enabled, Done done) {
  if (!checkQueue(queue, done)) return;
  worker_->post(
      {[queue, enabled](Worker& worker) { return worker.enableVring(queue, enabled); }, std::move(done)});
}

void Device::setKickFd(uint16_t queue, OwnedFd fd, Done done) {
  if (!checkQueue(queue, done)) return;
  auto shared = std::make_shared<OwnedFd>(std::move(fd));
  worker_->post({[queue, shared](Worker& worker) { return worker.setKick(queue, std::move(*shared)); },
                 std::move(done)});
}

void Device::setCallFd(uint16_t queue, OwnedFd fd, Done done) {
  if (!checkQueue(queue, done)) return;
  auto shared = std::make_shared<OwnedFd>(std::move(fd));
  worker_->post({[queue, shared](Worker& worker) { return worker.setCall(queue, std::move(*shared)); },
                 std::move(done)});
}

void Device::stopVring(uint16_t queue, Done done) {
  if (!checkQueue(queue, done)) return;
  worker_->post({[queue](Worker& worker) { return worker.stopVring(queue); }, std::move(done)});
}

}  // namespace tmemd
