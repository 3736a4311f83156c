// Reads and writes that go on when the socket is ready.
#include "napi/connection_binding.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "napi/arguments.h"
#include "napi/errors.h"
#include "peer/peer_process.h"

namespace tmemd::binding {
namespace {

constexpr size_t kSendControlBytes = CMSG_SPACE(ConnectionBinding::kMaxFds * sizeof(int));
constexpr size_t kReceiveControlBytes = CMSG_SPACE(ConnectionBinding::kMostFds * sizeof(int));

Napi::Error closedError(Napi::Env env) { return errorWithCode(env, "the connection is closed", kClosedCode); }

// Whether as many descriptors as can come at once would find a place. Numbers are given lowest first: where the
// highest are free there is room.
bool roomForDescriptors(int socket) {
  // A probe at a higher number would have the kernel make a table as large as the limit.
  constexpr rlim_t kHighest = rlim_t{1} << 17;
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  const auto lowest = static_cast<int>(std::min(limit.rlim_cur, kHighest) - ConnectionBinding::kMostFds);
  const OwnedFd probe(fcntl(socket, F_DUPFD_CLOEXEC, lowest));
  return probe && probe.get() == lowest;
}

// Sends what is left of a message; the descriptors go with its first byte.
ssize_t sendPart(int socket, const std::vector<uint8_t>& bytes, size_t sentBytes,
                 const std::vector<OwnedFd>& fds) {
  iovec part = {const_cast<uint8_t*>(bytes.data()) + sentBytes, bytes.size() - sentBytes};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[kSendControlBytes] = {};
  if (sentBytes == 0 && !fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    for (size_t i = 0; i < fds.size(); ++i) {
      const int fd = fds[i].get();
      memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

Napi::Function ConnectionBinding::define(Napi::Env env) {
  return DefineClass(
      env, "FdConnection",
      {InstanceAccessor<&ConnectionBinding::peer>("peer"), InstanceMethod<&ConnectionBinding::read>("read"),
       InstanceMethod<&ConnectionBinding::write>("write"),
       InstanceMethod<&ConnectionBinding::watchPeer>("watchPeer"),
       InstanceMethod<&ConnectionBinding::close>("close")});
}

Napi::Object ConnectionBinding::adopt(Napi::Env env, OwnedFd fd) {
  // The constructor takes the descriptor out of the external.
  return Environment::of(env)->connectionConstructor.New({Napi::External<OwnedFd>::New(env, &fd)});
}

ConnectionBinding::ConnectionBinding(const Napi::CallbackInfo& info)
    : ObjectWrap(info), environment_(Environment::of(info.Env())), acceptedNs_(bootTimeNs()) {
  if (!info[0].IsExternal())
    throw Napi::TypeError::New(info.Env(), "connections come from accept and connectUnix");
  OwnedFd& fd = *info[0].As<Napi::External<OwnedFd>>().Data();
  socket_ = translateErrors(info.Env(), [&] {
    return std::make_unique<WatchedSocket>(environment_, std::move(fd), [this] { onReady(); });
  });
}

ConnectionBinding::~ConnectionBinding() {
  forgetPeer();
  if (socket_) socket_->close({}, std::move(unwanted_));
}

Napi::Value ConnectionBinding::peer(const Napi::CallbackInfo& info) {
  if (!socket_) throw closedError(info.Env());
  ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt(socket_->fd(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
    throw errnoError(info.Env(), errno, "SO_PEERCRED");
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("pid", Napi::Number::New(info.Env(), credentials.pid));
  object.Set("uid", Napi::Number::New(info.Env(), credentials.uid));
  object.Set("gid", Napi::Number::New(info.Env(), credentials.gid));
  return object;
}

// --- read --------------------------------------------------------------------

Napi::Value ConnectionBinding::read(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const size_t lengthBytes = asInteger(info[0], "lengthBytes", 1, kMaxMessageBytes);
  if (read_) throw Napi::Error::New(env, "a read is in progress on this connection");
  read_.emplace(env, lengthBytes);
  const Napi::Promise promise = read_->deferred.Promise();
  begin();
  continueRead();
  rearm();
  return promise;
}

void ConnectionBinding::continueRead() {
  while (read_) {
    if (!socket_) return rejectRead(closedError(Env()));
    if (!roomForDescriptors(socket_->fd()))
      return rejectRead(errnoError(Env(), EMFILE, "no room for descriptors that may come with a message"));
    iovec part = {read_->bytes.data() + read_->receivedBytes, read_->bytes.size() - read_->receivedBytes};
    alignas(cmsghdr) char control[kReceiveControlBytes];
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t received = recvmsg(socket_->fd(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (received < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      // A peer that ended while bytes of ours were unread: to the reader, an end of stream.
      if (errno != ECONNRESET) return rejectRead(errnoError(Env(), errno, "recvmsg"));
    }
    takeFds(message);
    if (received <= 0) {
      return rejectRead(
          read_->receivedBytes == 0
              ? errorWithCode(Env(), "the peer closed the connection", kClosedCode)
              : errorWithCode(Env(), "the peer closed the connection within a message", kTruncatedCode));
    }
    read_->receivedBytes += static_cast<size_t>(received);
    if (read_->receivedBytes == read_->bytes.size()) return resolveRead();
  }
}

void ConnectionBinding::takeFds(msghdr& message) {
  if (message.msg_flags & MSG_CTRUNC) read_->fdsTruncated = true;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int number;
      memcpy(&number, CMSG_DATA(header) + i * sizeof number, sizeof number);
      OwnedFd fd(number);
      if (read_->fds.size() < kMaxFds) {
        read_->fds.push_back(std::move(fd));
      } else {
        read_->fdsTruncated = true;
        unwanted_.push_back(std::move(fd));
      }
    }
  }
}

void ConnectionBinding::resolveRead() {
  PendingRead done = std::move(*read_);
  read_.reset();
  Napi::Object result = Napi::Object::New(Env());
  result.Set("bytes", Napi::Buffer<uint8_t>::Copy(Env(), done.bytes.data(), done.bytes.size()));
  Napi::Array fds = Napi::Array::New(Env(), done.fds.size());
  for (uint32_t i = 0; i < done.fds.size(); ++i) fds.Set(i, Napi::Number::New(Env(), done.fds[i].release()));
  result.Set("fds", fds);
  result.Set("fdsTruncated", done.fdsTruncated);
  done.deferred.Resolve(result);
  end();
}

void ConnectionBinding::rejectRead(const Napi::Error& error) {
  PendingRead failed = std::move(*read_);
  read_.reset();
  for (OwnedFd& fd : failed.fds) unwanted_.push_back(std::move(fd));
  failed.deferred.Reject(error.Value());
  end();
}

// --- write -------------------------------------------------------------------

Napi::Value ConnectionBinding::write(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsBuffer()) throw argumentError(env, "bytes", "a Buffer");
  const auto bytes = info[0].As<Napi::Buffer<uint8_t>>();
  if (bytes.Length() == 0 || bytes.Length() > kMaxMessageBytes)
    throw argumentError(env, "bytes", "of 1 to " + std::to_string(kMaxMessageBytes) + " bytes");
  PendingWrite write(env);
  write.bytes.assign(bytes.Data(), bytes.Data() + bytes.Length());
  if (!info[1].IsUndefined()) {
    if (!info[1].IsArray() || info[1].As<Napi::Array>().Length() > kMaxFds)
      throw argumentError(env, "fds", "an array of at most " + std::to_string(kMaxFds) + " descriptors");
    const Napi::Array fds = info[1].As<Napi::Array>();
    for (uint32_t i = 0; i < fds.Length(); ++i) {
      const int fd = static_cast<int>(asInteger(fds.Get(i), "fds", 0, INT32_MAX));
      OwnedFd duplicate(fcntl(fd, F_DUPFD_CLOEXEC, 0));
      if (!duplicate) throw errnoError(env, errno, "descriptor " + std::to_string(fd));
      write.fds.push_back(std::move(duplicate));
    }
  }
  const Napi::Promise promise = write.deferred.Promise();
  if (!socket_ || writes_.size() >= kMaxQueuedWrites) {
    write.deferred.Reject(socket_ ? Napi::Error::New(env, "too many writes wait for the peer to read").Value()
                                  : closedError(env).Value());
    return promise;
  }
  writes_.push_back(std::move(write));
  begin();
  continueWrites();
  rearm();
  return promise;
}

void ConnectionBinding::continueWrites() {
  while (!writes_.empty()) {
    PendingWrite& write = writes_.front();
    ssize_t sent = -1;
    if (socket_) {
      sent = sendPart(socket_->fd(), write.bytes, write.sentBytes, write.fds);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno == EAGAIN) return;
    }
    if (sent < 0) {
      const bool gone = !socket_ || errno == EPIPE || errno == ECONNRESET;
      write.deferred.Reject(gone ? closedError(Env()).Value() : errnoError(Env(), errno, "sendmsg").Value());
    } else {
      write.sentBytes += static_cast<size_t>(sent);
      write.fds.clear();
      if (write.sentBytes < write.bytes.size()) continue;
      write.deferred.Resolve(Env().Undefined());
    }
    writes_.pop_front();
    end();
  }
}

// --- waiting -----------------------------------------------------------------

void ConnectionBinding::onReady() {
  Napi::HandleScope scope(Env());
  Ref();  // the last operation to end would let go of this object
  continueRead();
  continueWrites();
  rearm();
  Unref();
}

void ConnectionBinding::rearm() {
  if (!socket_) return;
  const uint32_t events = (read_ ? uint32_t{EPOLLIN} : 0) | (writes_.empty() ? 0 : uint32_t{EPOLLOUT});
  if (events != 0) socket_->arm(events);
}

void ConnectionBinding::begin() {
  Ref();
  Environment::of(Env())->mainThread.hold();
}

void ConnectionBinding::end() {
  Environment::of(Env())->mainThread.release();
  Unref();
}

Napi::Value ConnectionBinding::close(const Napi::CallbackInfo& info) {
  if (!closed_.IsEmpty()) return closed_.Value();
  const Napi::Promise::Deferred deferred(info.Env());
  closed_ = Napi::Reference<Napi::Promise>::New(deferred.Promise(), 1);
  forgetPeer();
  shutdown(socket_->fd(), SHUT_RDWR);  // the peer sees the end at once, however long the closing takes
  // What a pending read has received joins what is closed with the socket.
  std::unique_ptr<WatchedSocket> socket = std::move(socket_);
  continueRead();
  continueWrites();
  Ref();
  socket->close(
      [this, deferred](Napi::Env env) {
        deferred.Resolve(env.Undefined());
        Unref();
      },
      std::move(unwanted_));
  return deferred.Promise();
}

// --- the peer ----------------------------------------------------------------

Napi::Value ConnectionBinding::watchPeer(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Function onGone = asFunction(info[0], "onGone");
  if (!socket_) throw closedError(env);
  if (!onPeerGone_.IsEmpty()) throw Napi::Error::New(env, "the peer is watched already");
  PeerProcess peer = peerProcess(socket_->fd(), acceptedNs_);
  if (peer.state == PeerProcess::State::kUnknown) return Napi::Boolean::New(env, false);
  onPeerGone_ = Napi::Persistent(onGone);
  if (peer.state == PeerProcess::State::kGone) {
    Ref();
    environment_->mainThread.post([this](Napi::Env) {
      firePeerGone();
      Unref();
    });
    return Napi::Boolean::New(env, true);
  }
  peerProcess_ = std::move(peer.pidfd);
  translateErrors(env, [&] {
    peerWatch_ = environment_->readiness.watch(peerProcess_.get(), [this] { firePeerGone(); });
    environment_->readiness.arm(peerWatch_, EPOLLIN);
  });
  return Napi::Boolean::New(env, true);
}

void ConnectionBinding::firePeerGone() {
  if (onPeerGone_.IsEmpty()) return;
  Napi::HandleScope scope(Env());
  const Napi::Function onGone = onPeerGone_.Value();
  forgetPeer();
  onGone.Call({});
}

void ConnectionBinding::forgetPeer() {
  if (peerWatch_ != 0) environment_->readiness.forget(std::exchange(peerWatch_, 0));
  peerProcess_.close();
  onPeerGone_.Reset();
}

}  // namespace tmemd::binding
