// What the front end asked is impossible; what() is one line that says why.
// Ends that front end's connection and nothing else.
#ifndef TMEMD_DEVICE_FRONT_END_ERROR_H_
#define TMEMD_DEVICE_FRONT_END_ERROR_H_

#include <stdexcept>

namespace tmemd {

class FrontEndError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace tmemd

#endif  // TMEMD_DEVICE_FRONT_END_ERROR_H_
