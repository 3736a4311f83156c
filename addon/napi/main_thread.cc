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
                                      runClosure, &function_) != napi_ok)
    throw Napi::Error::New(env);
  napi_unref_threadsafe_function(env, function_);
}

void MainThread::post(Closure closure) {
  auto* data = new Closure(std::move(closure));
  if (napi_call_threadsafe_function(function_, data, napi_tsfn_nonblocking) != napi_ok) delete data;
}

void MainThread::hold() {
  if (holds_++ == 0 && function_) napi_ref_threadsafe_function(env_, function_);
}

void MainThread::release() {
  if (--holds_ == 0 && function_) napi_unref_threadsafe_function(env_, function_);
}

void MainThread::close() {
  if (function_) napi_release_threadsafe_function(std::exchange(function_, nullptr), napi_tsfn_abort);
}

}  // namespace tmemd::binding
