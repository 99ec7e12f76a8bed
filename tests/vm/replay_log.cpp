// What a disk may hold after a power cut, from a log of its writes that dm-log-writes kept (drivers/md/dm-log-writes.c;
// the log begins with an empty disk).
//
//   replay_log LOG                       prints how many flushes the log has behind its mark "begin"
//   replay_log LOG IMAGE FLUSH SEED      makes IMAGE what the disk may hold if the power goes after that flush (from 0)
//   and
//                                        before the next, and prints the last mark before the cut
//
// A disk may keep what was written since its last flush, or lose it, in any mixture, and tear the last write; of writes
// with FUA all that were done before it are kept. The mixture is drawn by SEED.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr std::uint64_t kMagic = 0x6a736677736872;
constexpr std::uint64_t kFlush = 1, kFua = 2, kDiscard = 4, kMark = 8;

struct Super {
  std::uint64_t magic, version, entries;
  std::uint32_t sector_size;
};

struct Entry {
  std::uint64_t sector = 0, sectors = 0, flags = 0, data_bytes = 0;
  std::uint64_t data_at = 0;  ///< in the log, bytes; not of the kernel's entry
  std::string mark{};
};

class File {
 public:
  File(const char* path, int flags) : fd_(::open(path, flags | O_CLOEXEC, 0600)) {
    if (fd_ < 0) throw std::runtime_error(std::string(path) + ": " + std::strerror(errno));
  }
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  void read(void* to, std::size_t bytes, std::uint64_t at) const {
    if (::pread(fd_, to, bytes, static_cast<off_t>(at)) != static_cast<ssize_t>(bytes))
      throw std::runtime_error("the log is too short");
  }
  void write(const void* from, std::size_t bytes, std::uint64_t at) const {
    if (::pwrite(fd_, from, bytes, static_cast<off_t>(at)) != static_cast<ssize_t>(bytes))
      throw std::runtime_error("the image can't be written");
  }
  void resize(std::uint64_t bytes) const {
    if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) throw std::runtime_error("the image can't be resized");
  }

 private:
  int fd_;
};

class Log {
 public:
  explicit Log(const char* path) : file_(path, O_RDONLY) {
    Super super{};
    file_.read(&super, sizeof super, 0);
    if (super.magic != kMagic || super.version != 1) throw std::runtime_error("no log of dm-log-writes");
    sector_size_ = super.sector_size;
    std::uint64_t at = sector_size_;
    for (std::uint64_t number = 0; number < super.entries; ++number) {
      Entry entry;
      std::array<std::uint64_t, 4> head{};
      file_.read(head.data(), sizeof head, at);
      entry.sector = head[0], entry.sectors = head[1], entry.flags = head[2], entry.data_bytes = head[3];
      if ((entry.flags & kMark) != 0) {
        entry.mark.resize(entry.data_bytes);
        file_.read(entry.mark.data(), entry.mark.size(), at + sizeof head);
        entry.mark.resize(std::strlen(entry.mark.c_str()));
      }
      at += sector_size_;
      entry.data_at = at;
      if ((entry.flags & kDiscard) == 0) at += entry.sectors * sector_size_;
      end_ = std::max(end_, entry.sector + entry.sectors);
      entries_.push_back(std::move(entry));
    }
  }

  /// Indices of the flushes behind the mark "begin".
  [[nodiscard]] std::vector<std::size_t> flushes() const {
    std::vector<std::size_t> found;
    bool begun = false;
    for (std::size_t at = 0; at < entries_.size(); ++at) {
      begun = begun || entries_[at].mark == "begin";
      if (begun && (entries_[at].flags & kFlush) != 0) found.push_back(at);
    }
    return found;
  }

  /// Gives the last mark before the cut.
  [[nodiscard]] std::string make(const File& image, std::size_t flush, std::uint64_t seed) const {
    image.resize(0);
    image.resize(end_ * sector_size_);
    std::mt19937_64 random(seed);
    std::size_t next = flush + 1;
    while (next < entries_.size() && (entries_[next].flags & kFlush) == 0) ++next;
    for (std::size_t at = 0; at < flush; ++at) put(image, entries_[at], entries_[at].sectors);
    // The flush's own data, which is written behind it, is one of those that may be lost, with all that came later.
    const std::size_t cut = flush + random() % (next - flush + 1);
    for (std::size_t at = flush; at < cut; ++at) {
      const Entry& entry = entries_[at];
      const bool kept = at == flush || (entry.flags & kFua) != 0 || random() % 2 == 0;
      const bool torn = at + 1 == cut && entry.sectors > 1 && random() % 4 == 0;
      if (kept) put(image, entry, torn ? 1 + random() % (entry.sectors - 1) : entry.sectors);
    }
    std::string mark;
    for (std::size_t at = 0; at < cut; ++at)
      if (!entries_[at].mark.empty()) mark = entries_[at].mark;
    return mark;
  }

 private:
  void put(const File& image, const Entry& entry, std::uint64_t sectors) const {
    std::vector<char> data(sectors * sector_size_);
    if ((entry.flags & kDiscard) == 0) file_.read(data.data(), data.size(), entry.data_at);
    image.write(data.data(), data.size(), entry.sector * sector_size_);
  }

  File file_;
  std::uint64_t sector_size_ = 0, end_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2 && argc != 5) throw std::runtime_error("replay_log LOG [IMAGE FLUSH SEED]");
    const Log log(argv[1]);
    const std::vector<std::size_t> flushes = log.flushes();
    if (argc == 2) {
      std::printf("%zu\n", flushes.size());
      return 0;
    }
    const std::size_t flush = std::strtoull(argv[3], nullptr, 10);
    if (flush >= flushes.size()) throw std::runtime_error("there are not so many flushes");
    const File image(argv[2], O_RDWR | O_CREAT);
    std::puts(log.make(image, flushes[flush], std::strtoull(argv[4], nullptr, 10)).c_str());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "replay_log: %s\n", error.what());
    return 1;
  }
}
