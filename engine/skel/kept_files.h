// Files that later generations replaced or removed: generations/NNNN.files/{global,local}/PATH is what generation NNNN
// had and NNNN+1 has no more, or other. Global ones are the inodes that vservers of those generations have.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/skel/skel.h"

namespace vskel {

/// "0001.files"
[[nodiscard]] std::string kept_files_name(unsigned generation);

/// "0001.leaders": inodes, by their number, that had all the names their file system allows, so that a copy took their
/// place in the global tree; vservers have them still.
[[nodiscard]] std::string former_leaders_name(unsigned generation);

/// What is kept, by path. Thread-safe once loaded.
class KeptFiles {
 public:
  /// Walks generations/*.files once. Runs inside the caller's TBB arena or on its own.
  [[nodiscard]] static Result<KeptFiles> load(const Skel& skel);
  /// The generation whose .files has what `path` of `part` was at `generation`; nullopt: the current tree has it, or
  /// nothing has.
  [[nodiscard]] std::optional<unsigned> holder(Part part, std::string_view path, unsigned generation) const;
  /// generations/NNNN.files/PART; `generation` must be an answer of holder() for this part.
  [[nodiscard]] const DirFd& root(unsigned generation, Part part) const;
  /// All of them, by generation.
  [[nodiscard]] const std::map<unsigned, DirFd>& roots(Part part) const {
    return parts_.at(static_cast<std::size_t>(part)).roots;
  }
  /// Inode numbers of all kept files of the global part, former leaders among them.
  [[nodiscard]] const std::vector<std::uint64_t>& global_inodes() const { return global_inodes_; }

 private:
  struct PartFiles {
    /// Path -> the generations that keep it, in rising order.
    std::unordered_map<std::string, std::vector<unsigned>> generations;
    std::map<unsigned, DirFd> roots;
  };
  [[nodiscard]] Result<> read(const DirFd& files, unsigned generation, Part part);
  [[nodiscard]] Result<> read_former_leaders(const DirFd& generations, Name name);
  std::array<PartFiles, 2> parts_;  // global, local
  std::vector<std::uint64_t> global_inodes_;
};

}  // namespace vskel
