#include "tests/system/accounts_model.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {
namespace accounts_model {

constexpr std::size_t kName = 0, kPassword = 1, kNumber = 2, kPrimaryGroup = 3, kMembers = 3, kAdministrators = 2;
constexpr std::size_t kFirstOfUser = 4, kFieldsOfUser = 7;  ///< comment, home, shell

std::vector<std::string> split_by(const std::string& text, char by) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == by)
      parts.emplace_back();
    else
      parts.back().push_back(c);
  }
  return parts;
}

std::string join_with(const std::vector<std::string>& parts, const char* by) {
  std::string text;
  for (std::size_t at = 0; at < parts.size(); ++at) text += (at == 0 ? "" : by) + parts[at];
  return text;
}

std::vector<std::string> names_in_field(const std::string& field) {
  return field.empty() ? std::vector<std::string>() : split_by(field, ',');
}

bool has_name(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

template <typename Files>
auto find_line(Files& files, const std::string& file, const std::string& name) -> decltype(&files.at(file).front()) {
  const auto lines = files.find(file);
  if (lines == files.end()) return nullptr;
  for (auto& line : lines->second)
    if (line[kName] == name) return &line;
  return nullptr;
}

unsigned number_of(const Line& line, std::size_t field = kNumber) {
  return static_cast<unsigned>(std::stoul(line[field]));
}

/// "*" and "!" lock, and so does what a hash is replaced by.
std::string without_hash(const std::string& password) { return password == "*" ? "*" : "!"; }

class AccountsModel {
 public:
  explicit AccountsModel(const AccountSides& sides) : sides_(sides), out_{sides.mine, sides.ids, {}} {}

  FollowedAccounts run() {
    if (sides_.base == sides_.theirs) {
      // Numbers go by names all the same: the tenant may have given others, which matters where something comes.
      for (const Line& group : sides_.theirs.at("group")) map_if_here("group", out_.ids.gid, group);
      for (const Line& user : sides_.theirs.at("passwd")) map_if_here("passwd", out_.ids.uid, user);
      return out_;
    }
    for (const Line& group : sides_.theirs.at("group")) account("group", out_.ids.gid, group);
    for (const Line& user : sides_.theirs.at("passwd")) account("passwd", out_.ids.uid, user);
    for (const Line& group : sides_.theirs.at("group")) {
      if (find_line(out_.files, "group", group[kName]) == nullptr) continue;
      names("group", kMembers, group[kName]);
      names("gshadow", kMembers, group[kName]);
      names("gshadow", kAdministrators, group[kName]);
    }
    for (const char* file : {"group", "passwd"}) removed(file);
    return out_;
  }

 private:
  [[nodiscard]] static std::string called(const std::string& file, const std::string& name) {
    return (file == "group" ? "group " : "user ") + name;
  }

  void account(const std::string& file, std::map<unsigned, unsigned>& ids, const Line& theirs) {
    const Line* const base = find_line(sides_.base, file, theirs[kName]);
    Line* const mine = find_line(out_.files, file, theirs[kName]);
    if (mine != nullptr) {
      map(ids, number_of(theirs), number_of(*mine));
      if (file == "passwd" && base != nullptr) follow(*base, theirs, *mine);
    } else if (base == nullptr) {
      add(file, ids, theirs);
    } else if (*base != theirs) {
      out_.kept.insert(called(file, theirs[kName]) + ": deleted here, changed in the skel");
    }
  }

  static void map(std::map<unsigned, unsigned>& ids, unsigned skels, unsigned own) {
    if (skels == own)
      ids.erase(skels);
    else
      ids[skels] = own;
  }

  void map_if_here(const std::string& file, std::map<unsigned, unsigned>& ids, const Line& theirs) const {
    const Line* const mine = find_line(out_.files, file, theirs[kName]);
    if (mine != nullptr) map(ids, number_of(theirs), number_of(*mine));
  }

  void add(const std::string& file, std::map<unsigned, unsigned>& ids, const Line& theirs) {
    const unsigned skels = number_of(theirs), own = number_for(file, ids, skels);
    map(ids, skels, own);
    Line line = theirs;
    line[kNumber] = std::to_string(own);
    const bool is_user = file == "passwd";
    if (is_user)
      line[kPrimaryGroup] = std::to_string(number_in(out_.ids.gid, number_of(theirs, kPrimaryGroup)));
    else
      line[kMembers] = "";
    line[kPassword] = add_shadow(is_user ? "shadow" : "gshadow", theirs[kName]);
    out_.files.at(file).push_back(line);
    (is_user ? new_users_ : new_groups_).insert(theirs[kName]);
  }

  /// What the account's own password field is.
  std::string add_shadow(const std::string& file, const std::string& name) {
    const auto own = out_.files.find(file);
    if (own == out_.files.end()) return "*";
    if (find_line(out_.files, file, name) != nullptr) return "x";
    const Line* const theirs = find_line(sides_.theirs, file, name);
    Line line = theirs != nullptr ? *theirs : Line{name, "!"};
    line.resize(file == "shadow" ? 9 : 4);
    line[kPassword] = without_hash(line[kPassword]);
    if (file == "gshadow") line[kAdministrators] = line[kMembers] = "";
    own->second.push_back(line);
    return "x";
  }

  /// The skel's, or what that is here already, where it is nobody's; else a free one of its range.
  unsigned number_for(const std::string& file, const std::map<unsigned, unsigned>& ids, unsigned skels) const {
    const auto has = [](const Lines& lines, unsigned number) {
      return std::ranges::any_of(lines, [&](const Line& line) { return line.size() > 1 && number_of(line) == number; });
    };
    const auto is_free = [&](unsigned number) {
      return !has(out_.files.at(file), number) &&
             std::ranges::none_of(ids, [&](const auto& pair) { return pair.first != skels && pair.second == number; });
    };
    for (const unsigned number : {number_in(ids, skels), skels})
      if (is_free(number)) return number;
    // Nor is it one that a file of the skel's might belong to, by the numbers until now or from now on.
    const auto is_told_of = [](const std::map<unsigned, unsigned>& map, unsigned number) {
      return std::ranges::any_of(map, [&](const auto& pair) { return pair.first == number || pair.second == number; });
    };
    const auto& before = file == "passwd" ? sides_.ids.uid : sides_.ids.gid;
    const auto is_out_of_the_way = [&](unsigned number) {
      return is_free(number) && !has(sides_.theirs.at(file), number) && !is_told_of(before, number) &&
             !is_told_of(ids, number);
    };
    const bool is_system = skels <= sides_.highest_system_number;
    unsigned number = is_system ? sides_.highest_system_number : 1000;
    while (!is_out_of_the_way(number)) number = is_system ? number - 1 : number + 1;
    return number;
  }

  /// What the skel changed of a user, where the tenant left that alone. Neither number nor password.
  void follow(const Line& base, const Line& theirs, Line& mine) {
    const auto followed = [](const Line& line, const std::map<unsigned, unsigned>& groups) {
      Line part{line.begin() + kFirstOfUser, line.begin() + kFieldsOfUser};
      part.push_back(std::to_string(number_in(groups, number_of(line, kPrimaryGroup))));
      return part;
    };
    const Line before = followed(base, sides_.ids.gid), after = followed(theirs, out_.ids.gid);
    const Line own = followed(mine, {});
    if (before == after || own == after) return;
    if (own != before) {
      out_.kept.insert(called("passwd", mine[kName]) + ": changed on both sides");
      return;
    }
    std::copy(after.begin(), after.end() - 1, mine.begin() + kFirstOfUser);
    mine[kPrimaryGroup] = after.back();
  }

  /// Three sides name by name. A group of the same name that the tenant made gets new users only, and nobody becomes a
  /// member who is not there.
  void names(const std::string& file, std::size_t field, const std::string& group) {
    const Line* const theirs = find_line(sides_.theirs, file, group);
    Line* const mine = find_line(out_.files, file, group);
    if (theirs == nullptr || mine == nullptr) return;
    const Line* const base = find_line(sides_.base, file, group);
    const auto wanted = names_in_field(theirs->at(field)), own = names_in_field(mine->at(field));
    const auto before = base == nullptr ? std::vector<std::string>() : names_in_field(base->at(field));
    std::vector<std::string> after;
    for (const std::string& name : own)
      if (!has_name(before, name) || has_name(wanted, name)) after.push_back(name);
    for (const std::string& name : wanted) {
      if (has_name(before, name) || has_name(after, name)) continue;
      if (find_line(out_.files, "passwd", name) == nullptr) continue;
      if (base == nullptr && !new_groups_.contains(group) && !new_users_.contains(name)) continue;
      after.push_back(name);
    }
    mine->at(field) = join_with(after, ",");
  }

  void removed(const std::string& file) {
    for (const Line& base : sides_.base.at(file))
      if (find_line(sides_.theirs, file, base[kName]) == nullptr && find_line(out_.files, file, base[kName]) != nullptr)
        out_.kept.insert(called(file, base[kName]) + ": removed in the skel, files may be its");
  }

  const AccountSides& sides_;
  FollowedAccounts out_;
  std::set<std::string> new_users_, new_groups_;
};

/// Users of `then` come back with their numbers; who came later stays, and makes room.
class RestoreModel {
 public:
  RestoreModel(const AccountFiles& then, const AccountFiles& own) : then_(then), own_(own), out_(own) {}

  AccountFiles run() {
    const auto groups = new_numbers("group"), users = new_numbers("passwd");
    for (Line& group : out_.at("group")) group[kNumber] = renumbered(groups, group[kNumber]);
    for (Line& user : out_.at("passwd")) {
      user[kNumber] = renumbered(users, user[kNumber]);
      user[kPrimaryGroup] = renumbered(groups, user[kPrimaryGroup]);
      const Line* const old = find_line(then_, "passwd", user[kName]);
      if (old != nullptr) std::copy(old->begin() + kPrimaryGroup, old->end(), user.begin() + kPrimaryGroup);
    }
    come_back("group", "gshadow");
    come_back("passwd", "shadow");
    for (const Line& group : then_.at("group")) {
      members("group", kMembers, group[kName]);
      members("gshadow", kMembers, group[kName]);
      members("gshadow", kAdministrators, group[kName]);
    }
    return out_;
  }

 private:
  /// Text, as it stands in the files.
  using NewNumbers = std::map<std::string, std::string>;

  static std::string renumbered(const NewNumbers& numbers, const std::string& number) {
    const auto found = numbers.find(number);
    return found == numbers.end() ? number : found->second;
  }

  [[nodiscard]] NewNumbers new_numbers(const std::string& file) const {
    NewNumbers out;
    std::set<unsigned> taken;
    std::map<unsigned, std::string> now;
    for (const AccountFiles* files : {&then_, &own_})
      for (const Line& line : files->at(file)) taken.insert(number_of(line));
    for (const Line& line : own_.at(file)) now.emplace(number_of(line), line[kName]);
    for (const auto& [number, name] : now) {
      const auto is_taken_back = [number = number](const Line& line) { return number_of(line) == number; };
      if (const Line* const old = find_line(then_, file, name)) {
        out[std::to_string(number)] = (*old)[kNumber];
      } else if (std::ranges::any_of(then_.at(file), is_taken_back)) {
        unsigned next = number <= 999 ? 999 : 1000;
        while (!taken.insert(next).second) next = number <= 999 ? next - 1 : next + 1;
        out[std::to_string(number)] = std::to_string(next);
      }
    }
    return out;
  }

  void come_back(const std::string& file, const std::string& shadow_file) {
    for (const Line& old : then_.at(file)) {
      if (find_line(own_, file, old[kName]) != nullptr) continue;
      const Line* const shadow = find_line(then_, shadow_file, old[kName]);
      Line line = old;
      line[kPassword] = shadow == nullptr ? "*" : "x";
      out_.at(file).push_back(line);
      if (shadow == nullptr || find_line(own_, shadow_file, old[kName]) != nullptr) continue;
      Line locked = *shadow;
      locked[kPassword] = without_hash(locked[kPassword]);
      out_.at(shadow_file).push_back(locked);
    }
  }

  /// Those of then, and users that then did not have.
  void members(const std::string& file, std::size_t field, const std::string& group) {
    const Line* const old = find_line(then_, file, group);
    Line* const line = find_line(out_, file, group);
    if (old == nullptr || line == nullptr || find_line(own_, file, group) == nullptr) return;
    const auto wanted = names_in_field(old->at(field)), own = names_in_field(line->at(field));
    std::vector<std::string> after;
    for (const std::string& name : own)
      if (has_name(wanted, name) || find_line(then_, "passwd", name) == nullptr) after.push_back(name);
    for (const std::string& name : wanted)
      if (!has_name(own, name) && find_line(out_, "passwd", name) != nullptr) after.push_back(name);
    line->at(field) = join_with(after, ",");
  }

  const AccountFiles &then_, &own_;
  AccountFiles out_;
};

/// Changes names one by one, each at most once: what is removed does not come back at another place.
class RandomChanges {
 public:
  RandomChanges(Random& random, AccountFiles& files, bool numbers_are_unique)
      : random_(random), files_(files), unique_(numbers_are_unique) {}

  void user(const std::string& name) {
    Line* const line = find_line(files_, "passwd", name);
    Line* const shadow = find_line(files_, "shadow", name);
    if (line == nullptr) {
      const std::string number = some_number("passwd");
      if (pick(random_, 4) != 0 || number.empty()) return;
      files_.at("passwd").push_back({name, "x", number, any_number(), "", "/home/" + name, any_shell()});
      if (shadow == nullptr) files_.at("shadow").push_back({name, any_password(), "19000", "0", "9", "7", "", "", ""});
      return;
    }
    const unsigned change = pick(random_, 12);
    if (change == 1) line->at(6) = any_shell();
    if (change == 2) line->at(kPrimaryGroup) = any_number();
    if (change == 3) renumber("passwd", *line);
    if (change == 4 && shadow != nullptr) shadow->at(kPassword) = any_password();
    if (change == 0) remove("passwd", "shadow", name);
  }

  void group(const std::string& name, const std::vector<std::string>& users) {
    Line* const line = find_line(files_, "group", name);
    if (line == nullptr) {
      const std::string number = some_number("group");
      if (pick(random_, 4) != 0 || number.empty()) return;
      files_.at("group").push_back({name, "x", number, ""});
      if (files_.contains("gshadow") && find_line(files_, "gshadow", name) == nullptr)
        files_.at("gshadow").push_back({name, any_password(), "", ""});
      members(name, users);
      return;
    }
    const unsigned change = pick(random_, 10);
    if (change == 1) renumber("group", *line);
    if (change > 6) members(name, users);
    if (change == 0) remove("group", "gshadow", name);
  }

 private:
  [[nodiscard]] std::string any_number() { return std::to_string(kSomeNumbers.at(pick(random_, kSomeNumbers.size()))); }
  [[nodiscard]] std::string any_shell() { return pick(random_, 2) == 0 ? "/bin/sh" : "/bin/false"; }
  [[nodiscard]] std::string any_password() {
    constexpr std::array kPasswords{"*", "!", "$6$salt$hash", "!$6$salt$hash"};
    return kPasswords.at(pick(random_, kPasswords.size()));
  }

  /// "": there is none.
  [[nodiscard]] std::string some_number(const std::string& file) {
    const bool any = !unique_ && pick(random_, 6) == 0;
    for (int attempt = 0; attempt < 20; ++attempt) {
      const std::string number = any_number();
      const auto has_it = [&](const Line& line) { return line.size() > kNumber && line[kNumber] == number; };
      if (any || std::ranges::none_of(files_.at(file), has_it)) return number;
    }
    return "";
  }
  void renumber(const std::string& file, Line& line) {
    if (const std::string number = some_number(file); !number.empty()) line[kNumber] = number;
  }

  void members(const std::string& group, const std::vector<std::string>& users) {
    std::vector<std::string> list;
    for (const std::string& name : users)
      if (pick(random_, 4) == 0) list.push_back(name);
    find_line(files_, "group", group)->at(kMembers) = join_with(list, ",");
    Line* const shadow = find_line(files_, "gshadow", group);
    if (shadow == nullptr) return;
    shadow->at(kMembers) = join_with(list, ",");
    shadow->at(kAdministrators) = list.empty() || pick(random_, 3) != 0 ? "" : list.front();
  }

  /// The password stays behind where somebody edits one file by hand.
  void remove(const std::string& file, const std::string& shadow, const std::string& name) {
    const auto is_of_name = [&](const Line& line) { return line[kName] == name; };
    std::erase_if(files_.at(file), is_of_name);
    if (files_.contains(shadow) && pick(random_, 4) != 0) std::erase_if(files_.at(shadow), is_of_name);
  }

  Random& random_;
  AccountFiles& files_;
  bool unique_;
};

const std::vector<std::string> kNamesOfPackages{"p0", "p1", "p2", "p3", "p4", "p5", "p6"};

AccountFiles changed(Random& random, AccountFiles files, const std::vector<std::string>& names, bool unique) {
  RandomChanges changes(random, files, unique);
  for (const std::string& name : names) changes.user(name);
  for (const std::string& name : names) changes.group(name, names);
  return files;
}

}  // namespace accounts_model
}  // namespace

std::string bytes_of(const Lines& lines) {
  std::string text;
  for (const Line& line : lines) text += accounts_model::join_with(line, ":") + "\n";
  return text;
}

std::string bytes_of(const AccountFiles& files) {
  std::string text;
  for (const auto& [file, lines] : files) text += file + ":\n" + bytes_of(lines);
  return text;
}

AccountFiles read_accounts(const fs::path& etc) {
  AccountFiles files;
  for (const char* file : {"passwd", "shadow", "group", "gshadow"}) {
    if (!fs::exists(etc / file)) continue;
    std::istringstream text(read_file(etc / file));
    for (std::string line; std::getline(text, line);) files[file].push_back(accounts_model::split_by(line, ':'));
  }
  return files;
}

void write_accounts(const fs::path& etc, const AccountFiles& files) {
  fs::create_directories(etc);
  for (const auto& [file, lines] : files) write_file(etc / file, bytes_of(lines));
}

FollowedAccounts model_of_accounts(const AccountSides& sides) { return accounts_model::AccountsModel(sides).run(); }

AccountFiles model_of_restored(const AccountFiles& then, const AccountFiles& own) {
  return accounts_model::RestoreModel(then, own).run();
}

std::string line_of_stray(const std::string& file, unsigned number, const AccountFiles& theirs,
                          const FollowedAccounts& followed) {
  using namespace accounts_model;
  const auto find_number = [&](const Lines& lines, unsigned wanted) {
    return std::ranges::find_if(lines, [&](const Line& line) { return line.size() > 1 && number_of(line) == wanted; });
  };
  const auto owner = find_number(theirs.at(file), number);
  if (owner == theirs.at(file).end() || find_line(followed.files, file, (*owner)[kName]) != nullptr) return "";
  const unsigned here = number_in(file == "passwd" ? followed.ids.uid : followed.ids.gid, number);
  const auto other = find_number(followed.files.at(file), here);
  return (file == "group" ? "group " : "user ") + (*owner)[kName] + ": not here, what is its in the skel comes as " +
         std::to_string(here) + ", which is " + (other == followed.files.at(file).end() ? "nobody" : (*other)[kName]) +
         "'s";
}

bool has_owner(const AccountFiles& skels, unsigned uid, unsigned gid) {
  const auto has = [&](const char* file, unsigned number) {
    return std::ranges::any_of(
        skels.at(file), [&](const Line& line) { return number != 0 && accounts_model::number_of(line) == number; });
  };
  return has("passwd", uid) || has("group", gid);
}

AccountFiles first_accounts() {
  return {{"passwd", {{"root", "x", "0", "0", "", "/root", "/bin/sh"}}},
          {"shadow", {{"root", "*", "19000", "0", "9", "7", "", "", ""}}},
          {"group", {{"root", "x", "0", ""}}},
          {"gshadow", {{"root", "*", "", ""}}}};
}

AccountFiles changed_by_packages(Random& random, AccountFiles files) {
  return accounts_model::changed(random, std::move(files), accounts_model::kNamesOfPackages, true);
}

AccountFiles changed_by_tenant(Random& random, AccountFiles files) {
  std::vector<std::string> names = accounts_model::kNamesOfPackages;
  names.insert(names.end(), {"t0", "t1", "t2"});
  if (pick(random, 8) == 0) files.at("passwd").push_back({"# a line of the tenant's"});
  return accounts_model::changed(random, std::move(files), names, false);
}

}  // namespace vskel::test
