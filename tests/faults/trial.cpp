// The parent holds nothing open in the file system and starts no thread: it can be unmounted, and forked, at any time.
// The child tells what it has to tell through shared memory, because it may die at any call.
#include "tests/faults/trial.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <system_error>
#include <thread>

#include "engine/sys/kernel.h"
#include "engine/sys/seam.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

namespace vskel::test {
namespace {

/// What the child leaves to be read, however it ends.
struct Notes {
  std::atomic<unsigned> calls;
  std::atomic<bool> fired, told;
  Outcome outcome;
  char call[512];
  char why[2048];
  char complaint[2048];

  template <std::size_t Size>
  static void write(char (&place)[Size], const std::string& text) {
    std::snprintf(place, Size, "%s", text.c_str());
  }
};

class SharedNotes {
 public:
  SharedNotes()
      : notes_(static_cast<Notes*>(
            ::mmap(nullptr, sizeof(Notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    if (notes_ == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "map shared memory");
  }
  ~SharedNotes() { ::munmap(notes_, sizeof(Notes)); }
  SharedNotes(const SharedNotes&) = delete;
  SharedNotes& operator=(const SharedNotes&) = delete;
  Notes* operator->() { return notes_; }
  Notes& operator*() { return *notes_; }

 private:
  Notes* notes_;
};

std::string path_of(int descriptor) {
  Fd borrowed(descriptor);
  std::string path = sys::path_of(borrowed);
  (void)borrowed.release();
  return path;
}

[[noreturn]] void die() {
  for (;;) ::kill(::getpid(), SIGKILL);
}

class FaultSeam : public sys::Seam {
 public:
  FaultSeam(const Fault& fault, int disk, Notes& notes) : fault_(fault), disk_(disk), notes_(notes) {
    sys::install_seam(this);
  }
  ~FaultSeam() override { sys::install_seam(nullptr); }
  FaultSeam(const FaultSeam&) = delete;
  FaultSeam& operator=(const FaultSeam&) = delete;

  int before(const char* call, bool changes, int dir, const char* name) override {
    if ((changes || fault_.every_call) && fault_.kind != Fault::Kind::cut_after && !notes_.fired) {
      const unsigned number = ++notes_.calls;
      if (fault_.on.empty() ? number == fault_.at : text_of(call, dir, name).find(fault_.on) != std::string::npos)
        return strike(call, dir, name);
    }
    return fault_.barriers_out.contains(call) ? kPretend : kRun;
  }

 private:
  static std::string text_of(const char* call, int dir, const char* name) {
    return std::string(call) + " " + path_of(dir) + (*name != '\0' ? "/" : "") + name;
  }

  /// Some errors are what the kernel has to say of a file: EXDEV of an open that something is mounted there, EPERM of
  /// setting flags that there are none for us, EMLINK of a link that the inode has all the names it can have (a copy
  /// takes its place then), EPERM, EBUSY and EXDEV of a rename that a tenant protects the file or has something mounted
  /// on it (it is kept then, and told). The engine is right to go by them.
  static int failure_of(std::string_view call, int code) {
    const bool two_places = call == "linkat" || call.starts_with("renameat") || call == "FICLONE" ||
                            call == "FIDEDUPERANGE" || call == "copy_file_range";
    if (code == EXDEV && !two_places) return EIO;
    if (code == EPERM && call == "FS_IOC_SETFLAGS") return EIO;
    if ((code == EPERM || code == EBUSY || code == EXDEV) && call == "renameat2") return EIO;
    if (code == EMLINK && call == "linkat") return EIO;
    return code;
  }

  int strike(const char* call, int dir, const char* name) {
    Notes::write(notes_.call, text_of(call, dir, name));
    notes_.fired = true;
    switch (fault_.kind) {
      case Fault::Kind::fail:
        return failure_of(call, fault_.code);
      case Fault::Kind::kill:
        die();
      case Fault::Kind::cut:
        if (const int code = cut_off(disk_, fault_.spared); code != 0)
          Notes::write(notes_.complaint, std::string("no cut: ") + std::strerror(code));
        die();
      default:
        return kRun;
    }
  }

  const Fault& fault_;
  int disk_;
  Notes& notes_;
};

/// Descriptors into the disk, but for the one by which it is cut off. In a clone of its mount a path would not tell.
std::string left_open(const Disk& disk, int but) {
  std::string text;
  struct stat own {
  }, other{};
  if (::stat(disk.path().c_str(), &own) != 0) return "the disk is gone\n";
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int number = std::stoi(entry.path().filename());
    if (number == but || ::fstat(number, &other) != 0) continue;
    if (other.st_dev == own.st_dev) text += "left open: " + path_of(number) + "\n";
  }
  return text;
}

void run_in_child(const Disk& disk, const StorePaths& places, const Command& command, const Fault& fault,
                  Notes& notes) {
  constexpr unsigned kLimit = 60;
  ::alarm(kLimit);
  sys::engine_start();
  const int cut_by = ::open(disk.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  {
    std::optional<FaultSeam> seam;
    if (fault.opening) seam.emplace(fault, cut_by, notes);
    const auto store = Store::open_or_create(places);
    if (!store && !fault.opening) {
      Notes::write(notes.complaint, "open the store: " + store.error().line());
      return;
    }
    if (!fault.opening) seam.emplace(fault, cut_by, notes);
    const Told answer = store ? command(*store) : Told{Outcome::failed, store.error().line()};
    seam.reset();
    if (fault.kind == Fault::Kind::cut_after) {
      notes.fired = true;
      if (const int code = cut_off(cut_by, fault.spared); code != 0)
        Notes::write(notes.complaint, std::string("no cut: ") + std::strerror(code));
    }
    notes.outcome = answer.outcome;
    Notes::write(notes.why, answer.why);
    notes.told = true;
  }
  if (fault.kind != Fault::Kind::cut_after) Notes::write(notes.complaint, left_open(disk, cut_by));
#if defined(__SANITIZE_ADDRESS__)
  if (__lsan_do_recoverable_leak_check() != 0) Notes::write(notes.complaint, "memory was leaked");
#endif
}

/// Waits until no child is left: plugins become ours when the engine dies (PR_SET_CHILD_SUBREAPER).
bool all_children_ended() {
  using namespace std::chrono_literals;
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  for (;;) {
    const pid_t ended = ::waitpid(-1, nullptr, WNOHANG);
    if (ended < 0) return true;
    if (ended > 0) continue;
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(1ms);
  }
}

std::string complaint_about(int status, const Ending& ending, const Fault& fault) {
  const bool meant_to_die = fault.kind == Fault::Kind::kill || fault.kind == Fault::Kind::cut;
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && meant_to_die && ending.fired) return {};
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) return "it hangs";
  if (WIFSIGNALED(status)) return std::string("it crashed: ") + ::strsignal(WTERMSIG(status));
  if (WEXITSTATUS(status) != 0) return "it ended with " + std::to_string(WEXITSTATUS(status));
  return {};
}

}  // namespace

Ending run_trial(const Disk& disk, const StorePaths& places, const Command& command, const Fault& fault) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  SharedNotes notes;
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    try {
      run_in_child(disk, places, command, fault, *notes);
    } catch (const std::exception& exception) {
      Notes::write(notes->complaint, std::string("exception: ") + exception.what());
    }
    std::_Exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  Ending ending;
  ending.fired = notes->fired;
  ending.told = notes->told;
  ending.answer = {notes->outcome, notes->why};
  ending.call = notes->call;
  ending.calls = notes->calls;
  ending.complaint = notes->complaint + complaint_about(status, ending, fault);
  if (!all_children_ended()) ending.complaint += "a process was left behind";
  return ending;
}

}  // namespace vskel::test
