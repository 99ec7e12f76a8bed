#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>

#include "engine/manifest/manifest.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

constexpr std::size_t kLongestLine = 1 << 20;  // a path and a link target, each byte as four, and then some

std::string_view take_word(std::string_view& text) {
  // By hand: find_first_of() searches its set anew for every character, and manifests have millions of words.
  const auto is_space = [](char at) { return at == ' ' || at == '\t'; };
  const auto begin = std::ranges::find_if_not(text, is_space);
  const auto end = std::find_if(begin, text.end(), is_space);
  const std::string_view word(begin, end);
  text.remove_prefix(static_cast<std::size_t>(end - text.begin()));
  return word;
}

template <class Number>
bool parse_number(std::string_view text, Number& out, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc{} && end == text.data() + text.size();
}

template <std::size_t N>
bool parse_hex(std::string_view text, std::array<std::uint8_t, N>& out) {
  if (text.size() != 2 * N) return false;
  const auto digit = [](char at) {
    if (at >= '0' && at <= '9') return at - '0';
    if (at >= 'a' && at <= 'f') return at - 'a' + 10;
    if (at >= 'A' && at <= 'F') return at - 'A' + 10;
    return -1;
  };
  for (std::size_t at = 0; at < N; ++at) {
    const int high = digit(text[2 * at]), low = digit(text[2 * at + 1]);
    if (high < 0 || low < 0) return false;
    out[at] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return true;
}

bool parse_type(std::string_view word, sys::FileType& out) {
  constexpr std::array<std::pair<std::string_view, sys::FileType>, 7> kTypes{{{"file", sys::FileType::regular},
                                                                              {"dir", sys::FileType::directory},
                                                                              {"link", sys::FileType::symlink},
                                                                              {"fifo", sys::FileType::fifo},
                                                                              {"char", sys::FileType::character},
                                                                              {"block", sys::FileType::block},
                                                                              {"socket", sys::FileType::socket}}};
  const auto found = std::ranges::find(kTypes, word, &std::pair<std::string_view, sys::FileType>::first);
  if (found == kTypes.end()) return false;
  out = found->second;
  return true;
}

bool parse_time(std::string_view text, sys::Time& out) {
  const std::size_t dot = text.find('.');
  if (!parse_number(text.substr(0, dot), out.seconds)) return false;
  out.nanoseconds = 0;
  return dot == text.npos || (parse_number(text.substr(dot + 1), out.nanoseconds) && out.nanoseconds < 1'000'000'000);
}

bool parse_device(std::string_view text, std::uint64_t& out) {
  const std::size_t first = text.find(',');
  if (first == text.npos) return parse_number(text, out);
  const std::size_t second = text.find(',', first + 1);
  unsigned major_number = 0, minor_number = 0;
  if (second == text.npos || !parse_number(text.substr(first + 1, second - first - 1), major_number) ||
      !parse_number(text.substr(second + 1), minor_number))
    return false;
  out = makedev(major_number, minor_number);
  return true;
}

}  // namespace

/// One line's keywords, read onto the defaults of /set.
struct ManifestReader::Line {
  ManifestEntry entry;
  std::vector<Part> parts;

  /// Takes back what /set said of one keyword.
  void unset(std::string_view key) {
    const ManifestEntry nothing;
    if (key == "type" || key == "all") entry.type = nothing.type;
    if (key == "mode" || key == "all") entry.mode = nothing.mode;
    if (key == "uid" || key == "all") entry.uid = nothing.uid;
    if (key == "gid" || key == "all") entry.gid = nothing.gid;
    if (key == "size" || key == "all") entry.size = nothing.size;
    if (key == "nlink" || key == "all") entry.nlink = nothing.nlink;
    if (key == "time" || key == "all") entry.mtime = nothing.mtime;
    if (key == "device" || key == "all") entry.set_rdev(0);
    if (key == "link" || key == "all") entry.set_link_target({});
    if (key == "sha256digest" || key == "sha256" || key == "all") entry.set_sha256(std::nullopt);
    if (key == "tags" || key == "all") unset_tags();
  }

  void unset_tags() {
    entry.content.reset();
    entry.set_xattrs(std::nullopt);
    parts.clear();
  }

  /// nullptr, or what is wrong with the word.
  const char* read(std::string_view word) {
    const std::size_t equals = word.find('=');
    const std::string_view key = word.substr(0, equals),
                           value = equals == word.npos ? std::string_view() : word.substr(equals + 1);
    if (key == "type") return parse_type(value, entry.type) ? nullptr : "unknown type";
    if (key == "mode") return parse_number(value, entry.mode, 8) && entry.mode <= 07777 ? nullptr : "bad mode";
    if (key == "uid") return parse_number(value, entry.uid) ? nullptr : "bad uid";
    if (key == "gid") return parse_number(value, entry.gid) ? nullptr : "bad gid";
    if (key == "size") return parse_number(value, entry.size) ? nullptr : "bad size";
    if (key == "nlink") return parse_number(value, entry.nlink) ? nullptr : "bad nlink";
    if (key == "time") return parse_time(value, entry.mtime) ? nullptr : "bad time";
    if (key == "device") return read_device(value);
    if (key == "sha256digest" || key == "sha256") return read_sha256(value);
    if (key == "link") return read_link(value);
    if (key == "tags") return read_tags(value);
    return nullptr;  // keywords of other programs say nothing to us
  }

  const char* read_device(std::string_view value) {
    std::uint64_t rdev = 0;
    if (!parse_device(value, rdev)) return "bad device";
    entry.set_rdev(rdev);
    return nullptr;
  }

  const char* read_sha256(std::string_view value) {
    Sha256 digest{};
    if (!parse_hex(value, digest)) return "bad sha256digest";
    entry.set_sha256(digest);
    return nullptr;
  }

  const char* read_link(std::string_view value) {
    auto target = decode_path(value);
    if (!target) return "bad escape in link";
    entry.set_link_target(std::move(*target));
    return nullptr;
  }

  const char* read_tags(std::string_view value) {
    unset_tags();
    while (!value.empty()) {
      const std::string_view tag = value.substr(0, value.find(','));
      value.remove_prefix(std::min(value.size(), tag.size() + 1));
      if (tag.starts_with("xxh128:") && !parse_hex(tag.substr(7), entry.content.emplace())) return "bad xxh128";
      if (Hash128 hash{}; tag.starts_with("xattr128:")) {
        if (!parse_hex(tag.substr(9), hash)) return "bad xattr128";
        entry.set_xattrs(hash);
      }
      if (!tag.starts_with("part:")) continue;
      const std::string_view name = tag.substr(5);
      const auto known = [&](Part part) { return name == part_name(part); };
      constexpr std::array<Part, 3> kAll{Part::global_part, Part::local_part, Part::static_part};
      const auto found = std::ranges::find_if(kAll, known);
      if (found == kAll.end()) return "unknown part";
      if (std::ranges::find(parts, *found) != parts.end()) return "a part twice";
      parts.push_back(*found);
    }
    return nullptr;
  }
};

namespace {

/// The relative path of an entry; nullopt if it is none.
std::optional<std::string> read_path(std::string_view word) {
  if (word == ".") return std::string();
  if (!word.starts_with("./")) return std::nullopt;
  auto path = decode_path(word.substr(2));
  if (!path || path->size() > 64 * 1024 || !is_relative_path(*path)) return std::nullopt;
  return path;
}

}  // namespace

struct ManifestReader::State {
  /// What the order of entries is judged by.
  struct Last {
    std::string path;
    sys::FileType type;
    Part part;
  };

  std::string source;
  EntrySink sink;
  unsigned generation = 0;
  std::optional<Last> last;
  Line defaults;
  std::size_t number = 0;  ///< of lines so far
  std::string torn;        ///< the beginning of a line whose end is in the next piece

  /// Why `next` may not stand after `last`; nullptr if it may.
  static const char* not_after(const Last& last, const ManifestEntry& next) {
    if (last.path != next.path)
      return last.path < next.path ? nullptr : "out of order (paths are sorted by their bytes)";
    if (last.type != sys::FileType::directory || next.type != sys::FileType::directory || last.part == next.part)
      return "stands in it twice";
    return last.part < next.part ? nullptr : "out of order (parts of a path are global, local, static)";
  }

  Result<> read_line(std::string_view line) {
    constexpr std::string_view kGeneration = "# vskel generation ";
    ++number;
    const auto bad = [&](std::string why) {
      return fail("read manifest", source + ":" + std::to_string(number), std::move(why));
    };
    if (line.starts_with(kGeneration) && !parse_number(line.substr(kGeneration.size()), generation))
      return bad("bad generation");
    if (line.empty() || line.front() == '#') return {};
    if (line.find('\0') != line.npos) return bad("a NUL byte");
    const std::string_view first = take_word(line);
    if (first.empty()) return {};
    if (first == "/unset") {
      while (!line.empty()) defaults.unset(take_word(line));
      return {};
    }
    Line read = defaults;
    while (!line.empty())
      if (const std::string_view word = take_word(line); !word.empty())
        if (const char* why = read.read(word)) return bad(std::string(why) + ": " + std::string(word));
    if (first == "/set") {
      defaults = std::move(read);
      return {};
    }
    auto path = read_path(first);
    if (!path) return bad("not a relative path: " + std::string(first));
    if (read.entry.type == sys::FileType::unknown) return bad("no type");
    if (read.parts.empty()) return bad("no part");
    std::ranges::sort(read.parts);
    // Earlier versions wrote this when a path had gone to static and the generation before came back: it is static's,
    // as the rest of the line says, and the next generation leaves the other part's file out.
    const bool is_directory = read.entry.type == sys::FileType::directory;
    if (read.parts.size() == 2 && read.parts.back() == Part::static_part && !is_directory)
      read.parts.erase(read.parts.begin());
    if (read.parts.size() > 1 && !is_directory) return bad("several parts of what is no directory");
    read.entry.path = std::move(*path);
    for (const Part part : read.parts) {
      read.entry.part = part;
      if (last)
        if (const char* why = not_after(*last, read.entry)) return bad(std::string(why) + ": " + std::string(first));
      if (!last) last.emplace();
      last->path = read.entry.path;
      last->type = read.entry.type;
      last->part = part;
      TRY(sink(part == read.parts.back() ? std::move(read.entry) : ManifestEntry(read.entry)));
    }
    return {};
  }
};

ManifestReader::ManifestReader(std::string source, EntrySink sink) : state_(std::make_unique<State>()) {
  state_->source = std::move(source);
  state_->sink = std::move(sink);
}
ManifestReader::~ManifestReader() = default;

Result<> ManifestReader::add(std::string_view piece) {
  for (std::size_t end = piece.find('\n'); end != piece.npos; end = piece.find('\n')) {
    const std::string_view line = piece.substr(0, end);
    if (state_->torn.empty()) {
      TRY(state_->read_line(line));
    } else {
      TRY(state_->read_line(state_->torn.append(line)));
      state_->torn.clear();
    }
    piece.remove_prefix(end + 1);
  }
  state_->torn.append(piece);
  if (state_->torn.size() > kLongestLine)
    return fail("read manifest", state_->source + ":" + std::to_string(state_->number + 1), "a line without an end");
  return {};
}

Result<unsigned> ManifestReader::finish() {
  if (!state_->torn.empty()) TRY(state_->read_line(state_->torn));
  return state_->generation;
}

Result<Manifest> read_manifest(std::string_view text, const std::string& source) {
  Manifest manifest;
  ManifestReader reader(source, [&manifest](ManifestEntry entry) -> Result<> {
    manifest.entries.push_back(std::move(entry));
    return {};
  });
  TRY(reader.add(text));
  manifest.generation = TRY(reader.finish());
  return manifest;
}

}  // namespace vskel
