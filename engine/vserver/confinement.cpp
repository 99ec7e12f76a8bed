#include "engine/vserver/confinement.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

namespace vskel {

namespace {

constexpr std::string_view kBlank = " \t\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlank);
  return first == text.npos ? std::string_view{} : text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

struct Setting {
  unsigned line = 0;
  std::string section, key, value;

  [[nodiscard]] std::string text() const { return key + "=" + value; }
};
using Settings = std::vector<Setting>;

/// Lines "key = value" below lines "[section]"; a comment is a whole line. systemd goes on with the next line after a
/// backslash, past comments.
class SettingsReader {
 public:
  Settings read(std::string_view text) {
    unsigned number = 0;
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      take_line(++number, trimmed(line));
    }
    take_statement();
    return std::move(out_);
  }

 private:
  void take_line(unsigned number, std::string_view line) {
    if (line.starts_with('#') || line.starts_with(';')) return;
    if (statement_.empty()) line_ = number;
    const bool goes_on = line.ends_with('\\');
    statement_.append(goes_on ? line.substr(0, line.size() - 1) : line).append(goes_on ? " " : "");
    if (!goes_on) take_statement();
  }

  void take_statement() {
    const std::string whole = std::move(statement_);
    statement_.clear();
    const std::string_view statement = trimmed(whole);
    if (statement.starts_with('[') && statement.ends_with(']')) {
      section_ = statement.substr(1, statement.size() - 2);
    } else if (const std::size_t equals = statement.find('='); equals != statement.npos) {
      std::string_view value = trimmed(statement.substr(equals + 1));
      const bool quoted =
          value.size() > 1 && (value.front() == '"' || value.front() == '\'') && value.front() == value.back();
      if (quoted) value = value.substr(1, value.size() - 2);
      out_.push_back({line_, section_, std::string(trimmed(statement.substr(0, equals))), std::string(value)});
    }
  }

  Settings out_;
  std::string section_, statement_;
  unsigned line_ = 0;
};

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> out;
  for (;;) {
    text = trimmed(text);
    if (text.empty()) return out;
    out.push_back(text.substr(0, text.find_first_of(kBlank)));
    text.remove_prefix(out.back().size());
  }
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

template <std::size_t Size>
bool is_one_of(std::string_view word, const std::array<std::string_view, Size>& words) {
  return std::ranges::find(words, word) != words.end();
}

/// True if a capability, as either program spells it, gets its owner past a seal in the initial user namespace.
bool undoes_seals(std::string_view word) {
  static constexpr std::array<std::string_view, 8> kCapabilities{"all",   "linux_immutable", "sys_admin", "bpf",
                                                                 "mknod", "sys_module",      "sys_rawio", "sys_ptrace"};
  const std::string name = lower(word);
  return is_one_of(std::string_view(name).substr(name.starts_with("cap_") ? 4 : 0), kCapabilities);
}

bool grants_too_much(const Setting& setting) { return std::ranges::any_of(words_of(setting.value), undoes_seals); }

std::optional<std::uint32_t> number_of(std::string_view text) {
  std::uint32_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// --- systemd-nspawn

/// same: a user namespace in which the numbers are the host's, so that no owner is to be shifted.
enum class Users { hosts, same, shifted };

std::optional<Users> nspawn_users(std::string_view value) {
  static constexpr std::array<std::string_view, 6> kNo{"0", "no", "n", "false", "f", "off"};
  static constexpr std::array<std::string_view, 6> kSame{"1", "yes", "y", "true", "t", "on"};
  const std::string word = lower(value);
  if (is_one_of(word, kNo)) return Users::hosts;
  // The numbers begin at the owner of the root directory, and that is 0.
  if (is_one_of(word, kSame) || value == "identity") return Users::same;
  if (value == "pick") return Users::shifted;
  const auto base = number_of(value.substr(0, value.find(':')));
  if (!base) return std::nullopt;
  return *base == 0 ? Users::same : Users::shifted;
}

/// systemd-networkd's files have a section [Network] as well.
bool is_nspawn(const Settings& settings) {
  return std::ranges::any_of(settings, [](const Setting& setting) {
    return setting.section == "Exec" || setting.section == "Files" ||
           (setting.section == "Network" && (setting.key == "Private" || setting.key.starts_with("VirtualEthernet")));
  });
}

std::vector<Weakness> of_nspawn(const Settings& settings) {
  static constexpr std::array<std::string_view, 4> kOwnerships{"off", "chown", "map", "auto"};
  static const std::string kInstead = "write PrivateUsers=pick in [Exec] and PrivateUsersOwnership=map in [Files]";
  const Setting* users_set = nullptr;
  const Setting* ownership = nullptr;
  Users users = Users::hosts;
  for (const Setting& setting : settings) {
    const bool is_users = setting.section == "Exec" && setting.key == "PrivateUsers";
    if (const auto said = is_users ? nspawn_users(setting.value) : std::nullopt) {
      users = *said;
      users_set = &setting;
    }
    if (setting.section == "Files" && setting.key == "PrivateUsersOwnership" && is_one_of(setting.value, kOwnerships))
      ownership = &setting;
  }
  std::vector<Weakness> out;
  if (users == Users::hosts) {
    out.push_back({users_set != nullptr ? users_set->line : 0,
                   users_set != nullptr ? users_set->text() : "no PrivateUsers",
                   "the tenant is the host's root, who lifts seals; " + kInstead});
    for (const Setting& setting : settings)
      if (setting.section == "Exec" && setting.key == "Capability" && grants_too_much(setting))
        out.push_back({setting.line, setting.text(), "lifts seals without a user namespace; " + kInstead});
  } else if (users == Users::shifted && (ownership == nullptr || ownership->value != "map")) {
    const bool shifts = ownership == nullptr || ownership->value != "off";
    out.push_back(
        {ownership != nullptr ? ownership->line : users_set->line,
         ownership != nullptr ? ownership->text() : users_set->text() + " without PrivateUsersOwnership=map",
         (shifts ? "may change the owners of files until the first sealed one, and leaves the tree half changed"
                 : "the files belong to nobody inside") +
             std::string("; write PrivateUsersOwnership=map in [Files]")});
  }
  return out;
}

// --- LXC

bool is_lxc(const Settings& settings) {
  return std::ranges::any_of(settings, [](const Setting& setting) { return setting.key.starts_with("lxc."); });
}

/// "TYPE INSIDE OUTSIDE COUNT": the numbers begin elsewhere than inside.
bool shifts_numbers(const Setting& idmap) {
  const auto words = words_of(idmap.value);
  return words.size() != 4 || number_of(words[1]) != number_of(words[2]);
}

bool maps_the_root(std::string_view options) {
  for (;;) {
    const std::string_view option = trimmed(options.substr(0, options.find(',')));
    if (option == "idmap=container") return true;
    const std::size_t comma = options.find(',');
    if (comma == options.npos) return false;
    options.remove_prefix(comma + 1);
  }
}

std::vector<Weakness> without_idmap(const Settings& settings, const Setting* cleared) {
  static const std::string kInstead =
      "write lxc.idmap = u 0 BASE 65536, lxc.idmap = g 0 BASE 65536 and lxc.rootfs.options = idmap=container";
  std::vector<Weakness> out;
  out.push_back({cleared != nullptr ? cleared->line : 0, cleared != nullptr ? cleared->text() : "no lxc.idmap",
                 "the tenant is the host's root, who lifts seals; " + kInstead});
  for (const Setting& setting : settings)
    if (setting.key == "lxc.cap.keep" && grants_too_much(setting))
      out.push_back({setting.line, setting.text(), "lifts seals without a user namespace; " + kInstead});
  return out;
}

std::vector<Weakness> of_lxc(const Settings& settings) {
  std::vector<const Setting*> maps;
  const Setting* cleared = nullptr;
  const Setting* options = nullptr;
  for (const Setting& setting : settings) {
    if (setting.key == "lxc.rootfs.options") options = &setting;
    if (setting.key != "lxc.idmap") continue;
    if (!setting.value.empty()) {
      maps.push_back(&setting);
      continue;
    }
    maps.clear();
    cleared = &setting;
  }
  if (maps.empty()) return without_idmap(settings, cleared);
  const auto shifting = std::ranges::find_if(maps, [](const Setting* map) { return shifts_numbers(*map); });
  if (shifting == maps.end() || (options != nullptr && maps_the_root(options->value))) return {};
  const Setting& told = options != nullptr ? *options : **shifting;
  return {{told.line, told.text() + (options == nullptr ? " without lxc.rootfs.options" : ""),
           "the files belong to nobody inside, and owners of sealed files can't be changed; write "
           "lxc.rootfs.options = idmap=container"}};
}

}  // namespace

std::string Weakness::told_of(std::string_view file) const {
  return std::string(file) + (line == 0 ? "" : ":" + std::to_string(line)) + ": " + setting + ": " + what;
}

std::vector<Weakness> find_weaknesses(std::string_view configuration) {
  const Settings settings = SettingsReader().read(configuration);
  std::vector<Weakness> out;
  if (is_nspawn(settings)) {
    out = of_nspawn(settings);
  } else if (is_lxc(settings)) {
    out = of_lxc(settings);
  }
  std::ranges::stable_sort(out, {}, &Weakness::line);
  return out;
}

}  // namespace vskel
