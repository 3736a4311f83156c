// Runs a function on libuv's thread pool and settles a promise with its result.
#ifndef TMEMD_NAPI_ASYNC_H_
#define TMEMD_NAPI_ASYNC_H_

#include <napi.h>

#include <functional>
#include <string>
#include <utility>

namespace tmemd::binding {

// Resolves to what `work` returns, or to undefined when that is nothing.
class AsyncCall : public Napi::AsyncWorker {
 public:
  using Work = std::function<std::string()>;

  static Napi::Promise start(Napi::Env env, Work work, bool resolvesToString) {
    auto* call = new AsyncCall(env, std::move(work), resolvesToString);
    const Napi::Promise promise = call->deferred_.Promise();
    call->Queue();  // deletes itself when done
    return promise;
  }

 protected:
  void Execute() override { result_ = work_(); }
  void OnOK() override {
    deferred_.Resolve(resolvesToString_ ? Napi::String::New(Env(), result_) : Env().Undefined());
  }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  AsyncCall(Napi::Env env, Work work, bool resolvesToString)
      : AsyncWorker(env), deferred_(env), work_(std::move(work)), resolvesToString_(resolvesToString) {}

  Napi::Promise::Deferred deferred_;
  const Work work_;
  const bool resolvesToString_;
  std::string result_;
};

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_ASYNC_H_
