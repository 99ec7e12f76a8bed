// CLI11 reads the text, but the values are handed out here: CLI11 would let the file win over the environment, and
// takes unknown keys of commands that were not chosen for granted. It stands for TOML's simple part (keys, strings,
// numbers, arrays, sections); a '#' begins a comment even between quotes, which is found by the quote that is left
// over, and refused.

#include "cli/settings.h"

#include <CLI/Config.hpp>
#include <CLI/Error.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>

#include "cli/spelling.h"
#include "engine/skel/layout.h"
#include "engine/sys/kernel.h"
#include "engine/vserver/contexts.h"

namespace vskel::cli {

namespace {

constexpr std::array<std::string_view, 6> kSections{"backend", "create", "plugins", "quiesce", "relink", "seal"};
/// Options that mean nothing in a file.
constexpr std::array<std::string_view, 3> kNotInFile{"config", "help", "version"};

Result<std::optional<std::string>> read_text(const std::string& path, Presence presence) {
  constexpr std::size_t kMostText = 1 << 20;
  auto file = sys::open_input(path);
  if (!file) {
    if (presence == Presence::optional && (file.error().code == ENOENT || file.error().code == ENOTDIR))
      return std::nullopt;
    file.error().operation = "read configuration";
    file.error().blame = Blame::request;
    return std::unexpected(file.error());
  }
  const sys::Stat stat = TRY(sys::stat(*file));
  if (stat.type != sys::FileType::regular) return refuse("read configuration", path, "not a regular file");
  if (stat.uid != 0 || (stat.mode & 022) != 0)
    return refuse("read configuration", path, "must belong to root and not be writable by others");
  std::string text = TRY(sys::read_whole(*file, kMostText));
  // A value that a C string would cut short is none.
  if (text.find('\0') != text.npos) return refuse("read configuration", path, "holds a NUL byte");
  return text;
}

/// CLI11 takes a value of several lines only where something stands behind the opening bracket.
std::string with_arrays_joined(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
    const bool opens_array = line.ends_with('[') && line.find('=') != line.npos && !line.starts_with('#');
    out.append(line).append(opens_array ? " " : "\n");
  }
  return out;
}

/// One file being handed out.
class ConfigReader {
 public:
  ConfigReader(const std::string& path, CLI::App& app, CLI::App& command) : path_(path), app_(app), command_(command) {}

  Result<Settings> read(const std::string& text) {
    std::istringstream input(with_arrays_joined(text));
    const std::vector<CLI::ConfigItem> items = CLI::ConfigTOML().from_config(input);
    for (const CLI::ConfigItem& item : items) TRY(check(item));
    // The command's own section first: it is more to the point than the same key above all sections.
    for (const CLI::ConfigItem& item : items)
      if (!is_mark(item) && !item.parents.empty()) TRY(hand_out_of_section(item));
    for (const CLI::ConfigItem& item : items)
      if (!is_mark(item) && item.parents.empty()) TRY(hand_out(item));
    return std::move(settings_);
  }

 private:
  /// CLI11 marks the beginning and the end of a section by items of these names.
  static bool is_mark(const CLI::ConfigItem& item) { return item.name == "++" || item.name == "--"; }

  std::unexpected<Error> refuse_item(const CLI::ConfigItem& item, const std::string& rule) const {
    return refuse("read configuration", path_,
                  (is_mark(item) ? "[" + item.parents.back() + "]" : item.fullname()) + ": " + rule);
  }

  Result<> check(const CLI::ConfigItem& item) {
    if (item.parents.size() > 1) return refuse_item(item, "no such section");
    if (!item.parents.empty() && std::ranges::find(kSections, item.parents[0]) == kSections.end() &&
        find_command(app_, item.parents[0]) == nullptr)
      return refuse_item(item, "no such section");
    if (is_mark(item)) return {};
    if (!seen_.insert(item.fullname()).second) return refuse_item(item, "given twice");
    for (const std::string& value : item.inputs)
      if (value.starts_with('"') || value.starts_with('\'') || value.starts_with('['))
        return refuse_item(item, "quotes or brackets that do not match (a # begins a comment, between quotes too)");
    return {};
  }

  Result<> hand_out_of_section(const CLI::ConfigItem& item) {
    const std::string& section = item.parents[0];
    if (section == "create") return set_create(item);
    if (section == "plugins") return set_plugins(item);
    if (section == "backend") return set_backend(item);
    if (section == "quiesce") return set_quiesce(item);
    if (section == "seal") return {};  // read by the commands that it is for
    if (section == "relink" && is_relink_setting(item)) return set_relink(item);
    CLI::App* const command = find_command(app_, section);
    CLI::Option* const option = option_of(*command, item.name);
    if (option == nullptr) return refuse_item(item, "no such option of " + section);
    return command == &command_ ? set_option(*option, item) : Result<>();
  }

  Result<> hand_out(const CLI::ConfigItem& item) {
    if (CLI::Option* const option = option_of(app_, item.name)) return set_option(*option, item);
    if (CLI::Option* const option = option_of(command_, item.name)) return set_option(*option, item);
    const auto knows_it = [&](CLI::App* command) { return option_of(*command, item.name) != nullptr; };
    if (std::ranges::any_of(app_.get_subcommands({}), knows_it)) return {};
    return refuse_item(item, "no such option");
  }

  static CLI::Option* option_of(CLI::App& app, const std::string& name) {
    if (std::ranges::find(kNotInFile, name) != kNotInFile.end()) return nullptr;
    return app.get_option_no_throw("--" + name);
  }

  Result<> set_option(CLI::Option& option, const CLI::ConfigItem& item) {
    if (option.count() > 0) return {};
    const bool is_flag = option.get_items_expected_max() == 0;
    if (item.inputs.empty() || (item.inputs.size() > 1 && option.get_items_expected_max() <= 1))
      return refuse_item(item, "wants one value");
    try {
      for (const std::string& value : item.inputs)
        option.add_result(is_flag ? option.get_flag_value(item.name, value) : value);
      option.run_callback();
    } catch (const CLI::Error& error) {
      return refuse_item(item, error.what());
    }
    return {};
  }

  Result<std::string> one_value(const CLI::ConfigItem& item) const {
    if (item.inputs.size() != 1 || item.inputs[0].empty()) return refuse_item(item, "wants one value");
    return item.inputs[0];
  }

  Result<std::string> absolute_value(const CLI::ConfigItem& item) const {
    std::string path = TRY(one_value(item));
    if (!path.starts_with('/')) return refuse_item(item, "wants an absolute path");
    return path;
  }

  Result<std::uint32_t> number_value(const CLI::ConfigItem& item, std::uint32_t least, std::uint32_t most) const {
    const std::string text = TRY(one_value(item));
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number < least || number > most)
      return refuse_item(item, "wants a number from " + std::to_string(least) + " to " + std::to_string(most));
    return number;
  }

  Result<> set_create(const CLI::ConfigItem& item) {
    if (item.name == "config") {
      settings_.create.config_path = TRY(absolute_value(item));
    } else if (item.name == "template") {
      settings_.create.template_path = TRY(absolute_value(item));
    } else if (item.name == "first_context") {
      settings_.create.first_context = TRY(number_value(item, 2, kHighestContext));
    } else {
      return refuse_item(item, "no such setting");
    }
    return {};
  }

  Result<> set_plugins(const CLI::ConfigItem& item) {
    constexpr std::uint32_t kLongestTimeout = 24 * 60 * 60;
    if (item.name == "timeout") {
      settings_.plugins.timeout = std::chrono::seconds(TRY(number_value(item, 1, kLongestTimeout)));
    } else if (item.name == "env") {
      for (const std::string& value : item.inputs) {
        if (!names_variable(value)) return refuse_item(item, "wants \"NAME\" or \"NAME=VALUE\", each in quotes");
        settings_.plugins.environment.push_back(value);
      }
    } else {
      return refuse_item(item, "no such setting");
    }
    return {};
  }

  Result<> set_backend(const CLI::ConfigItem& item) {
    const std::string word = TRY(one_value(item));
    if (word != "syscall" && word != "uring") return refuse_item(item, "wants \"syscall\" or \"uring\"");
    settings_.backends[item.name] = word == "uring" ? Backend::uring : Backend::syscall;
    return {};
  }

  Result<> set_quiesce(const CLI::ConfigItem& item) {
    if (item.name != "trusted") return refuse_item(item, "no such setting");
    for (const std::string& value : item.inputs) {
      if (!value.starts_with('/')) return refuse_item(item, "wants control groups, as in \"/system.slice/x.service\"");
      settings_.trusted.push_back(value);
    }
    return {};
  }

  /// `pkgdb` is a list of paths here and a word on the command line; the word may stand here too.
  static bool is_relink_setting(const CLI::ConfigItem& item) {
    if (item.name == "freeze") return true;
    return item.name == "pkgdb" && (item.inputs.empty() || item.inputs[0].starts_with('/'));
  }

  Result<> set_relink(const CLI::ConfigItem& item) {
    for (const std::string& value : item.inputs) {
      if (auto checked = check_glob(value); !checked) return refuse_item(item, value + ": " + checked.error().reason);
      if (item.name == "pkgdb" && (!value.starts_with('/') || value.find_first_of("*?[") != value.npos))
        return refuse_item(item, value + ": wants absolute paths of directories");
      (item.name == "freeze" ? settings_.relink.freeze : settings_.relink.pkgdb).push_back(value);
    }
    return {};
  }

  static bool names_variable(std::string_view text) {
    static constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    const std::string_view name = text.substr(0, text.find('='));
    if (name.empty() || kLetters.find(name[0]) == kLetters.npos) return false;
    return std::ranges::all_of(name,
                               [](char c) { return (c >= '0' && c <= '9') || kLetters.find(c) != kLetters.npos; });
  }

  const std::string& path_;
  CLI::App& app_;
  CLI::App& command_;
  Settings settings_;
  std::set<std::string> seen_;
};

}  // namespace

Result<Settings> apply_config_file(const std::string& path, Presence presence, CLI::App& app, CLI::App& command) {
  const std::optional<std::string> text = TRY(read_text(path, presence));
  if (!text) return Settings();
  return ConfigReader(path, app, command).read(*text);
}

}  // namespace vskel::cli
