// Options in, counters out; what may take long goes to the thread pool.
#include "napi/store_binding.h"

#include <limits>

#include "napi/arguments.h"
#include "napi/async.h"
#include "napi/errors.h"

namespace tmemd::binding {
namespace {

GuestOptions readGuestOptions(Napi::Object from) {
  constexpr uint64_t kMax32 = std::numeric_limits<uint32_t>::max();
  GuestOptions options;
  options.name = asString(from.Get("name"), "name");
  options.dedupGroup = optionalString(from, "dedupGroup").value_or(options.dedupGroup);
  options.weight = static_cast<uint32_t>(optionalInteger(from, "weight", 0, kMax32).value_or(options.weight));
  options.capPages = optionalInteger(from, "capPages", 0).value_or(options.capPages);
  options.persistentReservePages =
      optionalInteger(from, "persistentReservePages", 0).value_or(options.persistentReservePages);
  options.persistentLimitPages =
      optionalInteger(from, "persistentLimitPages", 0).value_or(options.persistentLimitPages);
  options.frozen = optionalBoolean(from, "frozen").value_or(options.frozen);
  options.maxPools =
      static_cast<uint16_t>(optionalInteger(from, "maxPools", 1, 65535).value_or(options.maxPools));
  const Napi::Value node = from.Get("numaNode");
  if (!node.IsUndefined()) {
    // -1 is anywhere.
    const bool anywhere = node.IsNumber() && node.As<Napi::Number>().DoubleValue() == -1;
    options.numaNode = anywhere ? -1 : static_cast<int>(asInteger(node, "numaNode", 0, 1023));
  }
  return options;
}

GuestTuning readGuestTuning(Napi::Object from) {
  GuestTuning tuning;
  if (const auto weight = optionalInteger(from, "weight", 0, std::numeric_limits<uint32_t>::max()))
    tuning.weight = static_cast<uint32_t>(*weight);
  tuning.capPages = optionalInteger(from, "capPages", 0);
  tuning.persistentLimitPages = optionalInteger(from, "persistentLimitPages", 0);
  tuning.frozen = optionalBoolean(from, "frozen");
  return tuning;
}

void setNumber(Napi::Object to, const char* name, uint64_t value) {
  to.Set(name, static_cast<double>(value));
}

void setOperationCounters(Napi::Object to, const OperationCounters& from) {
#define X(name) setNumber(to, #name, from.name);
  TMEMD_OPERATION_COUNTERS(X)
#undef X
}

}  // namespace

GuestId asGuest(Napi::Value value) {
  return GuestId{static_cast<uint32_t>(asInteger(value, "guest", 0, std::numeric_limits<uint32_t>::max()))};
}

Napi::Function StoreBinding::define(Napi::Env env) {
  return DefineClass(env, "Store",
                     {InstanceMethod<&StoreBinding::addGuest>("addGuest"),
                      InstanceMethod<&StoreBinding::unclaimedGuests>("unclaimedGuests"),
                      InstanceMethod<&StoreBinding::removeGuest>("removeGuest"),
                      InstanceMethod<&StoreBinding::updateGuest>("updateGuest"),
                      InstanceMethod<&StoreBinding::dropPools>("dropPools"),
                      InstanceMethod<&StoreBinding::counters>("counters"),
                      InstanceMethod<&StoreBinding::guestCounters>("guestCounters"),
                      InstanceMethod<&StoreBinding::poolCounters>("poolCounters"),
                      InstanceMethod<&StoreBinding::checkInvariants>("checkInvariants"),
                      InstanceMethod<&StoreBinding::close>("close")});
}

std::shared_ptr<Store> StoreBinding::unwrap(Napi::Value value, const char* name) {
  const Napi::Env env = value.Env();
  if (!value.IsObject() ||
      !value.As<Napi::Object>().InstanceOf(Environment::of(env)->storeConstructor.Value()))
    throw argumentError(env, name, "a Store");
  return Unwrap(value.As<Napi::Object>())->open(env);
}

StoreBinding::StoreBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Object from = asObject(info[0], "options");
  StoreOptions options;
  options.capacityBytes = asInteger(from.Get("capacityBytes"), "capacityBytes", 0);
  options.backgroundSettling =
      optionalBoolean(from, "backgroundSettling").value_or(options.backgroundSettling);
  const std::optional<uint64_t> arenaFd =
      optionalInteger(from, "arenaFd", 0, std::numeric_limits<int>::max());
  const bool recovers = optionalBoolean(from, "recover").value_or(false);
  if (arenaFd) options.arenaFd = static_cast<int>(*arenaFd);
  store_ = translateErrors(info.Env(), [&] {
    return recovers ? std::shared_ptr<Store>(Store::recover(options.arenaFd, options))
                    : std::make_shared<Store>(options);
  });
}

const std::shared_ptr<Store>& StoreBinding::open(Napi::Env env) const {
  if (!store_) throw errorWithCode(env, "the store is closed", kClosedCode);
  return store_;
}

Napi::Value StoreBinding::addGuest(const Napi::CallbackInfo& info) {
  const GuestOptions options = readGuestOptions(asObject(info[0], "options"));
  const GuestId guest = translateErrors(info.Env(), [&] { return open(info.Env())->addGuest(options); });
  return Napi::Number::New(info.Env(), static_cast<uint32_t>(guest));
}

Napi::Value StoreBinding::unclaimedGuests(const Napi::CallbackInfo& info) {
  const std::vector<UnclaimedGuest> from = open(info.Env())->unclaimedGuests();
  Napi::Array to = Napi::Array::New(info.Env(), from.size());
  for (uint32_t i = 0; i < from.size(); ++i) {
    Napi::Object guest = Napi::Object::New(info.Env());
    setNumber(guest, "guest", static_cast<uint32_t>(from[i].id));
    guest.Set("name", from[i].name);
    setNumber(guest, "pages", from[i].pages);
    to.Set(i, guest);
  }
  return to;
}

Napi::Value StoreBinding::removeGuest(const Napi::CallbackInfo& info) {
  const GuestId guest = asGuest(info[0]);
  return AsyncCall::start(
      info.Env(),
      [store = open(info.Env()), guest] {
        store->removeGuest(guest);
        return std::string();
      },
      false);
}

void StoreBinding::updateGuest(const Napi::CallbackInfo& info) {
  const GuestId guest = asGuest(info[0]);
  const GuestTuning tuning = readGuestTuning(asObject(info[1], "tuning"));
  translateErrors(info.Env(), [&] { open(info.Env())->updateGuest(guest, tuning); });
}

Napi::Value StoreBinding::dropPools(const Napi::CallbackInfo& info) {
  const GuestId guest = asGuest(info[0]);
  return AsyncCall::start(
      info.Env(),
      [store = open(info.Env()), guest] {
        store->dropPools(guest);
        return std::string();
      },
      false);
}

Napi::Value StoreBinding::counters(const Napi::CallbackInfo& info) {
  const StoreCounters from = open(info.Env())->counters();
  Napi::Object to = Napi::Object::New(info.Env());
#define X(name) setNumber(to, #name, from.name);
  TMEMD_STORE_GAUGES(X)
#undef X
  return to;
}

Napi::Value StoreBinding::guestCounters(const Napi::CallbackInfo& info) {
  const GuestCounters from = open(info.Env())->guestCounters(asGuest(info[0]));
  Napi::Object to = Napi::Object::New(info.Env());
  setOperationCounters(to, from.operations);
#define X(name) setNumber(to, #name, from.name);
  TMEMD_GUEST_GAUGES(X)
#undef X
  return to;
}

Napi::Value StoreBinding::poolCounters(const Napi::CallbackInfo& info) {
  const std::vector<PoolCounters> from = open(info.Env())->poolCounters(asGuest(info[0]));
  Napi::Array to = Napi::Array::New(info.Env(), from.size());
  for (uint32_t i = 0; i < from.size(); ++i) {
    Napi::Object pool = Napi::Object::New(info.Env());
    setNumber(pool, "pool", from[i].pool);
    pool.Set("persistent", from[i].persistent);
    setOperationCounters(pool, from[i].operations);
    to.Set(i, pool);
  }
  return to;
}

Napi::Value StoreBinding::checkInvariants(const Napi::CallbackInfo& info) {
  return AsyncCall::start(
      info.Env(), [store = open(info.Env())] { return store->checkInvariants(); }, true);
}

void StoreBinding::close(const Napi::CallbackInfo&) { store_.reset(); }

}  // namespace tmemd::binding
