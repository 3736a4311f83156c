#include "bench/peers/key_value.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace tmemd::bench {

namespace {

constexpr size_t kBufferBytes = 1 << 20;
constexpr size_t kPartsMax = 1024;  // IOV_MAX

using Key = std::array<char, 9>;

Key keyOf(uint32_t page) {
  Key key;
  std::snprintf(key.data(), key.size(), "%08x", page);
  return key;
}

iovec part(const void* bytes, size_t length) { return {const_cast<void*>(bytes), length}; }
iovec part(const std::string& text) { return part(text.data(), text.size()); }
iovec part(const Key& key) { return part(key.data(), key.size() - 1); }

std::system_error failure(const char* what) { return {errno, std::generic_category(), what}; }

}  // namespace

KeyValueProtocol KeyValueProtocol::redis() {
  return {.setBeforeKey = "*3\r\n$3\r\nSET\r\n$8\r\n",
          .setAfterKey = "\r\n$4096\r\n",
          .setAfterPage = "\r\n",
          .setAnswer = "+OK\r\n",
          .getBeforeKey = "*2\r\n$3\r\nGET\r\n$8\r\n",
          .getAfterKey = "\r\n",
          .answerBeforePage = "$4096\r\n",
          .answerAfterPage = "\r\n"};
}

KeyValueProtocol KeyValueProtocol::memcached() {
  return {.setBeforeKey = "set ",
          .setAfterKey = " 0 0 4096\r\n",
          .setAfterPage = "\r\n",
          .setAnswer = "STORED\r\n",
          .getBeforeKey = "get ",
          .getAfterKey = "\r\n",
          .answerBeforePage = "VALUE % 0 4096\r\n",
          .answerAfterPage = "\r\nEND\r\n"};
}

KeyValue::KeyValue(const std::string& socketPath, KeyValueProtocol protocol, uint32_t depth,
                   const std::string& corpusFile)
    : corpus_(corpusFile), protocol_(std::move(protocol)), depth_(depth), buffer_(kBufferBytes) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (depth == 0 || socketPath.size() >= sizeof address.sun_path) throw std::invalid_argument("depth or socket path");
  std::memcpy(address.sun_path, socketPath.data(), socketPath.size());
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0 || connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw failure(socketPath.c_str());
}

KeyValue::~KeyValue() { ::close(fd_); }

void KeyValue::sendAll(std::vector<iovec>& parts) {
  for (size_t first = 0; first < parts.size();) {
    const size_t count = std::min(parts.size() - first, kPartsMax);
    ssize_t sent = writev(fd_, parts.data() + first, static_cast<int>(count));
    if (sent < 0) throw failure("the server's socket");
    for (; first < parts.size() && static_cast<size_t>(sent) >= parts[first].iov_len; ++first)
      sent -= static_cast<ssize_t>(parts[first].iov_len);
    if (sent > 0) {
      parts[first].iov_base = static_cast<char*>(parts[first].iov_base) + sent;
      parts[first].iov_len -= static_cast<size_t>(sent);
    }
  }
  parts.clear();
}

const char* KeyValue::receive(size_t bytes) {
  while (end_ - begin_ < bytes) {
    if (buffer_.size() - begin_ < bytes || begin_ == end_) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    const ssize_t got = read(fd_, buffer_.data() + end_, buffer_.size() - end_);
    if (got < 0) throw failure("the server's socket");
    if (got == 0) throw std::runtime_error("the server hung up");
    end_ += static_cast<size_t>(got);
  }
  begin_ += bytes;
  return buffer_.data() + begin_ - bytes;
}

void KeyValue::expect(const std::string& text) {
  const char* got = receive(text.size());
  if (std::memcmp(got, text.data(), text.size()) != 0)
    throw std::runtime_error("the server answered " + std::string(got, text.find_last_not_of("\r\n") + 1));
}

template <typename Send, typename Answered>
PeerResult KeyValue::run(std::span<const uint32_t> pages, Send send, Answered answered) {
  PeerResult result;
  if (depth_ == 1) result.latencyNs.reserve(pages.size());
  std::vector<iovec> parts;
  std::vector<Key> keys(pages.size());
  const Stopwatch whole;
  size_t sent = 0;
  for (size_t done = 0; done < pages.size();) {
    const Stopwatch one;
    for (; sent < pages.size() && sent - done < depth_; ++sent) {
      keys[sent] = keyOf(pages[sent]);
      send(pages[sent], keys[sent], parts);
    }
    sendAll(parts);
    // All of them at the end, else half the window.
    const size_t inFlight = sent - done;
    const size_t await = sent == pages.size() ? inFlight : (inFlight + 1) / 2;
    for (size_t n = 0; n < await; ++n, ++done) answered(pages[done], keys[done], result);
    if (depth_ == 1) result.latencyNs.push_back(static_cast<uint32_t>(one.ns()));
  }
  result.elapsedNs = whole.ns();
  return result;
}

PeerResult KeyValue::put(std::span<const uint32_t> pages) {
  return run(
      pages,
      [&](uint32_t page, const Key& key, std::vector<iovec>& parts) {
        parts.insert(parts.end(), {part(protocol_.setBeforeKey), part(key), part(protocol_.setAfterKey),
                                   part(corpus_.page(page), kPeerPageBytes), part(protocol_.setAfterPage)});
      },
      [&](uint32_t, const Key&, PeerResult&) { expect(protocol_.setAnswer); });
}

PeerResult KeyValue::get(std::span<const uint32_t> pages, bool verify) {
  const size_t keyAt = protocol_.answerBeforePage.find('%');
  return run(
      pages,
      [&](uint32_t, const Key& key, std::vector<iovec>& parts) {
        parts.insert(parts.end(), {part(protocol_.getBeforeKey), part(key), part(protocol_.getAfterKey)});
      },
      [&](uint32_t page, const Key& key, PeerResult& result) {
        std::string before = protocol_.answerBeforePage;
        if (keyAt != std::string::npos) before.replace(keyAt, 1, key.data());
        expect(before);
        const char* got = receive(kPeerPageBytes);
        if (verify && std::memcmp(got, corpus_.page(page), kPeerPageBytes) != 0) ++result.mismatches;
        expect(protocol_.answerAfterPage);
      });
}

}  // namespace tmemd::bench
