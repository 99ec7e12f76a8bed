// The io_uring executor: names are made and small files created, written and closed a window at a time; what has no
// opcode (metadata, device nodes, clones, copies) is called for in the same task.
//
// Each worker thread has a ring of its own, opened at its first batch; a worker without one (the limit of locked
// memory, a filter) issues system calls.

#include <tbb/enumerable_thread_specific.h>

#include <algorithm>
#include <optional>

#include "engine/issue/executor.h"
#include "engine/issue/one_operation.h"
#include "engine/sys/ring.h"

namespace vskel {

namespace {

/// One batch on its way through a ring.
class RingBatch {
 public:
  RingBatch(sys::Ring& ring, const Batch& batch, OnFailure on_failure)
      : ring_(ring), batch_(batch), on_failure_(on_failure) {}

  Results run() {
    for (std::size_t at = 0; at < batch_.operations.size() && !stopped_; ++at) {
      const Operation& operation = batch_.operations[at];
      if (prepare(operation)) {
        window_.push_back(at);
        if (ring_.room() == 0) flush();
        continue;
      }
      // The directory's own metadata comes after all that is made in it.
      if (std::holds_alternative<SetDirectoryMetadata>(operation)) flush();
      if (!stopped_) settle(at, issue_one(operation, dir()));
    }
    flush();
    std::ranges::sort(results_.failures, {}, &Results::Failure::operation);
    return std::move(results_);
  }

 private:
  struct OpenFile {
    std::size_t at;
    Fd file;
  };

  [[nodiscard]] const DirFd& dir() const { return *batch_.directory; }

  /// False for what the ring has no opcode for.
  bool prepare(const Operation& operation) {
    if (const auto* make_dir = std::get_if<MakeDir>(&operation)) {
      ring_.make_dir(dir(), make_dir->name, make_dir->mode);
    } else if (const auto* link = std::get_if<LinkName>(&operation)) {
      ring_.link(*link->source_dir, link->source, dir(), link->name);
    } else if (const auto* symlink = std::get_if<MakeSymlink>(&operation)) {
      ring_.make_symlink(dir(), symlink->name, *symlink->target);
    } else if (const auto* write = std::get_if<WriteFile>(&operation)) {
      ring_.create_file(dir(), write->name, creation_mode(write->metadata->mode));
    } else {
      return false;
    }
    return true;
  }

  void settle(std::size_t at, Result<> outcome) {
    if (outcome) return;
    results_.failures.push_back({at, std::move(outcome).error()});
    stopped_ = on_failure_ == OnFailure::stop;
  }

  void flush() {
    if (window_.empty()) return;
    auto done = ring_.finish();
    std::vector<OpenFile> files;
    for (std::size_t place = 0; place < window_.size(); ++place) {
      const std::size_t at = window_[place];
      if (!done[place]) {
        settle(at, std::unexpected(std::move(done[place]).error()));
        continue;
      }
      const Operation& operation = batch_.operations[at];
      if (const auto* symlink = std::get_if<MakeSymlink>(&operation))
        settle(at, apply_metadata(dir(), symlink->name, sys::FileType::symlink, *symlink->metadata, Fresh::yes));
      if (std::holds_alternative<WriteFile>(operation)) files.push_back({at, Fd(*done[place])});
    }
    window_.clear();
    write(files);
    for (OpenFile& open : files)
      if (open.file.open()) ring_.close(std::move(open.file));
    (void)ring_.finish();  // close(2) of a file that was written tells nothing here: a sync follows
  }

  void write(std::vector<OpenFile>& files) {
    for (const OpenFile& open : files)
      if (!content_of(open.at).empty()) ring_.write(open.file, content_of(open.at), 0);
    auto written = ring_.finish();
    auto next = written.begin();
    for (OpenFile& open : files) {
      const auto content = content_of(open.at);
      Result<int> outcome = content.empty() ? Result<int>(0) : std::move(*next++);
      settle(open.at, finish_file(open, content, std::move(outcome)));
    }
  }

  Result<> finish_file(const OpenFile& open, std::span<const std::byte> content, Result<int> written) {
    const auto done = static_cast<std::size_t>(TRY(std::move(written)));
    if (done < content.size()) TRY(sys::write_at(open.file, content.subspan(done), done));
    return apply_metadata(open.file, *std::get<WriteFile>(batch_.operations[open.at]).metadata, Fresh::yes);
  }

  [[nodiscard]] std::span<const std::byte> content_of(std::size_t at) const {
    return std::get<WriteFile>(batch_.operations[at]).content;
  }

  sys::Ring& ring_;
  const Batch& batch_;
  const OnFailure on_failure_;
  std::vector<std::size_t> window_;  // indices of the operations that are prepared
  bool stopped_ = false;
  Results results_;
};

class UringExecutor final : public Executor {
 public:
  explicit UringExecutor(std::unique_ptr<sys::Ring> first) : plain_(make_syscall_executor()) {
    rings_.local().ring = std::move(first);
  }

  Results issue(const Batch& batch, OnFailure on_failure) override {
    // One operation alone has nobody to share the way with.
    sys::Ring* const ring = batch.operations.size() > 1 ? own_ring() : nullptr;
    if (ring == nullptr) return plain_->issue(batch, on_failure);
    return RingBatch(*ring, batch, on_failure).run();
  }

 private:
  struct Own {
    std::unique_ptr<sys::Ring> ring;
    bool refused = false;
  };

  sys::Ring* own_ring() {
    Own& own = rings_.local();
    if (own.ring == nullptr && !own.refused) {
      auto opened = sys::Ring::open();
      own.refused = !opened;
      if (opened) own.ring = std::move(*opened);
    }
    return own.ring.get();
  }

  std::unique_ptr<Executor> plain_;
  tbb::enumerable_thread_specific<Own> rings_;
};

}  // namespace

Result<std::unique_ptr<Executor>> make_uring_executor() {
  auto ring = TRY(sys::Ring::open());
  return std::unique_ptr<Executor>(new UringExecutor(std::move(ring)));
}

}  // namespace vskel
