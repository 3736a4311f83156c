// A file system with one file, which never says what is in it.
#ifndef TMEMD_TEST_NATIVE_SILENT_FILE_SYSTEM_H_
#define TMEMD_TEST_NATIVE_SILENT_FILE_SYSTEM_H_

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "native/private_mounts.h"

namespace tmemd {

// Mounted where only the calling thread's namespace sees it; without root in a user namespace, so to be made
// before any other thread is.
class SilentFileSystem {
 public:
  explicit SilentFileSystem(uint64_t fileBytes) : fileBytes_(fileBytes) {
    REQUIRE(enterPrivateMounts());
    char folder[] = "/tmp/tmemd-XXXXXX";
    REQUIRE(mkdtemp(folder));
    folder_ = folder;
    device_ = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    REQUIRE_MESSAGE(device_ >= 0, "/dev/fuse: " << strerror(errno));
    const std::string options = mountOptions(device_);
    REQUIRE(mount("silent", folder_.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) == 0);
    server_ = std::thread([this] { serve(); });
  }
  ~SilentFileSystem() {
    end();
    rmdir(folder_.c_str());
  }
  // Needs a kernel with FUSE whose device may be opened.
  static bool isPossible() {
    return canInChild([] {
      const int device = enterPrivateMounts() ? open("/dev/fuse", O_RDWR | O_CLOEXEC) : -1;
      const std::string options = mountOptions(device);
      return device >= 0 && mount("silent", "/tmp", "fuse", MS_NOSUID | MS_NODEV, options.c_str()) == 0;
    });
  }
  SilentFileSystem(const SilentFileSystem&) = delete;
  SilentFileSystem& operator=(const SilentFileSystem&) = delete;

  int openFile() const { return open((folder_ + "/file").c_str(), O_RDWR | O_CLOEXEC); }
  // Waits until somebody asked for bytes of the file.
  void awaitRead() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return read_; });
  }
  // Whoever waits for bytes gets an error. Idempotent.
  void end() {
    if (!server_.joinable()) return;
    umount2(folder_.c_str(), MNT_FORCE);
    umount2(folder_.c_str(), MNT_DETACH);
    server_.join();
    close(device_);
  }

 private:
  static constexpr uint64_t kFile = FUSE_ROOT_ID + 1;

  static std::string mountOptions(int device) {
    return "fd=" + std::to_string(device) + ",rootmode=40000,user_id=0,group_id=0";
  }

  void serve() {
    std::vector<char> request(FUSE_MIN_READ_BUFFER + (1 << 17));
    for (;;) {
      const ssize_t bytes = ::read(device_, request.data(), request.size());
      if (bytes < 0 && (errno == EINTR || errno == ENOENT)) continue;
      if (bytes < static_cast<ssize_t>(sizeof(fuse_in_header))) return;  // unmounted
      answer(*reinterpret_cast<const fuse_in_header*>(request.data()));
    }
  }
  void answer(const fuse_in_header& request) {
    switch (request.opcode) {
      case FUSE_INIT: {
        fuse_init_out out{};
        out.major = FUSE_KERNEL_VERSION;
        out.minor = FUSE_KERNEL_MINOR_VERSION;
        out.max_write = 4096;
        return reply(request, &out, sizeof out);
      }
      case FUSE_LOOKUP: {
        fuse_entry_out out{};
        out.nodeid = kFile;
        out.attr = attributes(kFile);
        return reply(request, &out, sizeof out);
      }
      case FUSE_GETATTR: {
        fuse_attr_out out{};
        out.attr = attributes(request.nodeid);
        return reply(request, &out, sizeof out);
      }
      case FUSE_OPEN: {
        fuse_open_out out{};
        return reply(request, &out, sizeof out);
      }
      case FUSE_READ: {
        std::lock_guard lock(mutex_);
        read_ = true;
        return changed_.notify_all();
      }
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT:
        return;
      default:
        return reply(request, nullptr, 0, -ENOSYS);
    }
  }
  fuse_attr attributes(uint64_t node) const {
    fuse_attr attr{};
    attr.ino = node;
    attr.mode = node == kFile ? S_IFREG | 0600 : S_IFDIR | 0700;
    attr.size = node == kFile ? fileBytes_ : 0;
    attr.nlink = 1;
    attr.blksize = 4096;
    return attr;
  }
  void reply(const fuse_in_header& request, const void* body, size_t bodyBytes, int error = 0) {
    std::vector<char> answer(sizeof(fuse_out_header) + bodyBytes);
    const fuse_out_header header{static_cast<uint32_t>(answer.size()), error, request.unique};
    std::memcpy(answer.data(), &header, sizeof header);
    if (bodyBytes) std::memcpy(answer.data() + sizeof header, body, bodyBytes);
    // Whoever asked may have gone.
    [[maybe_unused]] ssize_t written = ::write(device_, answer.data(), answer.size());
  }

  const uint64_t fileBytes_;
  std::string folder_;
  int device_ = -1;
  std::thread server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool read_ = false;
};

}  // namespace tmemd

#endif  // TMEMD_TEST_NATIVE_SILENT_FILE_SYSTEM_H_
