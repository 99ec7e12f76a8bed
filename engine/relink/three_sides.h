// What the skel had and has at each path of one vserver: the base that its record names for the path, and the newest
// generation.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/relink/skel_view.h"
#include "engine/vserver/record.h"

namespace vskel {

/// One path under consideration, without what stands there in the vserver.
struct Path3 {
  std::string path;
  const TreeNode* base = nullptr;
  const TreeNode* theirs = nullptr;
  unsigned base_generation = 0;
  bool base_known = false;

  /// There is one in any case.
  [[nodiscard]] const TreeNode& any() const { return theirs != nullptr ? *theirs : *base; }
  /// The skel has there what it had.
  [[nodiscard]] bool unchanged() const {
    return base_known && (base == nullptr ? theirs == nullptr : theirs != nullptr && base->as_newest);
  }
  [[nodiscard]] bool was_directory() const { return base != nullptr && base->is_directory(); }
  [[nodiscard]] bool becomes_directory() const { return theirs != nullptr && theirs->is_directory(); }
};

/// Finds both for the paths of one vserver. Keeps references to view and record. Thread-safe.
class SkelSides {
 public:
  SkelSides(const SkelView& view, const Record& record);
  [[nodiscard]] Path3 root() const { return at("", record_.generation); }
  /// `inherited` is the base generation of the directory that the path is in.
  [[nodiscard]] Path3 at(std::string path, unsigned inherited) const;
  /// The child of a place, whose nodes the caller has found already, without a search from the root where the record
  /// says nothing of it.
  [[nodiscard]] Path3 child(const Path3& parent, std::string_view name, const TreeNode* base,
                            const TreeNode* theirs) const;
  [[nodiscard]] Path3 child(const Path3& parent, std::string_view name) const;
  /// Whether the record says something of a path in that directory.
  [[nodiscard]] bool has_exceptions_in(const std::string& directory) const;
  /// The names that base or theirs have in a directory, and those of which the record says something; sorted.
  [[nodiscard]] std::vector<std::string_view> names_in(const Path3& place) const;
  /// The skel has the same there and in all below it, by the base of each path.
  [[nodiscard]] bool unchanged_below(const Path3& place) const;

 private:
  const SkelView& view_;
  const Record& record_;
  std::map<std::string, std::vector<std::string>> exceptions_;  ///< directory -> paths in it of which the record speaks
};

}  // namespace vskel
