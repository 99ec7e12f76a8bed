#include "tests/support/oracle.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "tests/support/inode_extras.h"

namespace vskel::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kMerged = "tmp_skel_";
constexpr const char* kRecordSuffix = ".json";
constexpr const char* kConfigSuffix = ".conf";

std::set<std::string> entries_of(const fs::path& directory) {
  std::set<std::string> names;
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, none))
    names.insert(entry.path().filename());
  return names;
}

std::string content_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::optional<std::string> without(const std::string& name, const std::string& suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  return name.substr(0, name.size() - suffix.size());
}

std::string lines_about(const std::string& what, const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += what + ": " + name + "\n";
  return text;
}

/// A store's parts as lists, for what can be said without any other state to compare with.
class Inspection {
 public:
  explicit Inspection(const StorePlaces& places) : places_(places) {}

  std::string run() {
    for (const char* room : {"journal", "staging", "trash", "quarantine"})
      text_ += lines_about(std::string("left in .vskel/") + room, entries_of(places_.vservers / ".vskel" / room));
    for (const std::string& name : entries_of(places_.vservers))
      if (!name.starts_with(".") && !name.starts_with(kMerged)) names_.insert(name);
    for (const std::string& name : names_)
      for (const std::string& entry : entries_of(places_.vservers / name))
        if (entry.starts_with(".vskel-")) text_ += lines_about("left in vserver " + name, std::set<std::string>{entry});
    look_at_configurations();
    for (const std::string& skel : entries_of(places_.vservers / ".skel")) look_at_records(skel);
    look_at_contexts();
    if (configured_ != names_) text_ += lines_about("vserver", names_) + lines_about("configuration", configured_);
    if (recorded_ != names_) text_ += lines_about("vserver", names_) + lines_about("record", recorded_);
    if (in_context_ != names_) text_ += lines_about("vserver", names_) + lines_about("context", in_context_);
    return std::move(text_);
  }

 private:
  void look_at_configurations() {
    for (const std::string& name : entries_of(places_.etc)) {
      if (const auto vserver = without(name, kConfigSuffix)) configured_.insert(*vserver);
      if (name.starts_with(".")) text_ += "left in ETC: " + name + "\n";
    }
    for (const std::string& name : entries_of(places_.etc / "vskel"))
      if (name.starts_with(".")) text_ += "left in ETC/vskel: " + name + "\n";
  }

  void look_at_records(const std::string& skel) {
    const fs::path room = places_.vservers / ".skel" / skel;
    std::set<std::string> sealed_by_link;
    for (const std::string& file : entries_of(room / "instances")) {
      const auto name = without(file, kRecordSuffix);
      if (!name || file.starts_with(".")) {
        text_ += "left in instances: " + file + "\n";
        continue;
      }
      recorded_.insert(*name);
      const Json record = Json::parse(content_of(room / "instances" / file), nullptr, false);
      if (!record.is_object()) {
        text_ += "no JSON in instances: " + file + "\n";
        continue;
      }
      if (const auto context = record.value("context", 0U); context != 0) contexts_by_record_[*name] = context;
      const std::string seal = record.value("seal", "");
      if (record.value("share", "") == "hardlink" && (seal == "immutable" || seal == "guard"))
        sealed_by_link.insert(*name);
    }
    look_at_seals(room, sealed_by_link);
  }

  /// A file of the skel that a vserver has by hard link must be sealed.
  void look_at_seals(const fs::path& room, const std::set<std::string>& vservers) {
    if (vservers.empty()) return;
    std::set<std::uint64_t> of_skel;
    for (const auto& [path, node] : snapshot_tree(room))
      if (S_ISREG(node.mode) && node.links > 1 && !node.immutable && !node.guarded) of_skel.insert(node.inode);
    if (of_skel.empty()) return;
    for (const std::string& vserver : vservers) {
      if (!fs::is_directory(places_.vservers / vserver)) continue;
      for (const auto& [path, node] : snapshot_tree(places_.vservers / vserver))
        if (of_skel.contains(node.inode) && S_ISREG(node.mode))
          text_ += "shared and not sealed: " + vserver + "/" + path + "\n";
    }
  }

  void look_at_contexts() {
    unsigned long highest = 0;
    const fs::path contexts = places_.etc / "contexts";
    for (const std::string& id : entries_of(contexts)) {
      if (id == "nextid") continue;
      if (!fs::is_symlink(contexts / id)) {
        text_ += "no symlink in contexts: " + id + "\n";
        continue;
      }
      const std::string vserver = fs::read_symlink(contexts / id).filename();
      if (!in_context_.insert(vserver).second) text_ += "two contexts: " + vserver + "\n";
      const auto recorded = contexts_by_record_.find(vserver);
      if (recorded != contexts_by_record_.end() && std::to_string(recorded->second) != id)
        text_ +=
            "context " + id + " in contexts, " + std::to_string(recorded->second) + " in the record: " + vserver + "\n";
      if (recorded != contexts_by_record_.end()) highest = std::max<unsigned long>(highest, recorded->second);
    }
    if (highest == 0) return;
    const std::string next = content_of(contexts / "nextid");
    if (std::strtoul(next.c_str(), nullptr, 10) <= highest)
      text_ += "nextid is " + next + ", and context " + std::to_string(highest) + " is in use\n";
  }

  const StorePlaces& places_;
  std::string text_;
  std::set<std::string> names_, configured_, recorded_, in_context_;
  std::map<std::string, unsigned> contexts_by_record_;
};

/// Whatever is changed from the first look on has times that say only that.
std::int64_t start_of_test() {
  static const std::int64_t start =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  return start;
}

std::string hex_of(const std::string& bytes) {
  std::ostringstream text;
  for (const char byte : bytes) text << std::hex << (static_cast<unsigned>(byte) & 0xffU) << '.';
  return text.str();
}

/// The first name of every inode of a tree.
using Leaders = std::map<std::uint64_t, std::string>;

std::string fact_of(const Node& node, const Leaders& leaders) {
  constexpr std::int64_t kSlack = 2;  // inodes are stamped with a coarser clock
  std::ostringstream text;
  text << std::oct << node.mode << std::dec << ' ' << node.uid << ':' << node.gid;
  if (node.mtime_s >= start_of_test() - kSlack)
    text << " new";
  else
    text << ' ' << node.mtime_s << '.' << node.mtime_ns;
  for (const auto& [name, value] : node.xattrs) text << ' ' << name << '=' << hex_of(value);
  if (S_ISLNK(node.mode)) text << " -> " << node.target;
  if (S_ISCHR(node.mode) || S_ISBLK(node.mode)) text << " device " << node.rdev;
  if (S_ISREG(node.mode)) text << ' ' << node.size << ' ' << node.content_digest;
  if (node.immutable || node.guarded) text << " sealed";
  if (!S_ISDIR(node.mode)) text << " is " << leaders.at(node.inode);
  return text.str();
}

/// What a record says of its vserver, but for the time at which it was made; and apart from that how far it has come.
constexpr const char* kRecord = "(record)";
constexpr const char* kProgress = "(progress)";

void add_record(const fs::path& path, Facts& facts) {
  Json record = Json::parse(content_of(path), nullptr, false);
  Json progress;
  if (record.is_object()) {
    record.erase("created");
    for (const char* key : {"generation", "bases", "plugins", "set_id", "ids"}) {
      progress[key] = record[key];
      record.erase(key);
    }
  }
  facts[kRecord] = record.dump();
  facts[kProgress] = progress.dump();
}

/// A manifest says the times of what the engine made itself.
std::string manifest_fact(const fs::path& path) {
  std::string text;
  std::istringstream words(content_of(path));
  for (std::string word; words >> word;) {
    const std::string time = "time=";
    const bool is_new = word.starts_with(time) && std::atoll(word.c_str() + time.size()) >= start_of_test();
    text += (is_new ? "time=new" : word) + " ";
  }
  return std::to_string(text.size()) + " words " + std::to_string(std::hash<std::string>{}(text));
}

/// Where a name of VSERVERS belongs: {"skel base", "global/usr"}.
std::pair<std::string, std::string> unit_of(const std::string& path) {
  const auto slash = path.find('/');
  const std::string first = path.substr(0, slash);
  if (first == ".skel" && slash != path.npos) {
    const auto end = path.find('/', slash + 1);
    const std::string skel = path.substr(slash + 1, end == path.npos ? path.npos : end - slash - 1);
    const std::string inside = end == path.npos ? "" : path.substr(end + 1);
    const std::string instances = "instances/";
    if (inside.starts_with(instances))
      if (const auto vserver = without(inside.substr(instances.size()), kRecordSuffix))
        return {"vserver " + *vserver, kRecord};
    return {"skel " + skel, inside};
  }
  if (first.starts_with(kMerged)) return {"skel " + first.substr(std::char_traits<char>::length(kMerged)), path};
  if (first.empty() || first.starts_with(".")) return {"rest", path};
  return {"vserver " + first, slash == path.npos ? "" : path.substr(slash + 1)};
}

bool is_left_out(const std::string& path) {
  return path.starts_with(".vskel/locks/") || path.starts_with(".vskel/log/");
}

void read_vservers(const fs::path& root, StoreState& state) {
  const TreeSnapshot tree = snapshot_tree(root);
  Leaders leaders;
  for (const auto& [path, node] : tree)
    if (!is_left_out(path)) leaders.try_emplace(node.inode, path);
  for (const auto& [path, node] : tree) {
    if (is_left_out(path)) continue;
    const auto [unit, inside] = unit_of(path);
    if (inside == kRecord)
      add_record(root / path, state[unit]);
    else if (inside.starts_with("generations/") && inside.ends_with(".mtree"))
      state[unit][inside] = manifest_fact(root / path);
    else
      state[unit][inside] = fact_of(node, leaders);
  }
}

void read_etc(const fs::path& root, StoreState& state) {
  const TreeSnapshot tree = snapshot_tree(root);
  Leaders leaders;
  for (const auto& [path, node] : tree) leaders.try_emplace(node.inode, path);
  for (const auto& [path, node] : tree) {
    if (path == "contexts/nextid") {
      state["nextid"][""] = content_of(root / path);
    } else if (S_ISLNK(node.mode) && path.starts_with("contexts/")) {
      state["vserver " + fs::path(node.target).filename().string()]["(" + path + ")"] = node.target;
    } else if (const auto vserver = without(path, kConfigSuffix); vserver && path.find('/') == path.npos) {
      state["vserver " + *vserver]["(configuration)"] = fact_of(node, leaders);
    } else {
      state["rest"]["ETC/" + path] = fact_of(node, leaders);
    }
  }
}

const Facts& facts_of(const StoreState& state, const std::string& unit) {
  static const Facts nothing;
  const auto found = state.find(unit);
  return found == state.end() ? nothing : found->second;
}

std::string fact_at(const Facts& facts, const std::string& path) {
  const auto found = facts.find(path);
  return found == facts.end() ? "absent" : found->second;
}

std::set<std::string> paths_in(const Facts& a, const Facts& b) {
  std::set<std::string> paths;
  for (const Facts* facts : {&a, &b})
    for (const auto& [path, fact] : *facts) paths.insert(path);
  return paths;
}

std::vector<std::string> lines_of_difference(const Facts& found, const Facts& wanted) {
  std::vector<std::string> lines;
  for (const std::string& path : paths_in(found, wanted)) {
    const std::string is = fact_at(found, path), should = fact_at(wanted, path);
    if (is != should) lines.push_back("  " + path + ": " + is + ", not " + should);
  }
  return lines;
}

/// The differences from the state that is nearest.
std::string about_unit(const std::string& unit, const Facts& found, std::span<const StoreState* const> allowed) {
  std::optional<std::vector<std::string>> nearest;
  for (const StoreState* state : allowed) {
    auto lines = lines_of_difference(found, facts_of(*state, unit));
    if (!nearest || lines.size() < nearest->size()) nearest = std::move(lines);
  }
  if (!nearest || nearest->empty()) return {};
  constexpr std::size_t kShown = 8;
  const std::size_t all = nearest->size();
  if (all > kShown) nearest->resize(kShown);
  return unit + " is as in none of the states, " + std::to_string(all) + " differences:\n" + joined(*nearest);
}

/// Which names are one inode says nothing while some of them are before and some after.
std::string without_leader(const std::string& fact) { return fact.substr(0, fact.rfind(" is ")); }

/// A directory in which a part of the names was exchanged has the time of that, until all of them are.
bool is_under_way(const std::string& found, const std::string& wanted) {
  const std::size_t time = found.find(" new");
  return found.starts_with('4') && time != found.npos && wanted.starts_with(found.substr(0, time + 1));
}

std::string about_paths(const std::string& unit, const Facts& found, std::span<const StoreState* const> allowed,
                        const std::set<std::string>& but) {
  std::set<std::string> paths;
  for (const StoreState* state : allowed) paths.merge(paths_in(found, facts_of(*state, unit)));
  std::string text;
  paths.erase(kProgress);  // of some paths and not of others
  for (const std::string& path : but) paths.erase(path);
  for (const std::string& path : paths) {
    const std::string is = fact_at(found, path);
    const bool known = std::ranges::any_of(allowed, [&](const StoreState* state) {
      const std::string should = fact_at(facts_of(*state, unit), path);
      return without_leader(should) == without_leader(is) || is_under_way(is, should);
    });
    if (!known)
      text += unit + ", " + path + ": " + is + ", not " + fact_at(facts_of(*allowed.front(), unit), path) + "\n";
  }
  return text;
}

}  // namespace

std::string inconsistencies(const StorePlaces& places) { return Inspection(places).run(); }

StoreState read_store(const StorePlaces& places) {
  static_cast<void>(start_of_test());
  StoreState state;
  if (fs::exists(places.vservers)) read_vservers(places.vservers, state);
  if (fs::exists(places.etc)) read_etc(places.etc, state);
  return state;
}

std::string progress_of(const StoreState& state, const std::string& unit) {
  const Facts& facts = facts_of(state, unit);
  const auto found = facts.find(kProgress);
  return found == facts.end() ? "" : found->second;
}

std::string differences(const StoreState& found, std::span<const StoreState* const> allowed,
                        const PathByPath& path_by_path) {
  std::set<std::string> units;
  for (const auto& [unit, facts] : found) units.insert(unit);
  for (const StoreState* state : allowed)
    for (const auto& [unit, facts] : *state) units.insert(unit);
  std::string text;
  for (const std::string& unit : units) {
    const Facts& facts = facts_of(found, unit);
    const auto mixed = path_by_path.find(unit);
    text += mixed == path_by_path.end() ? about_unit(unit, facts, allowed)
                                        : about_paths(unit, facts, allowed, mixed->second);
  }
  return text;
}

Canary::Canary(fs::path root) : root_(std::move(root)) {
  fs::create_directories(root_ / "inside");
  for (const char* name : {"file", "inside/secret"}) {
    std::ofstream(root_ / name) << "nobody may touch this\n";
    set_xattr(root_ / name, "user.canary", "sings");
  }
  fs::create_hard_link(root_ / "file", root_ / "inside/second-name");
  fs::create_symlink("../file", root_ / "inside/link");
  fs::permissions(root_ / "inside/secret", fs::perms::owner_read);
  if (::lchown((root_ / "inside/secret").c_str(), 12345, 12345) != 0)
    throw std::system_error(errno, std::generic_category(), "chown the canary");
  before_ = snapshot_tree(root_);
}

std::string Canary::changes() const {
  const TreeSnapshot now = snapshot_tree(root_);
  std::string text = joined(compare_snapshots(before_, now, {}, Identity::compared));
  for (const auto& [path, node] : before_)
    if (const auto found = now.find(path); found != now.end() && found->second.links != node.links)
      text += path + ": " + std::to_string(found->second.links) + " links, not " + std::to_string(node.links) + "\n";
  return text;
}

}  // namespace vskel::test
