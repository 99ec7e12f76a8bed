// Tasks that may start further tasks, and one that waits for all of them: tbb::task_group, seen by ThreadSanitizer.
//
// TBB's library is not instrumented: the sanitizer does not see that a task was handed from thread to thread, and takes
// all that it was given for raced over. In builds for it (only there) the handover is told by one atomic counter: what
// stands before run() happens before the task, and the task before the return of run_and_wait(). The task itself holds
// a bare pointer that uninstrumented functions copy and read, because TBB's own memory is handed over unseen too.
#pragma once

#include <tbb/task_group.h>

#include <atomic>
#include <functional>
#include <utility>

namespace vskel {

#if defined(__SANITIZE_THREAD__)

class TaskGroup {
 public:
  /// Starts `body` in any thread of the caller's arena. May be called by a task of the group. `body` is copyable.
  template <class Body>
  void run(Body body) {
    auto* const given = new std::function<void()>(std::move(body));
    handovers_.fetch_add(1, std::memory_order_acq_rel);
    group_.run(Carrier(given));
  }
  /// Calls `body` in this thread, then waits for all tasks of the group, working on them meanwhile.
  template <class Body>
  void run_and_wait(Body body) {
    group_.run_and_wait(std::move(body));
    handovers_.fetch_add(1, std::memory_order_acq_rel);
  }

 private:
  struct Carrier {
    std::function<void()>* body;
    [[gnu::no_sanitize_thread, gnu::noinline]] explicit Carrier(std::function<void()>* given) : body(given) {}
    [[gnu::no_sanitize_thread, gnu::noinline]] Carrier(const Carrier& other) : body(other.body) {}
    Carrier& operator=(const Carrier&) = delete;
    [[gnu::no_sanitize_thread, gnu::noinline]] void operator()() const { perform(body); }
  };
  [[gnu::noinline]] static void perform(std::function<void()>* body) {
    handovers_.fetch_add(1, std::memory_order_acq_rel);
    (*body)();
    delete body;
    handovers_.fetch_add(1, std::memory_order_acq_rel);
  }
  inline static std::atomic<unsigned> handovers_{0};
  tbb::task_group group_;
};

#else

class TaskGroup {
 public:
  template <class Body>
  void run(Body body) {
    group_.run(std::move(body));
  }
  template <class Body>
  void run_and_wait(Body body) {
    group_.run_and_wait(std::move(body));
  }

 private:
  tbb::task_group group_;
};

#endif

}  // namespace vskel
