// Reads arguments, hands them to the Device and settles promises with its answers.
#include "napi/device_binding.h"

#include <linux/virtio_tmem.h>

#include <atomic>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "napi/arguments.h"
#include "napi/errand.h"
#include "napi/errors.h"
#include "napi/store_binding.h"

namespace tmemd::binding {
namespace {

RegionSetup readRegion(Napi::Object from, OwnedFd fd) {
  RegionSetup region;
  region.fd = std::move(fd);
  region.guestAddress = asUint64(from.Get("guestPhysicalAddress"), "guestPhysicalAddress");
  region.sizeBytes = asUint64(from.Get("sizeBytes"), "sizeBytes");
  region.userspaceAddress = asUint64(from.Get("userspaceAddress"), "userspaceAddress");
  region.mmapOffsetBytes = asUint64(from.Get("mmapOffsetBytes"), "mmapOffsetBytes");
  return region;
}

VringSetup readVringSetup(Napi::Object from) {
  VringSetup setup;
  setup.kick = takeOptionalFd(from.Get("kickFd"), "kickFd");
  setup.call = takeOptionalFd(from.Get("callFd"), "callFd");
  setup.layout.size = static_cast<uint16_t>(asInteger(from.Get("size"), "size", 1, Vring::kMaxSize));
  setup.layout.descriptorAddress = asUint64(from.Get("descriptorAddress"), "descriptorAddress");
  setup.layout.availableAddress = asUint64(from.Get("availableAddress"), "availableAddress");
  setup.layout.usedAddress = asUint64(from.Get("usedAddress"), "usedAddress");
  setup.layout.lastAvailableIndex =
      static_cast<uint16_t>(asInteger(from.Get("lastAvailableIndex"), "lastAvailableIndex", 0, 65535));
  setup.layout.eventIdx = asBoolean(from.Get("eventIdx"), "eventIdx");
  return setup;
}

DiskOptions readDisk(Napi::Object from) {
  // 2^40 pages are 4 PiB: offsets in bytes stay far from wrapping.
  return {asInteger(from.Get("pageCount"), "pageCount", 1, uint64_t{1} << 40),
          asString(from.Get("serial"), "serial")};
}

uint16_t asQueueIndex(Napi::Value value) {
  return static_cast<uint16_t>(asInteger(value, "queueIndex", 0, Device::kMaxQueues - 1));
}

const char* typeName(DeviceEvent::Type type) {
  switch (type) {
    case DeviceEvent::Type::kQueueBroken:
      return "queue-broken";
    case DeviceEvent::Type::kMemoryLost:
      return "memory-lost";
    case DeviceEvent::Type::kSessionOpened:
      return "session-opened";
    case DeviceEvent::Type::kDriverAsks:
      return "driver-asks";
    case DeviceEvent::Type::kDiskLost:
      return "disk-lost";
    case DeviceEvent::Type::kRingSilent:
      return "ring-silent";
    case DeviceEvent::Type::kSchedulingRefused:
      return "scheduling-refused";
  }
  return "";
}

Napi::Object toObject(Napi::Env env, const DeviceEvent& event) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("type", typeName(event.type));
  if (event.type == DeviceEvent::Type::kQueueBroken || event.type == DeviceEvent::Type::kRingSilent)
    object.Set("queueIndex", Napi::Number::New(env, event.queueIndex));
  if (!event.reason.empty()) object.Set("reason", event.reason);
  return object;
}

Napi::Object toObject(Napi::Env env, const char* op, const LatencyHistogram& histogram) {
  Napi::Object object = Napi::Object::New(env);
  Napi::Array counts = Napi::Array::New(env, LatencyHistogram::kBuckets);
  for (uint32_t i = 0; i < LatencyHistogram::kBuckets; ++i)
    counts.Set(i, static_cast<double>(histogram.count(i)));
  object.Set("op", op);
  object.Set("counts", counts);
  object.Set("sumNs", static_cast<double>(histogram.sumNs()));
  return object;
}

}  // namespace

Napi::Function DeviceBinding::define(Napi::Env env) {
  return DefineClass(
      env, "Device",
      {InstanceMethod<&DeviceBinding::setMemoryTable>("setMemoryTable"),
       InstanceMethod<&DeviceBinding::addMemoryRegion>("addMemoryRegion"),
       InstanceMethod<&DeviceBinding::removeMemoryRegion>("removeMemoryRegion"),
       InstanceMethod<&DeviceBinding::startVring>("startVring"),
       InstanceMethod<&DeviceBinding::enableVring>("enableVring"),
       InstanceMethod<&DeviceBinding::setKickFd>("setKickFd"),
       InstanceMethod<&DeviceBinding::setCallFd>("setCallFd"),
       InstanceMethod<&DeviceBinding::stopVring>("stopVring"),
       InstanceMethod<&DeviceBinding::setLimitAndTarget>("setLimitAndTarget"),
       InstanceMethod<&DeviceBinding::counters>("counters"), InstanceMethod<&DeviceBinding::close>("close")});
}

DeviceBinding::DeviceBinding(const Napi::CallbackInfo& info)
    : ObjectWrap(info),
      environment_(Environment::of(info.Env())),
      onEvent_(std::make_shared<Napi::FunctionReference>()) {
  std::shared_ptr<Store> store = StoreBinding::unwrap(info[0], "store");
  const GuestId guest = asGuest(info[1]);
  const Napi::Object from = asObject(info[2], "options");
  DeviceOptions options;
  options.maxPagesPerRequest = static_cast<uint32_t>(
      asInteger(from.Get("maxPagesPerRequest"), "maxPagesPerRequest", 1, VIRTIO_TMEM_MAX_PAGES_PER_REQUEST));
  options.queueCount =
      static_cast<uint16_t>(asInteger(from.Get("queueCount"), "queueCount", 1, Device::kMaxQueues));
  options.memoryMapBytesMax = static_cast<uint64_t>(
      asInteger(from.Get("memoryMapBytesMax"), "memoryMapBytesMax", 1, int64_t{1} << 52));
  if (const Napi::Value disk = from.Get("disk"); !disk.IsUndefined())
    options.disk = readDisk(asObject(disk, "disk"));
  *onEvent_ = Napi::Persistent(asFunction(from.Get("onEvent"), "onEvent"));
  // A driver may open sessions without end: each call of JavaScript tells of all that were opened before it.
  auto opened = std::make_shared<std::atomic<uint32_t>>(0);
  options.onEvent = [environment = environment_.get(), callback = onEvent_,
                     opened = std::move(opened)](const DeviceEvent& event) {
    if (event.type == DeviceEvent::Type::kSessionOpened) {
      // Relaxed: nothing else is told by it.
      if (opened->fetch_add(1, std::memory_order_relaxed) != 0) return;
      return environment->mainThread.post([event, callback, opened](Napi::Env env) {
        const uint32_t count = opened->exchange(0, std::memory_order_relaxed);
        Napi::Object object = toObject(env, event);
        object.Set("count", Napi::Number::New(env, count));
        if (!callback->IsEmpty()) callback->Call({object});
      });
    }
    environment->mainThread.post([event, callback](Napi::Env env) {
      if (!callback->IsEmpty()) callback->Call({toObject(env, event)});
    });
  };
  device_ = translateErrors(
      info.Env(), [&] { return std::make_unique<Device>(std::move(store), guest, std::move(options)); });
  environment_->stoppables.insert(this);
}

DeviceBinding::~DeviceBinding() {
  environment_->stoppables.erase(this);
  stopAndJoin();
}

void DeviceBinding::stopAndJoin() {
  device_.reset();
  onEvent_->Reset();
}

DeviceBinding::Pending DeviceBinding::begin(Napi::Env env, bool resolvesToValue) {
  const Napi::Promise::Deferred deferred(env);
  if (!device_ || closing_) {
    deferred.Reject(errorWithCode(env, "the device is closed", kClosedCode).Value());
    return {deferred.Promise(), {}};
  }
  Ref();
  environment_->mainThread.hold();
  return {deferred.Promise(), [this, deferred, resolvesToValue](const Outcome& outcome) {
            environment_->mainThread.post([this, deferred, resolvesToValue, outcome](Napi::Env callEnv) {
              environment_->mainThread.release();
              if (!outcome.error.empty()) {
                deferred.Reject(errorWithCode(callEnv, outcome.error, kFrontEndCode).Value());
              } else {
                deferred.Resolve(resolvesToValue ? Napi::Number::New(callEnv, outcome.value)
                                                 : callEnv.Undefined());
              }
              Unref();
            });
          }};
}

Napi::Value DeviceBinding::mapThen(Napi::Env env, std::vector<RegionSetup> setups, bool besideTable,
                                   Adopt adopt) {
  Pending pending = begin(env);
  struct Mapping {
    std::vector<RegionSetup> setups;
    GuestMemory::Regions regions;
    std::string error;
  };
  auto mapping = std::make_shared<Mapping>(std::move(setups));
  if (!pending.done) {
    // Closed already: the descriptors go all the same, elsewhere.
    runErrand(environment_->mainThread, [mapping] { mapping->setups.clear(); });
    return pending.promise;
  }
  const MapAllowance allowance = device_->allowance(besideTable);
  runErrand(
      environment_->mainThread,
      [mapping, allowance] {
        try {
          mapping->regions = Device::map(std::move(mapping->setups), allowance);
        } catch (const FrontEndError& error) {
          mapping->error = error.what();
        } catch (const std::bad_alloc&) {
          mapping->error = "no memory to map it with";
        }
      },
      [this, mapping, done = std::move(pending.done), adopt = std::move(adopt)](Napi::Env) {
        if (!mapping->error.empty()) return done({mapping->error});
        if (device_ && !closing_) return adopt(std::move(mapping->regions), done);
        // Closed meanwhile. Unmapping may wait too.
        runErrand(environment_->mainThread,
                  [regions = std::make_shared<GuestMemory::Regions>(std::move(mapping->regions))] {
                    regions->clear();
                  });
        done({"the device is closed"});
      });
  return pending.promise;
}

Napi::Value DeviceBinding::setMemoryTable(const Napi::CallbackInfo& info) {
  if (!info[0].IsArray()) throw argumentError(info.Env(), "regions", "an array");
  const Napi::Array from = info[0].As<Napi::Array>();
  // All descriptors are ours from here on, whatever else is wrong.
  std::vector<OwnedFd> fds;
  for (uint32_t i = 0; i < from.Length(); ++i)
    fds.push_back(takeFd(asObject(from.Get(i), "region").Get("fd"), "fd"));
  std::vector<RegionSetup> regions;
  for (uint32_t i = 0; i < from.Length(); ++i)
    regions.push_back(readRegion(from.Get(i).As<Napi::Object>(), std::move(fds[i])));
  return mapThen(info.Env(), std::move(regions), false,
                 [this](GuestMemory::Regions mapped, Device::Done done) {
                   device_->setMemoryTable(std::move(mapped), std::move(done));
                 });
}

Napi::Value DeviceBinding::addMemoryRegion(const Napi::CallbackInfo& info) {
  const Napi::Object from = asObject(info[0], "region");
  std::vector<RegionSetup> regions;
  regions.push_back(readRegion(from, takeFd(from.Get("fd"), "fd")));
  return mapThen(info.Env(), std::move(regions), true,
                 [this](GuestMemory::Regions mapped, Device::Done done) {
                   device_->addMemoryRegion(std::move(mapped.front()), std::move(done));
                 });
}

Napi::Value DeviceBinding::removeMemoryRegion(const Napi::CallbackInfo& info) {
  const Napi::Object from = asObject(info[0], "region");
  const uint64_t guestAddress = asUint64(from.Get("guestPhysicalAddress"), "guestPhysicalAddress");
  const uint64_t sizeBytes = asUint64(from.Get("sizeBytes"), "sizeBytes");
  const uint64_t userspaceAddress = asUint64(from.Get("userspaceAddress"), "userspaceAddress");
  Pending pending = begin(info.Env());
  if (pending.done)
    device_->removeMemoryRegion(guestAddress, sizeBytes, userspaceAddress, std::move(pending.done));
  return pending.promise;
}

Napi::Value DeviceBinding::startVring(const Napi::CallbackInfo& info) {
  const Napi::Object from = asObject(info[0], "setup");
  VringSetup setup = readVringSetup(from);
  const uint16_t queueIndex = asQueueIndex(from.Get("queueIndex"));
  Pending pending = begin(info.Env());
  if (pending.done) device_->startVring(queueIndex, std::move(setup), std::move(pending.done));
  return pending.promise;
}

Napi::Value DeviceBinding::enableVring(const Napi::CallbackInfo& info) {
  const uint16_t queueIndex = asQueueIndex(info[0]);
  const bool enabled = asBoolean(info[1], "enabled");
  Pending pending = begin(info.Env());
  if (pending.done) device_->enableVring(queueIndex, enabled, std::move(pending.done));
  return pending.promise;
}

Napi::Value DeviceBinding::setKickFd(const Napi::CallbackInfo& info) {
  OwnedFd fd = takeOptionalFd(info[1], "fd");
  const uint16_t queueIndex = asQueueIndex(info[0]);
  Pending pending = begin(info.Env());
  if (pending.done) device_->setKickFd(queueIndex, std::move(fd), std::move(pending.done));
  return pending.promise;
}

Napi::Value DeviceBinding::setCallFd(const Napi::CallbackInfo& info) {
  OwnedFd fd = takeOptionalFd(info[1], "fd");
  const uint16_t queueIndex = asQueueIndex(info[0]);
  Pending pending = begin(info.Env());
  if (pending.done) device_->setCallFd(queueIndex, std::move(fd), std::move(pending.done));
  return pending.promise;
}

Napi::Value DeviceBinding::stopVring(const Napi::CallbackInfo& info) {
  const uint16_t queueIndex = asQueueIndex(info[0]);
  Pending pending = begin(info.Env(), true);
  if (pending.done) device_->stopVring(queueIndex, std::move(pending.done));
  return pending.promise;
}

void DeviceBinding::setLimitAndTarget(const Napi::CallbackInfo& info) {
  const uint64_t limitPages = asUint64(info[0], "limitPages");
  const uint64_t targetPages = asUint64(info[1], "targetPages");
  if (device_ && !closing_) device_->setLimitAndTarget(limitPages, targetPages);
}

Napi::Value DeviceBinding::counters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!device_) throw errorWithCode(env, "the device is closed", kClosedCode);
  const DeviceCounters& from = device_->counters();
  Napi::Object to = Napi::Object::New(env);
#define X(name) to.Set(#name, static_cast<double>(from.name.read()));
  TMEMD_DEVICE_COUNTERS(X)
#undef X
  Napi::Array bounds = Napi::Array::New(env, LatencyHistogram::kBounds);
  for (uint32_t i = 0; i < LatencyHistogram::kBounds; ++i)
    bounds.Set(i, static_cast<double>(LatencyHistogram::boundNs(i)));
  to.Set("latencyBoundsNs", bounds);
  Napi::Array latency = Napi::Array::New(env);
#define X(name) \
  latency.Set(latency.Length(), toObject(env, #name, from.latency[static_cast<size_t>(LatencyOp::name)]));
  TMEMD_LATENCY_OPS(X)
#undef X
  to.Set("latency", latency);
  return to;
}

Napi::Value DeviceBinding::close(const Napi::CallbackInfo& info) {
  if (!closed_.IsEmpty()) return closed_.Value();
  closing_.emplace(info.Env());
  const Napi::Promise promise = closing_->Promise();
  closed_ = Napi::Reference<Napi::Promise>::New(promise, 1);
  if (!device_) {  // the environment ended before
    closing_->Resolve(info.Env().Undefined());
    return promise;
  }
  Ref();
  environment_->mainThread.hold();
  device_->close([this] {
    environment_->mainThread.post([this](Napi::Env env) {
      environment_->mainThread.release();
      environment_->stoppables.erase(this);
      stopAndJoin();  // the thread has ended or is about to return
      closing_->Resolve(env.Undefined());
      Unref();
    });
  });
  return promise;
}

}  // namespace tmemd::binding
