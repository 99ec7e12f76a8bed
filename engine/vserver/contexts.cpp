#include "engine/vserver/contexts.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>

#include "engine/tree/listing.h"
#include "engine/txn/journal.h"
#include "engine/txn/lock.h"

namespace vskel {

namespace {

std::optional<std::uint32_t> parse_number(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > kHighestContext + 1) return std::nullopt;
  return number;
}

Result<std::set<std::uint32_t>> contexts_in_use(const Store& store) {
  std::set<std::uint32_t> out;
  const DirFd contexts = TRY(sys::reopen(store.contexts()));
  const Listing listing = TRY(Listing::read(contexts));
  for (const Listed& listed : listing.entries())
    if (const auto number = parse_number(listed.name.view())) out.insert(*number);
  return out;
}

/// What nextid says; where it is missing or no number, one above all that is in use.
Result<std::uint32_t> read_next(const Store& store, const std::set<std::uint32_t>& in_use, std::uint32_t first) {
  const std::uint32_t above_all = in_use.empty() ? first : std::max(first, *in_use.rbegin() + 1);
  if (!TRY(sys::stat_if_there(store.contexts(), "nextid"))) return above_all;
  const Fd file = TRY(sys::open_file(store.contexts(), "nextid"));
  std::string text = TRY(sys::read_whole(file, 4096));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return std::max(parse_number(text).value_or(above_all), first);
}

}  // namespace

Result<std::vector<std::uint32_t>> reserve_contexts(const Store& store,
                                                    const std::vector<std::optional<std::uint32_t>>& asked,
                                                    std::uint32_t first, const EngineOptions& engine) {
  std::optional<Lock> lock;
  if (engine.dry_run == DryRun::no) lock = TRY(Lock::take(store, "contexts", engine.wait));
  std::set<std::uint32_t> taken = TRY(contexts_in_use(store));
  const std::uint32_t next = TRY(read_next(store, taken, first));
  std::uint32_t highest = next;  // one above everything given out
  for (const auto& wish : asked) {
    if (!wish) continue;
    const std::string text = std::to_string(*wish);
    if (*wish < 2 || *wish > kHighestContext)
      return refuse("reserve context", text, "context ids are 2 to " + std::to_string(kHighestContext));
    if (!taken.insert(*wish).second) return refuse("reserve context", text, "in use by another vserver");
    if (*wish >= first && *wish < next)
      return refuse("reserve context", text,
                    "ids below nextid (" + std::to_string(next) + ") are never given out again");
    highest = std::max(highest, *wish + 1);
  }
  std::vector<std::uint32_t> out;
  std::uint32_t candidate = next;
  for (const auto& wish : asked) {
    if (wish) {
      out.push_back(*wish);
      continue;
    }
    while (taken.contains(candidate)) ++candidate;
    if (candidate > kHighestContext)
      return fail("reserve context", std::to_string(candidate),
                  "no context ids are left below " + std::to_string(kHighestContext + 1));
    out.push_back(candidate++);
    highest = std::max(highest, candidate);
  }
  if (engine.dry_run == DryRun::no)
    TRY(write_file_atomically(store.contexts(), "nextid", std::to_string(highest) + "\n", 0644));
  return out;
}

std::optional<std::string> vserver_led_to(const Store& store, const std::string& target) {
  const std::size_t slash = target.rfind('/');
  if (slash == target.npos || target.front() != '/') return std::nullopt;
  const std::string place = target.substr(0, slash);
  std::string name = target.substr(slash + 1);
  if (!Name::check(name)) return std::nullopt;
  if (place == store.paths().vservers) return name;
  const auto dir = sys::open_root(place + "/");
  const auto there = dir ? sys::stat(*dir) : Result<sys::Stat>(std::unexpected(dir.error()));
  const auto here = sys::stat(store.vservers());
  const bool same = there && here && there->device == here->device && there->inode == here->inode;
  return same ? std::optional(std::move(name)) : std::nullopt;
}

Result<> link_context(const Store& store, std::uint32_t context, const std::string& vserver) {
  const std::string text = std::to_string(context);
  const Name name = *Name::check(text);
  auto made = sys::make_symlink(store.contexts(), name, store.paths().vservers + "/" + vserver);
  if (made || made.error().code != EEXIST) return made;
  if (vserver_led_to(store, TRY(sys::read_link(store.contexts(), name))) == vserver) return {};
  return made;
}

}  // namespace vskel
