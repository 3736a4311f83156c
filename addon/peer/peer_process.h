// The process that made a connection, as a descriptor that becomes readable
// when it ends, whoever else holds its end of the socket by then.
#ifndef TMEMD_PEER_PEER_PROCESS_H_
#define TMEMD_PEER_PEER_PROCESS_H_

#include <cstdint>

#include "device/owned_fd.h"

namespace tmemd {

struct PeerProcess {
  enum class State {
    kAlive,    // `pidfd` is there
    kGone,     // it ended before we looked
    kUnknown,  // it lives where we cannot see it (another pid namespace), or the kernel cannot tell
  };
  State state = State::kUnknown;
  OwnedFd pidfd;
};

// Of a connected UNIX socket, accepted at `acceptedNs` (CLOCK_BOOTTIME) or before. Linux 6.5 and later keep hold of
// the process itself.
PeerProcess peerProcess(int socket, uint64_t acceptedNs);

// What is left on older kernels: the process that has the peer's number now. One that began after
// `acceptedNs` is another, so that the peer is gone.
// If a number was used again earlier than that, the wrong process is watched; it can only be so when
// the right one is gone, so that to end the connection with it is never wrong.
PeerProcess peerProcessByNumber(int socket, uint64_t acceptedNs);

uint64_t bootTimeNs();

}  // namespace tmemd

#endif  // TMEMD_PEER_PEER_PROCESS_H_
