// Bytes: reading, writing, copying, cloning, and making them durable.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>

#include "engine/sys/call.h"
#include "engine/sys/kernel.h"
#include "engine/sys/stopping.h"

namespace vskel::sys {

using detail::Effect;

Result<std::size_t> read_at(const Fd& fd, std::span<std::byte> buffer, std::uint64_t offset) {
  return read_at(fd, buffer, offset, std::numeric_limits<std::uint64_t>::max());
}

Result<std::size_t> read_at(const Fd& fd, std::span<std::byte> buffer, std::uint64_t offset, std::uint64_t end) {
  std::size_t filled = 0;
  while (filled < buffer.size()) {
    const ssize_t got = TRY(detail::attempt("read", "pread64", Effect::looks, fd, "", [&] {
      return ::pread(fd.number(), buffer.data() + filled, buffer.size() - filled, static_cast<off_t>(offset + filled));
    }));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
    if (offset + filled == end) break;
  }
  return filled;
}

Result<std::size_t> read_some(const Fd& fd, std::span<std::byte> buffer) {
  return static_cast<std::size_t>(TRY(detail::attempt(
      "read", "read", Effect::looks, fd, "", [&] { return ::read(fd.number(), buffer.data(), buffer.size()); })));
}

Result<> write_at(const Fd& fd, std::span<const std::byte> data, std::uint64_t offset) {
  while (!data.empty()) {
    const ssize_t put = TRY(detail::attempt("write", "pwrite64", Effect::changes, fd, "", [&] {
      return ::pwrite(fd.number(), data.data(), data.size(), static_cast<off_t>(offset));
    }));
    data = data.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return {};
}

Result<> write_all(const Fd& fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t put = TRY(detail::attempt("write", "write", Effect::changes, fd, "",
                                            [&] { return ::write(fd.number(), data.data(), data.size()); }));
    data.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

Result<std::string> read_whole(const Fd& fd, std::size_t limit) {
  std::string content;
  constexpr std::size_t kStep = 64 * 1024;
  for (;;) {
    const std::size_t have = content.size();
    content.resize(have + kStep);
    const std::size_t got = TRY(read_at(fd, std::as_writable_bytes(std::span(content).subspan(have)), have));
    content.resize(have + got);
    if (content.size() > limit) return detail::failed("read", fd, "", EFBIG);
    if (got < kStep) return content;
  }
}

Result<> truncate(const Fd& fd, std::uint64_t size) {
  return detail::perform("set size", "ftruncate", Effect::changes, fd, "",
                         [&] { return ::ftruncate(fd.number(), static_cast<off_t>(size)); });
}

Result<> clone(const Fd& source, const Fd& target) {
  return detail::perform("clone", "FICLONE", Effect::changes, target, "",
                         [&] { return ::ioctl(target.number(), FICLONE, source.number()); });
}

namespace {

Result<> copy_by_hand(const Fd& source, const Fd& target, std::uint64_t offset, std::uint64_t length) {
  std::vector<std::byte> buffer(std::min<std::uint64_t>(length, 1 << 20));
  while (length > 0) {
    const std::span<std::byte> window(buffer.data(), std::min<std::uint64_t>(length, buffer.size()));
    const std::size_t got = TRY(read_at(source, window, offset));
    if (got == 0) return {};
    TRY(write_at(target, window.first(got), offset));
    offset += got;
    length -= got;
  }
  return {};
}

}  // namespace

Result<> copy_range(const Fd& source, const Fd& target, std::uint64_t offset, std::uint64_t length) {
  auto from = static_cast<off64_t>(offset), to = from;
  while (length > 0) {
    const auto copied = detail::attempt("copy", "copy_file_range", Effect::changes, target, "", [&] {
      return ::copy_file_range(source.number(), &from, target.number(), &to, length, 0);
    });
    if (!copied) {
      const int code = copied.error().code;
      const bool unable = code == EXDEV || code == EINVAL || code == ENOSYS || code == EOPNOTSUPP;
      if (!unable) return std::unexpected(copied.error());
      return copy_by_hand(source, target, static_cast<std::uint64_t>(from), length);
    }
    // 0 is the end of the file, and also what files of proc and sysfs answer whatever they hold: man copy_file_range,
    // BUGS.
    if (*copied == 0) return copy_by_hand(source, target, static_cast<std::uint64_t>(from), length);
    length -= static_cast<std::uint64_t>(*copied);
  }
  return {};
}

Result<std::optional<Extent>> next_data(const Fd& fd, std::uint64_t offset, std::uint64_t size) {
  if (offset >= size) return std::nullopt;
  const off_t start = ::lseek(fd.number(), static_cast<off_t>(offset), SEEK_DATA);
  if (start < 0 && errno == ENXIO) return std::nullopt;
  if (start < 0) return Extent{offset, size};  // EINVAL, EOPNOTSUPP: no holes known here
  const off_t end = ::lseek(fd.number(), start, SEEK_HOLE);
  if (end < 0) return detail::failed("seek", fd, "", errno);
  return Extent{static_cast<std::uint64_t>(start), std::min<std::uint64_t>(static_cast<std::uint64_t>(end), size)};
}

Result<> sync_file(const Fd& fd) {
  return detail::perform("sync", "fsync", Effect::changes, fd, "", [&] { return ::fsync(fd.number()); });
}

Result<> sync_data(const Fd& fd) {
  return detail::perform("sync", "fdatasync", Effect::changes, fd, "", [&] { return ::fdatasync(fd.number()); });
}

Result<> sync_file_system(const Fd& fd) {
  return detail::perform("sync", "syncfs", Effect::changes, fd, "", [&] { return ::syncfs(fd.number()); });
}

void start_writeback(const Fd& fd) { ::sync_file_range(fd.number(), 0, 0, SYNC_FILE_RANGE_WRITE); }
void write_back_file_system(const Fd& fd) { (void)::syncfs(fd.number()); }

namespace {

struct flock whole_file(short type) {
  struct flock whole {};
  whole.l_type = type;
  whole.l_whence = SEEK_SET;
  return whole;
}

}  // namespace

Result<bool> lock_exclusive(const Fd& fd, Wait wait) {
  struct flock whole = whole_file(F_WRLCK);
  for (;;) {
    // The signal that this process is asked to end by may go to another thread than the one that waits.
    const bool polls = wait == Wait::yes && ends_are_noted();
    if (::fcntl(fd.number(), wait == Wait::yes && !polls ? F_OFD_SETLKW : F_OFD_SETLK, &whole) == 0) return true;
    const bool held = errno == EAGAIN || errno == EACCES;
    if (wait == Wait::no && held) return false;
    if (errno != EINTR && !held) return detail::failed("lock", fd, "", errno);
    TRY(may_go_on());
    if (polls) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

namespace {

Result<bool> would_wait(const Fd& fd, short type) {
  struct flock whole = whole_file(type);
  TRY(detail::perform("look at lock", "fcntl", detail::Effect::looks, fd, "",
                      [&] { return ::fcntl(fd.number(), F_OFD_GETLK, &whole); }));
  return whole.l_type != F_UNLCK;
}

}  // namespace

Result<bool> lock_shared(const Fd& fd) {
  struct flock whole = whole_file(F_RDLCK);
  if (::fcntl(fd.number(), F_OFD_SETLK, &whole) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return detail::failed("lock", fd, "", errno);
}

Result<bool> locked_exclusively(const Fd& fd) { return would_wait(fd, F_RDLCK); }
Result<bool> locked_by_another(const Fd& fd) { return would_wait(fd, F_WRLCK); }

}  // namespace vskel::sys
