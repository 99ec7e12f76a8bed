#include "engine/skel/sieve.h"

#include <atomic>
#include <cerrno>

#include "engine/content/hash.h"
#include "engine/skel/path_pattern.h"
#include "engine/skel/private_key.h"
#include "engine/skel/tokens.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

constexpr std::size_t kMostConfiguration = 1 << 20;

/// What a token rule makes of a file; nullopt: the file stays as it is.
Result<std::optional<std::string>> tokened(const IdentityRule& rule, const Fd& file) {
  const sys::Stat stat = TRY(sys::stat(file));
  if (!sets_one_line(rule.token)) return std::optional(rule.token + "\n");
  if (stat.size > kMostConfiguration) return std::nullopt;
  return with_line(TRY(sys::read_whole(file, kMostConfiguration)), rule.token);
}

Result<ManifestEntry> make_file(const Candidate& candidate, const DirFd& target, Name name, std::string_view text) {
  const Fd file = TRY(sys::create_file(target, name, creation_mode(candidate.metadata.mode)));
  TRY(sys::write_all(file, text));
  TRY(apply_metadata(file, candidate.metadata, Fresh::no));
  ManifestEntry entry;
  entry.path = candidate.paths.front();
  entry.part = candidate.part;
  entry.type = sys::FileType::regular;
  entry.mode = candidate.metadata.mode;
  entry.uid = candidate.metadata.uid;
  entry.gid = candidate.metadata.gid;
  entry.mtime = candidate.metadata.mtime;
  entry.size = text.size();
  entry.set_xattrs(hash_xattrs(candidate.metadata.xattrs));
  const ContentHash hash =
      hash_bytes(std::as_bytes(std::span(text)), candidate.part == Part::local_part ? WithSha256::yes : WithSha256::no);
  entry.content = hash.xxh128;
  entry.set_sha256(hash.sha256);
  return entry;
}

bool has_a_key(const WalkDirectory& directory, const WalkEntry& entry) {
  const auto file = sys::open_trusted_file(directory.top(), entry.name);
  return file && holds_private_key(*file).value_or(false);
}

}  // namespace

std::string Omitted::reason() const { return has_a_key ? "a private key is in it" : "one machine's own"; }

Treatment Sieve::treat(const WalkDirectory& directory, const WalkEntry& entry) {
  std::string path = directory.path_to(entry.name);
  const auto rule = layout_.identity_of(path);
  if (entry.type == sys::FileType::directory) {
    const bool is_scratch =
        rule && rule->kind == IdentityKind::scratch && match_pattern(rule->pattern, path) == PatternMatch::exact;
    if (!is_scratch) return Treatment::take;
    const std::scoped_lock lock(mutex_);
    scratch_.emplace(std::move(path), rule->pattern);
    return Treatment::keep_empty;
  }
  if (entry.type == sys::FileType::symlink && !rule && leads_to_omitted(directory, entry))
    return omit(std::move(path), false);
  if (entry.type != sys::FileType::regular) return Treatment::take;
  if (!rule) {
    const bool key = layout_.may_hold_key(path) && has_a_key(directory, entry);
    return key ? omit(std::move(path), true) : Treatment::take;
  }
  if (rule->kind == IdentityKind::omit) return omit(std::move(path), false);
  if (rule->kind != IdentityKind::clear) return Treatment::take;
  const auto stat = sys::stat(directory.top(), entry.name);
  count(rule->pattern, 1, stat ? stat->size : 0);
  return Treatment::leave_out;
}

/// The name of a certificate by its hash, beside it, leads nowhere when that is left out.
bool Sieve::leads_to_omitted(const WalkDirectory& directory, const WalkEntry& entry) const {
  if (!layout_.may_hold_key(directory.path_to(entry.name))) return false;
  const auto target = sys::read_link(directory.top(), entry.name);
  const auto beside = target ? Name::check(*target) : std::nullopt;
  if (!beside || !layout_.left_out(directory.path_to(*beside), sys::FileType::regular)) return false;
  const auto stat = sys::stat(directory.top(), *beside);
  return stat && stat->type == sys::FileType::regular;
}

Treatment Sieve::omit(std::string path, bool has_a_key) {
  const std::scoped_lock lock(mutex_);
  omitted_.emplace(std::move(path), has_a_key);
  return Treatment::leave_out;
}

void Sieve::count(const std::string& pattern, std::uint64_t files, std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  LeftOut& sum = left_out_.try_emplace(pattern, LeftOut{pattern, 0, 0}).first->second;
  sum.files += files;
  sum.bytes += bytes;
}

Result<bool> Sieve::put(const Candidate& candidate, const DirFd& target, Name name) {
  const auto rule = layout_.identity_of(candidate.paths.front());
  if (!rule) return false;
  std::optional<std::string> text;
  if (rule->kind == IdentityKind::empty && candidate.stat.size > 0) text.emplace();
  if (rule->kind == IdentityKind::token) text = TRY(tokened(*rule, candidate.file));
  if (!text) return false;
  ManifestEntry entry = TRY(make_file(candidate, target, name, *text));
  const std::scoped_lock lock(mutex_);
  entries_.push_back(std::move(entry));
  return true;
}

bool Sieve::empties(std::string_view path) const {
  const auto rule = layout_.identity_of(path);
  return rule && rule->kind == IdentityKind::empty;
}

Result<std::optional<std::string>> Sieve::with_token(std::string_view path, const DirFd& dir, Name name) const {
  const auto rule = layout_.identity_of(path);
  if (!rule || rule->kind != IdentityKind::token) return std::nullopt;
  return tokened(*rule, TRY(sys::open_file(dir, name)));
}

Result<> Sieve::count_scratch(const DirFd& tree) {
  for (const auto& [path, pattern] : scratch_) {
    auto opened = sys::open_dirs(tree, path);
    if (!opened && opened.error().code == EXDEV) continue;  // as another file system is not walked
    const DirFd scratch = TRY(std::move(opened));
    std::atomic<std::uint64_t> files{0}, bytes{0};
    const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                                std::shared_ptr<void>) -> Result<> {
      for (const WalkEntry& entry : directory->entries) {
        if (entry.type == sys::FileType::directory) {
          walk.descend(directory, entry, nullptr);
          continue;
        }
        ++files;
        if (const auto stat = sys::stat(directory->top(), entry.name)) bytes += stat->size;
      }
      return {};
    };
    (void)TRY(Walk::run({&scratch}, Mounts::stop_in_tenants_tree, nullptr, visitor));
    if (files > 0) count(pattern, files, bytes);
  }
  return {};
}

std::vector<Omitted> Sieve::omitted() const {
  std::vector<Omitted> out;
  for (const auto& [path, key] : omitted_) out.push_back({path, key});
  return out;
}

std::vector<std::string> Sieve::paths_with_keys() const {
  std::vector<std::string> out;
  for (const auto& [path, key] : omitted_)
    if (key) out.push_back(path);
  return out;
}

std::vector<LeftOut> Sieve::left_out() const {
  std::vector<LeftOut> out;
  for (const auto& [pattern, sum] : left_out_) out.push_back(sum);
  return out;
}

}  // namespace vskel
