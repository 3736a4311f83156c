// The constants of the wire header, for the test that compares them with the
// control plane's.
#ifndef TMEMD_NAPI_WIRE_CONSTANTS_H_
#define TMEMD_NAPI_WIRE_CONSTANTS_H_

#include <napi.h>

namespace tmemd::binding {

// Names without their VIRTIO_TMEM_ prefix, and the sizes of the structures.
Napi::Value wireConstants(const Napi::CallbackInfo& info);

}  // namespace tmemd::binding

#endif  // TMEMD_NAPI_WIRE_CONSTANTS_H_
