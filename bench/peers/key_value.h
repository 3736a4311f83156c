// A client of a key-value server over a UNIX socket, as lean as can be: pages are
// sent from where they lie, answers compared in the buffer they were read into.
// With more than one request in flight the window is refilled when half of it has
// been answered, so that client and server both work all the time.
#ifndef TMEMD_BENCH_PEERS_KEY_VALUE_H_
#define TMEMD_BENCH_PEERS_KEY_VALUE_H_

#include <sys/uio.h>

#include <span>
#include <string>
#include <vector>

#include "bench/peers/paged_peer.h"

namespace tmemd::bench {

// The bytes around the key (8 hex digits of the page's number) and the page.
struct KeyValueProtocol {
  std::string setBeforeKey, setAfterKey, setAfterPage, setAnswer;
  std::string getBeforeKey, getAfterKey;
  std::string answerBeforePage;  // "%" stands for the key
  std::string answerAfterPage;

  static KeyValueProtocol redis();
  static KeyValueProtocol memcached();
};

class KeyValue {
 public:
  // Throws std::system_error.
  KeyValue(const std::string& socketPath, KeyValueProtocol protocol, uint32_t depth,
           const std::string& corpusFile);
  ~KeyValue();
  KeyValue(const KeyValue&) = delete;
  KeyValue& operator=(const KeyValue&) = delete;

  // Throw std::runtime_error when the server answers anything but success.
  PeerResult put(std::span<const uint32_t> pages);
  PeerResult get(std::span<const uint32_t> pages, bool verify);

 private:
  template <typename Send, typename Answered>
  PeerResult run(std::span<const uint32_t> pages, Send send, Answered answered);
  void sendAll(std::vector<iovec>& parts);
  // Exactly that many bytes; valid until the next call.
  const char* receive(size_t bytes);
  void expect(const std::string& text);

  const PeerCorpus corpus_;
  const KeyValueProtocol protocol_;
  const uint32_t depth_;
  int fd_ = -1;
  std::vector<char> buffer_;
  size_t begin_ = 0;  // unread bytes of buffer_
  size_t end_ = 0;
};

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_PEERS_KEY_VALUE_H_
