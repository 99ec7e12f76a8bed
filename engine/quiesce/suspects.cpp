#include "engine/quiesce/suspects.h"

#include <algorithm>
#include <ranges>

namespace vskel {

namespace {

constexpr int kMostLooks = 3;

const char* why(sys::Hold hold) {
  switch (hold) {
    case sys::Hold::root:
      return "has its root directory there";
    case sys::Hold::working_directory:
      return "stands there with its working directory";
    case sys::Hold::descriptor:
      return "has something open there";
    case sys::Hold::mapping:
      return "runs or maps a file from there";
    case sys::Hold::mount:
      return "has something from there mounted";
    case sys::Hold::hidden_mounts:
      return "hides what it has mounted";
    case sys::Hold::stacked:
      return "has an overlay mounted, whose layers may be there";
    case sys::Hold::user_namespace:
      return "is in a user namespace, where a tenant can hide";
    case sys::Hold::pid_namespace:
      return "is in a pid namespace, where a tenant can hide";
    case sys::Hold::hidden:
      return "may not be looked at, not by root";
  }
  return "";
}

std::string called(const sys::Holder& holder) {
  return printable(holder.name) + " (" + std::to_string(holder.id.pid) + ")";
}

/// Whether only what it might be, and nothing that it has, speaks against it.
bool is_by_suspicion(sys::Hold hold) {
  return hold == sys::Hold::hidden_mounts || hold == sys::Hold::stacked || hold == sys::Hold::user_namespace ||
         hold == sys::Hold::pid_namespace || hold == sys::Hold::hidden;
}

bool is_group_within(std::string_view group, std::string_view above) {
  while (above.size() > 1 && above.ends_with('/')) above.remove_suffix(1);
  return above == "/" || (group.starts_with(above) && (group.size() == above.size() || group[above.size()] == '/'));
}

}  // namespace

bool SuspectSearch::is_trusted(const sys::Holder& holder) const {
  return is_by_suspicion(holder.hold) && std::ranges::any_of(holder.group, [&](const std::string& group) {
           return std::ranges::any_of(trusted_, [&](const auto& trusted) { return is_group_within(group, trusted); });
         });
}

Result<sys::HoldersLook> SuspectSearch::look_once() const {
  sys::HoldersLook seen = TRY(sys::find_holders(vservers_));
  std::erase_if(seen.holders, [&](const sys::Holder& holder) { return is_trusted(holder); });
  return seen;
}

Result<> SuspectSearch::look() {
  for (int looks = 1;; ++looks) {
    const sys::HoldersLook seen = TRY(look_once());
    if (!std::exchange(looked_, true)) first_count_ = seen.tasks_before;
    last_count_ = seen.tasks_after;
    if (!seen.holders.empty()) return refusal(seen.holders);
    if (seen.tasks_before == seen.tasks_after || looks == kMostLooks) return {};
  }
}

Result<std::vector<Inhabitant>> find_holders_of(const DirFd& vservers, std::span<const Tenant> tenants) {
  std::vector<Inhabitant> out;
  const sys::HoldersLook seen = TRY(sys::find_holders(vservers));
  for (const sys::Holder& holder : seen.holders) {
    if (holder.hold == sys::Hold::working_directory) continue;
    for (const Tenant& tenant : tenants)
      if (holder.member == sys::FileId{tenant.device, tenant.inode})
        out.push_back({holder.id, called(holder), tenant.name});
  }
  return out;
}

/// The vserver that he has something of, or all of them.
std::string SuspectSearch::place_of(const sys::Holder& holder) const {
  for (const Tenant& tenant : tenants_)
    if (holder.member == sys::FileId{tenant.device, tenant.inode}) return tenant.name;
  return sys::path_of(vservers_);
}

std::string SuspectSearch::suspected() const {
  auto seen = look_once();
  if (!seen) return "who it was can't be looked for: " + seen.error().line();
  std::ranges::stable_partition(seen->holders, [](const sys::Holder& one) { return !is_by_suspicion(one.hold); });
  constexpr std::size_t kNamed = 5;
  std::string text;
  for (const sys::Holder& one : seen->holders | std::views::take(kNamed))
    text += (text.empty() ? "it could have been process " : ", ") + called(one) + " of " + place_of(one) + " (" +
            why(one.hold) + ")";
  if (seen->holders.size() > kNamed) text += " or " + std::to_string(seen->holders.size() - kNamed) + " more";
  return text.empty() ? "whoever it was is not to be seen now" : text;
}

std::unexpected<Error> SuspectSearch::refusal(std::span<const sys::Holder> suspects) const {
  const auto known = std::ranges::find_if_not(suspects, is_by_suspicion, &sys::Holder::hold);
  const sys::Holder& first = known == suspects.end() ? suspects.front() : *known;
  std::string where = place_of(first);
  std::string text = "process " + called(first) + " " + why(first.hold);
  if (suspects.size() > 1) text += ", and " + std::to_string(suspects.size() - 1) + " more could reach shared files";
  text += "; stop it, or let the guard seal (vskel guard start), or give --quiesce freeze if it is a service of yours";
  // To trust the root of all groups is to trust everybody.
  if (is_by_suspicion(first.hold) && (first.group.empty() || first.group.front() != "/"))
    text += ", or trust its control group " + (first.group.empty() ? "" : first.group.front() + " ") +
            "([quiesce] trusted in vskel.toml)";
  return fail("lift seals", where, std::move(text));
}

}  // namespace vskel
