#include <sys/sysmacros.h>

#include <array>
#include <charconv>
#include <cstdio>

#include "engine/manifest/manifest.h"

namespace vskel {

namespace {

std::string_view type_word(sys::FileType type) {
  switch (type) {
    case sys::FileType::directory:
      return "dir";
    case sys::FileType::symlink:
      return "link";
    case sys::FileType::fifo:
      return "fifo";
    case sys::FileType::character:
      return "char";
    case sys::FileType::block:
      return "block";
    case sys::FileType::socket:
      return "socket";
    default:
      return "file";
  }
}

void append_number(std::string& out, std::string_view keyword, std::uint64_t value) {
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(keyword).append(digits.data(), end);
}

template <std::size_t N>
void append_hex(std::string& out, std::string_view keyword, const std::array<std::uint8_t, N>& bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out.append(keyword);
  for (const std::uint8_t byte : bytes) {
    out.push_back(kHex[byte >> 4]);
    out.push_back(kHex[byte & 15]);
  }
}

void append_entry(std::string& out, const ManifestEntry& entry, std::string_view further_parts) {
  out.append(entry.path.empty() ? "." : "./").append(encode_path(entry.path));
  out.append(" type=").append(type_word(entry.type));
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), " mode=%04o", entry.mode);
  out.append(text.data());
  append_number(out, " uid=", entry.uid);
  append_number(out, " gid=", entry.gid);
  const bool regular = entry.type == sys::FileType::regular;
  if (regular) append_number(out, " size=", entry.size);
  const bool has_names = entry.type != sys::FileType::directory && entry.nlink != 1;
  if (regular || has_names) append_number(out, " nlink=", entry.nlink);
  std::snprintf(text.data(), text.size(), " time=%lld.%09u", static_cast<long long>(entry.mtime.seconds),
                entry.mtime.nanoseconds);
  out.append(text.data());
  if (entry.type == sys::FileType::symlink) out.append(" link=").append(encode_path(entry.link_target()));
  if (entry.type == sys::FileType::character || entry.type == sys::FileType::block) {
    std::snprintf(text.data(), text.size(), " device=native,%u,%u", major(entry.rdev()), minor(entry.rdev()));
    out.append(text.data());
  }
  if (entry.sha256()) append_hex(out, " sha256digest=", *entry.sha256());
  out.append(" tags=part:").append(part_name(entry.part)).append(further_parts);
  if (entry.content) append_hex(out, ",xxh128:", *entry.content);
  if (entry.xattrs()) append_hex(out, ",xattr128:", *entry.xattrs());
  out.push_back('\n');
}

}  // namespace

ManifestWriter::ManifestWriter(unsigned generation, ManifestSink sink)
    : sink_(std::move(sink)), out_("#mtree\n# vskel generation " + std::to_string(generation) + "\n") {}

Result<> ManifestWriter::add(const ManifestEntry& entry) {
  constexpr std::size_t kPiece = 1 << 20;
  if (last_ && last_->path == entry.path) {
    // No reader would take it.
    if (last_->type != sys::FileType::directory || entry.type != sys::FileType::directory)
      return fail("write manifest", "/" + entry.path, "several parts of what is no directory");
    // The highest part describes a path, the others are named.
    further_parts_.append(",part:").append(part_name(last_->part));
  } else if (last_) {
    append_entry(out_, *last_, further_parts_);
    further_parts_.clear();
  }
  last_ = entry;
  if (out_.size() < kPiece) return {};
  TRY(sink_(out_));
  out_.clear();
  return {};
}

Result<> ManifestWriter::finish() {
  if (last_) append_entry(out_, *last_, further_parts_);
  return sink_(out_);
}

Result<> write_manifest(const Manifest& manifest, const ManifestSink& sink) {
  ManifestWriter writer(manifest.generation, sink);
  for (const ManifestEntry& entry : manifest.entries) TRY(writer.add(entry));
  return writer.finish();
}

std::string write_manifest(const Manifest& manifest) {
  std::string out;
  (void)write_manifest(manifest, [&out](std::string_view piece) -> Result<> {
    out.append(piece);
    return {};
  });
  return out;
}

}  // namespace vskel
