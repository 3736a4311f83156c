// What a descriptor of a front end's choosing is, told without asking the file
// behind it: fstat, poll or close of a FUSE file, of a socket that lingers or of
// a terminal may take as long as the front end likes. The name that the kernel
// itself gives to a descriptor in /proc cannot be forged (a file's begins with
// "/") and costs no more than a lock of the kernel's.
#ifndef TMEMD_PEER_DESCRIPTOR_KIND_H_
#define TMEMD_PEER_DESCRIPTOR_KIND_H_

namespace tmemd {

enum class DescriptorKind {
  kEventFd,
  kUnixStream,  // a connected UNIX stream socket
  kOther,
};

DescriptorKind kindOf(int fd);

}  // namespace tmemd

#endif  // TMEMD_PEER_DESCRIPTOR_KIND_H_
