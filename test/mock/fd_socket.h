// A connected UNIX stream socket that carries descriptors: a front end's end,
// able to say anything a hostile one could. Blocking with a time limit.
#ifndef TMEMD_TEST_MOCK_FD_SOCKET_H_
#define TMEMD_TEST_MOCK_FD_SOCKET_H_

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace tmemd::mock {

class FdSocket {
 public:
  // Connects, or takes over a connected descriptor. Throws std::system_error.
  explicit FdSocket(const std::string& path);
  explicit FdSocket(int fd) : fd_(fd) {}
  ~FdSocket() { close(); }
  FdSocket(const FdSocket&) = delete;
  FdSocket& operator=(const FdSocket&) = delete;

  // All bytes, the descriptors with the first of them (kept by the caller).
  // False when the peer has closed.
  bool send(std::span<const std::byte> bytes, std::span<const int> fds, int timeoutMs);

  enum class Outcome { kReceived, kClosed, kTimedOut };
  // At most maxBytes, what is there once something is. Descriptors received are the caller's.
  Outcome receive(size_t maxBytes, int timeoutMs, std::vector<std::byte>& bytes, std::vector<int>& fds);

  void close();

 private:
  int fd_ = -1;
};

}  // namespace tmemd::mock

#endif  // TMEMD_TEST_MOCK_FD_SOCKET_H_
