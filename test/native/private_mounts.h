// File systems that only this process sees, mounted with or without root.
#ifndef TMEMD_TEST_NATIVE_PRIVATE_MOUNTS_H_
#define TMEMD_TEST_NATIVE_PRIVATE_MOUNTS_H_

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace tmemd {

// The calling thread's mounts are its own from here on. Without root in a user namespace, so before any other
// thread is made. False where neither is allowed.
inline bool enterPrivateMounts() {
  const uid_t user = getuid();
  const gid_t group = getgid();
  if (unshare(user == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  if (user != 0) {
    std::ofstream("/proc/self/uid_map") << "0 " + std::to_string(user) + " 1";
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/gid_map") << "0 " + std::to_string(group) + " 1";
  }
  return mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

// Whether `attempt` succeeds in a child.
template <typename Attempt>
bool canInChild(Attempt attempt) {
  pid_t child = fork();
  if (child == 0) _exit(attempt() ? 0 : 1);
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace tmemd

#endif  // TMEMD_TEST_NATIVE_PRIVATE_MOUNTS_H_
