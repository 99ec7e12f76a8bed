#include "engine/packages/dpkg_status.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <tuple>

namespace vskel {

namespace {

constexpr std::array<std::string_view, 5> kWants{"unknown", "install", "hold", "deinstall", "purge"};
constexpr std::array<std::string_view, 2> kFlags{"ok", "reinstreq"};
constexpr std::array<std::string_view, 8> kStates{"not-installed",    "config-files",    "half-installed",
                                                  "unpacked",         "half-configured", "triggers-awaited",
                                                  "triggers-pending", "installed"};
constexpr std::size_t kMaxFields = 256;  // a paragraph's; policy knows some forty
constexpr std::size_t kMaxWord = 255;
constexpr std::size_t kMaxToldOfLine = 80;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_word_of(std::string_view text, std::string_view also) {
  return !text.empty() && text.size() <= kMaxWord && is_letter_or_digit(text.front()) &&
         std::ranges::all_of(text, [also](char c) { return is_letter_or_digit(c) || also.contains(c); });
}

/// Field names mean the same in capitals.
std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

template <class Word>
std::optional<Word> word_of(std::string_view text, std::span<const std::string_view> words) {
  const auto found = std::ranges::find(words, text);
  if (found == words.end()) return std::nullopt;
  return static_cast<Word>(found - words.begin());
}

std::string_view next_word(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

auto key_of(const DpkgPackage& package) { return std::tie(package.name, package.architecture); }

/// Reads line by line; what it holds is the paragraph under way.
class StatusReader {
 public:
  StatusReader(std::string_view text, const std::string& source) : text_(text), source_(source) {}

  Result<DpkgPackages> run() {
    if (text_.size() > kMaxDpkgStatus) return fail("read package status", source_, "larger than 64 MiB");
    while (at_ < text_.size()) {
      const std::size_t begin = at_;
      TRY(next_line());
      if (line_.empty()) {
        TRY(end_paragraph(begin));
        continue;
      }
      if (fields_.empty()) package_.begin = begin;
      TRY(add_line());
    }
    TRY(end_paragraph(at_));
    return sorted();
  }

 private:
  struct Where {
    std::string name;  // of the field, in small letters
    std::size_t line;
  };

  [[nodiscard]] std::unexpected<Error> bad(std::size_t line, std::string_view what, std::string_view why) const {
    std::string reason(what.substr(0, kMaxToldOfLine));
    if (!reason.empty()) reason += ": ";
    return fail("read package status", source_ + ":" + std::to_string(line), reason.append(why));
  }
  [[nodiscard]] std::unexpected<Error> bad(std::string_view why) const { return bad(number_, line_, why); }

  [[nodiscard]] bool has(std::string_view field) const {
    return std::ranges::find(fields_, field, &Where::name) != fields_.end();
  }

  Result<> next_line() {
    ++number_;
    const std::size_t end = text_.find('\n', at_);
    line_ = text_.substr(at_, end == text_.npos ? text_.npos : end - at_);
    if (end == text_.npos) return bad("the file ends within a line");
    if (line_.contains('\0')) return bad("a NUL byte");
    at_ = end + 1;
    return {};
  }

  Result<> add_line() {
    if (line_.front() == ' ' || line_.front() == '\t') {
      if (fields_.empty()) return bad("goes on with a field that is not there");
      if (is_ours_) return bad("a value of one line has a second one");
      return {};
    }
    const std::size_t colon = line_.find(':');
    if (colon == line_.npos || !is_word_of(line_.substr(0, colon), "-_")) return bad("a line is FIELD: VALUE");
    std::string name = lower(line_.substr(0, colon));
    if (has(name)) return bad("the field is there twice");
    if (fields_.size() == kMaxFields) return bad("too many fields");
    fields_.push_back({std::move(name), number_});
    return set(fields_.back().name, trimmed(line_.substr(colon + 1)));
  }

  Result<> set(std::string_view field, std::string_view value) {
    is_ours_ = true;
    if (field == "package") {
      if (!is_word_of(value, "-+._")) return bad("no name of a package");
      package_.name = value;
    } else if (field == "architecture") {
      if (!is_word_of(value, "-")) return bad("no architecture");
      package_.architecture = value;
    } else if (field == "version") {
      if (!is_word_of(value, ".-+~:")) return bad("no version");
      package_.version = value;
    } else if (field == "multi-arch") {
      package_.multi_arch_same = value == "same";
    } else if (field == "status") {
      return set_status(value);
    } else {
      is_ours_ = false;
    }
    return {};
  }

  Result<> set_status(std::string_view value) {
    const auto want = word_of<DpkgWant>(next_word(value), kWants);
    const auto flag = word_of<DpkgFlag>(next_word(value), kFlags);
    const auto state = word_of<DpkgState>(value, kStates);
    if (!want || !flag || !state) return bad("a status is WANT FLAG STATE, of words that dpkg has");
    package_.want = *want;
    package_.flag = *flag;
    package_.state = *state;
    return {};
  }

  Result<> end_paragraph(std::size_t end) {
    if (fields_.empty()) return {};
    const std::size_t line = fields_.front().line;
    if (package_.name.empty()) return bad(line, "", "a paragraph without Package");
    if (!has("status")) return bad(line, package_.name, "no Status");
    if (packages_.size() == kMaxDpkgPackages) return bad(line, package_.name, "too many packages");
    package_.size = end - package_.begin;
    packages_.push_back({std::move(package_), line});
    package_ = {};
    fields_.clear();
    return {};
  }

  Result<DpkgPackages> sorted() {
    std::ranges::stable_sort(packages_, {}, [](const Numbered& numbered) { return key_of(numbered.package); });
    DpkgPackages out;
    out.reserve(packages_.size());
    for (Numbered& numbered : packages_) {
      if (!out.empty() && key_of(out.back()) == key_of(numbered.package))
        return bad(numbered.line, dpkg_label(numbered.package), "the package is there twice");
      out.push_back(std::move(numbered.package));
    }
    return out;
  }

  struct Numbered {
    DpkgPackage package;
    std::size_t line;
  };

  const std::string_view text_;
  const std::string& source_;
  std::size_t at_ = 0, number_ = 0;
  std::string_view line_;
  DpkgPackage package_;
  std::vector<Where> fields_;
  bool is_ours_ = false;  // the field under way is one that we read
  std::vector<Numbered> packages_;
};

}  // namespace

std::string_view want_word(DpkgWant want) { return kWants.at(static_cast<std::size_t>(want)); }
std::string_view flag_word(DpkgFlag flag) { return kFlags.at(static_cast<std::size_t>(flag)); }
std::string_view state_word(DpkgState state) { return kStates.at(static_cast<std::size_t>(state)); }

std::string dpkg_label(const DpkgPackage& package) {
  return package.multi_arch_same ? package.name + ":" + package.architecture : package.name;
}

std::string dpkg_list_name(const DpkgPackage& package) { return dpkg_label(package) + ".list"; }

bool is_settled(const DpkgPackage& package) {
  const bool at_rest = package.state == DpkgState::installed || package.state == DpkgState::config_files ||
                       package.state == DpkgState::not_installed;
  return at_rest && package.flag == DpkgFlag::ok;
}

Result<DpkgPackages> parse_dpkg_status(std::string_view text, const std::string& source) {
  return StatusReader(text, source).run();
}

const DpkgPackage* find_package(const DpkgPackages& packages, std::string_view name, std::string_view architecture) {
  const auto found = std::ranges::lower_bound(packages, std::pair(name, architecture), {}, [](const DpkgPackage& one) {
    return std::pair<std::string_view, std::string_view>(one.name, one.architecture);
  });
  if (found == packages.end() || found->name != name || found->architecture != architecture) return nullptr;
  return &*found;
}

}  // namespace vskel
