#include "engine/tree/listing.h"

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace vskel {

namespace {

// struct linux_dirent64, getdents64(2): inode, offset, record length, type, then the zero-terminated name.
constexpr std::size_t kRecordLengthAt = 16, kTypeAt = 18, kNameAt = 19;
constexpr std::size_t kBufferSize = 64 * 1024;
constexpr std::size_t kMostEntries = 16'000'000;  // far above any real directory; bounds what a growing one can cost

sys::FileType type_of(unsigned char d_type) {
  switch (d_type) {  // DT_* of dirent.h
    case 1:
      return sys::FileType::fifo;
    case 2:
      return sys::FileType::character;
    case 4:
      return sys::FileType::directory;
    case 6:
      return sys::FileType::block;
    case 8:
      return sys::FileType::regular;
    case 10:
      return sys::FileType::symlink;
    case 12:
      return sys::FileType::socket;
    default:
      return sys::FileType::unknown;
  }
}

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

Result<Listing> Listing::read(const DirFd& dir) {
  Listing listing;
  // What stays is as large as the names are: most directories are small, and fresh memory is a page fault each time.
  thread_local const auto scratch = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
  // A directory that was read before would seem empty, and what seems to have nothing in it is removed.
  TRY(sys::rewind(dir));
  for (;;) {
    const std::size_t filled = TRY(sys::get_dents(dir, {scratch.get(), kBufferSize}));
    if (filled == 0) return listing;
    auto buffer = std::make_unique_for_overwrite<std::byte[]>(filled);
    std::memcpy(buffer.get(), scratch.get(), filled);
    for (std::size_t at = 0; at < filled;) {
      const std::byte* const record = buffer.get() + at;
      const auto* const text = reinterpret_cast<const char*>(record + kNameAt);
      at += load<std::uint16_t>(record + kRecordLengthAt);
      if (text[0] == '.' && (text[1] == '\0' || (text[1] == '.' && text[2] == '\0'))) continue;
      const auto name = Name::check(text);
      if (!name) return fail("read directory", sys::path_of(dir), EBADMSG);
      sys::FileType type = type_of(load<unsigned char>(record + kTypeAt));
      if (type == sys::FileType::unknown) {
        const auto looked = TRY(sys::stat_if_there(dir, *name));
        if (!looked) continue;
        type = looked->type;
      }
      listing.entries_.push_back({*name, type, load<std::uint64_t>(record)});
    }
    if (listing.entries_.size() > kMostEntries) return fail("read directory", sys::path_of(dir), EFBIG);
    listing.buffers_.push_back(std::move(buffer));
  }
}

}  // namespace vskel
