#include "cli/save_settings.h"

#include <cerrno>
#include <string_view>
#include <vector>

#include "engine/sys/kernel.h"
#include "engine/txn/journal.h"

namespace vskel::cli {

namespace {

constexpr std::size_t kMostSettings = 1 << 20;

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    lines.emplace_back(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(text.size(), lines.back().size() + 1));
  }
  return lines;
}

std::string_view without_spaces(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t");
  if (start == text.npos) return {};
  return text.substr(start, text.find_last_not_of(" \t\r") + 1 - start);
}

/// "[name]": name.
std::optional<std::string_view> section_in(std::string_view line) {
  line = without_spaces(line);
  const std::size_t end = line.find(']');
  if (!line.starts_with('[') || end == line.npos) return std::nullopt;
  return without_spaces(line.substr(1, end - 1));
}

bool sets(std::string_view line, std::string_view key) {
  const std::size_t equals = line.find('=');
  return equals != line.npos && without_spaces(line.substr(0, equals)) == key;
}

}  // namespace

std::string with_setting(const std::string& text, const std::string& section, const std::string& key,
                         const std::optional<std::string>& value) {
  std::vector<std::string> lines = lines_of(text);
  std::size_t end = 0;  // behind the section's last line that is not empty
  bool inside = section.empty(), found = inside;
  std::optional<std::size_t> set;
  for (std::size_t at = 0; at < lines.size(); ++at) {
    if (const auto name = section_in(lines[at])) {
      inside = *name == section;
      found = found || inside;
    }
    if (inside && !without_spaces(lines[at]).empty()) end = at + 1;
    if (inside && sets(lines[at], key)) set = at;
  }
  const auto place = [&](std::size_t at) { return lines.begin() + static_cast<std::ptrdiff_t>(at); };
  const std::string line = key + " = " + value.value_or("");
  if (set && value) lines[*set] = line;
  if (set && !value) lines.erase(place(*set));
  if (!set && value) {
    if (!found) {
      if (!lines.empty() && !without_spaces(lines.back()).empty()) lines.emplace_back();
      lines.push_back("[" + section + "]");
      end = lines.size();
    }
    lines.insert(place(end), line);
  }
  std::string out;
  for (const std::string& one : lines) out += one + "\n";
  return out;
}

Result<> save_settings(const std::string& path, const MeasuredSettings& settings) {
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == path.npos ? "." : path.substr(0, slash + 1), last = path.substr(slash + 1);
  const auto name = Name::check(last);
  if (!name) return refuse("save settings", path, "no name of a file");
  const DirFd dir = TRY(sys::open_root(parent));
  std::string text;
  std::uint32_t mode = 0644;
  if (const auto there = TRY(sys::stat_if_there(dir, *name))) {
    if (there->type != sys::FileType::regular)
      return refuse("save settings", path, "not a regular file; --config names the file itself");
    mode = there->mode;
    text = TRY(sys::read_whole(TRY(sys::open_file(dir, *name)), kMostSettings));
  }
  text = with_setting(text, "", "jobs", settings.jobs ? std::optional(std::to_string(*settings.jobs)) : std::nullopt);
  text = with_setting(text, "backend", settings.file_system, '"' + settings.backend + '"');
  return write_file_atomically(dir, *name, text, mode);
}

}  // namespace vskel::cli
