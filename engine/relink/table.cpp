#include "engine/relink/table.h"

#include "engine/manifest/manifest.h"

namespace vskel {

namespace {

using sys::FileType;

bool is_special(FileType type) {
  return type != FileType::regular && type != FileType::directory && type != FileType::symlink;
}

bool is_directory(const std::optional<Node>& node) { return node && node->type == FileType::directory; }

bool same(const std::optional<Node>& a, const std::optional<Node>& b) {
  return a.has_value() == b.has_value() && (!a || same_node(*a, *b));
}

bool same_but_time(const std::optional<Node>& a, const std::optional<Node>& b) {
  return a.has_value() == b.has_value() && (!a || same_but_for_time(*a, *b));
}

bool has_time(FileType type) { return type == FileType::regular || type == FileType::symlink; }

Decision nothing(std::uint8_t row) { return {Action::nothing, row, {}, true}; }
Decision keep(std::uint8_t row, std::string_view why) { return {Action::keep, row, why, false}; }
Decision act(Action action, std::uint8_t row) { return {action, row, {}, true}; }

/// Theirs is not there.
Decision decide_removed(const Question& q) {
  if (!q.mine) return nothing(11);
  if (!q.base_known || !q.base) return nothing(15);
  if (is_special(q.mine->type)) return keep(31, why::kSpecialFile);
  if (is_directory(q.base) && is_directory(q.mine)) return act(Action::remove_dir, 23);
  if (!same_but_time(q.mine, q.base)) return keep(10, why::kRemovedInSkel);
  if (q.group == Group::torn) return keep(29, why::kRemovedInSkel);
  return act(Action::remove, 9);
}

/// Mine is not there, theirs is.
Decision decide_absent(const Question& q) {
  // Nobody knows whether it was ever there: it does not come back by itself.
  if (!q.base_known) return keep(30, why::kDeletedHere);
  if (!q.base) return act(Action::add, 12);
  return same_but_time(q.base, q.theirs) ? nothing(4) : keep(8, why::kDeletedHere);
}

Decision decide_equal(const Question& q) {
  const std::uint8_t row = !q.base_known ? 30 : !q.base ? 13 : same(q.base, q.theirs) ? 2 : 6;
  if (q.place == Place::as_it_should || q.mine->type != FileType::regular) return nothing(row == 2 ? 1 : row);
  return q.group == Group::torn ? nothing(29) : act(Action::share, row);
}

/// One of theirs and mine is a directory, or both are.
Decision decide_directory(const Question& q) {
  const bool unchanged = same_but_time(q.mine, q.base);
  if (is_directory(q.theirs) && is_directory(q.mine)) return unchanged ? act(Action::set_metadata, 24) : nothing(24);
  if (is_directory(q.theirs)) return unchanged ? act(Action::replace, 19) : keep(20, why::kTypeChanged);
  if (!is_directory(q.base)) return keep(7, why::kChangedOnBothSides);
  return q.below == Below::as_base ? act(Action::replace, 21) : keep(22, why::kTypeChanged);
}

/// Theirs and mine are both there and not the same.
Decision decide_different(const Question& q) {
  // The skel's but for the time: not to be shared, and nothing to tell.
  const bool as_theirs = same_but_time(q.mine, q.theirs);
  if (!q.base_known) return as_theirs ? nothing(30) : keep(30, why::kAddedOnBothSides);
  if (!q.base) return as_theirs ? nothing(13) : keep(14, why::kAddedOnBothSides);
  // A new time of the skel's is for those who left the file alone.
  if (same_but_time(q.base, q.theirs) && (same(q.base, q.theirs) || !same_but_time(q.mine, q.base)))
    return nothing(q.mine->type == q.base->type && q.mine->content == q.base->content ? 17 : 3);
  if (is_special(q.mine->type)) return keep(31, why::kSpecialFile);
  if (is_directory(q.theirs) || is_directory(q.mine)) return decide_directory(q);
  const bool same_content = q.theirs->type == q.base->type && q.theirs->content == q.base->content;
  if (!same_but_time(q.mine, q.base)) {
    if (as_theirs) return nothing(6);
    const bool only_metadata = q.mine->type == q.base->type && q.mine->content == q.base->content;
    return keep(only_metadata && !same_content ? 18 : 7, why::kChangedOnBothSides);
  }
  if (q.group == Group::torn) return keep(29, why::kChangedOnBothSides);
  return act(Action::replace, same_content ? 16 : 5);
}

Decision decide_by_nodes(const Question& q) {
  if (!q.theirs) return decide_removed(q);
  if (!q.mine) return decide_absent(q);
  return same(q.mine, q.theirs) ? decide_equal(q) : decide_different(q);
}

bool changes_something(Action action) { return action != Action::nothing && action != Action::keep; }

}  // namespace

bool same_but_for_time(const Node& a, const Node& b) {
  return a.type == b.type && (a.type == FileType::symlink || a.mode == b.mode) && a.uid == b.uid && a.gid == b.gid &&
         a.content == b.content && a.xattrs == b.xattrs;
}

bool same_node(const Node& a, const Node& b) {
  return same_but_for_time(a, b) && (!has_time(a.type) || same_time(a.mtime, b.mtime));
}

Decision decide(const Question& q) {
  const bool skel_changed = !q.base_known || !same(q.base, q.theirs);
  if (q.obstacle == Obstacle::frozen) return {Action::nothing, 27, {}, !skel_changed};
  if (q.obstacle == Obstacle::blocked) {
    if (q.theirs) return keep(25, why::kBlocked);
    return {Action::nothing, 25, {}, !skel_changed};
  }
  const Decision decision = decide_by_nodes(q);
  if (q.gate != Gate::open && decision.action != Action::share) {
    if (changes_something(decision.action)) return {Action::hold, 28, {}, false};
    if (q.gate == Gate::share_only && decision.action == Action::keep)
      return {Action::nothing, decision.row, {}, false};
  }
  if (q.obstacle == Obstacle::in_use && changes_something(decision.action)) return keep(26, why::kInUse);
  return decision;
}

}  // namespace vskel
