// A queue of closures on top of one thread-safe function.
#include "napi/main_thread.h"

#include <memory>
#include <utility>

namespace tmemd::binding {
namespace {

void runClosure(napi_env env, napi_value, void*, void* data) {
  std::unique_ptr<MainThread::Closure> closure(static_cast<MainThread::Closure*>(data));
  if (!env) return;  // the environment ends
  Napi::HandleScope scope(env);
  try {
    (*closure)(env);
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();  // an uncaught exception, as of any callback
  }
}

}  // namespace

MainThread::MainThread(Napi::Env env) : env_(env) {
  const napi_value name = Napi::String::New(env, "tmemd");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr,
                                      runClosure, &door_->function) != napi_ok)
    throw Napi::Error::New(env);
  napi_unref_threadsafe_function(env, door_->function);
}

void MainThread::post(Door& door, Closure closure) {
  auto data = std::make_unique<Closure>(std::move(closure));
  const std::lock_guard lock(door.lock);
  if (!door.function) return;
  if (napi_call_threadsafe_function(door.function, data.get(), napi_tsfn_nonblocking) == napi_ok)
    data.release();
}

void MainThread::hold() {
  if (holds_++ == 0 && door_->function) napi_ref_threadsafe_function(env_, door_->function);
}

void MainThread::release() {
  if (--holds_ == 0 && door_->function) napi_unref_threadsafe_function(env_, door_->function);
}

void MainThread::close() {
  const std::lock_guard lock(door_->lock);
  if (door_->function)
    napi_release_threadsafe_function(std::exchange(door_->function, nullptr), napi_tsfn_abort);
}

}  // namespace tmemd::binding
