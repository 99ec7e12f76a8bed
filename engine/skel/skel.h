// A skel as it lies on disk (cli.md, "Layout on disk").
#pragma once

#include <optional>
#include <vector>

#include "engine/manifest/manifest.h"
#include "engine/model/identity.h"
#include "engine/skel/layout.h"
#include "engine/txn/store.h"

namespace vskel {

/// An open skel. Thread-safe to use once open.
class Skel {
 public:
  /// Refused (Blame::request) if there is none of that name.
  [[nodiscard]] static Result<Skel> open(const Store& store, const SkelName& name);
  /// Names of all skels, sorted. Entries of .skel that are no skel names are left out.
  [[nodiscard]] static Result<std::vector<SkelName>> all(const Store& store);

  [[nodiscard]] const SkelName& name() const { return name_; }
  [[nodiscard]] const DirFd& dir() const { return dir_; }
  /// The tree of a part; between merge-skel and split-skel what was set aside of it (global.bak, local.bak).
  [[nodiscard]] const DirFd& tree(Part part) const { return trees_[static_cast<std::size_t>(part)]; }
  [[nodiscard]] const DirFd& instances() const { return instances_; }
  [[nodiscard]] const DirFd& plugins() const { return plugins_; }  ///< scripts/post-create-vs
  [[nodiscard]] const DirFd& generations() const { return generations_; }
  [[nodiscard]] bool merged() const { return merged_; }
  /// Number of the newest generation; an error if there is none.
  [[nodiscard]] Result<unsigned> newest_generation() const;
  /// Numbers of all generations that have a manifest, in rising order; an error if there is none.
  [[nodiscard]] Result<std::vector<unsigned>> all_generations() const;
  [[nodiscard]] Result<Manifest> manifest(unsigned generation) const;
  /// The entries of a generation one by one: what does not need all of them at once has no need of their memory.
  [[nodiscard]] Result<> for_each_entry(unsigned generation, const EntrySink& sink) const;
  /// How many paths below its root the newest generation has, by the lines of its manifest: for a progress display.
  [[nodiscard]] Result<std::uint64_t> count_paths() const;
  [[nodiscard]] Result<Layout> layout() const;
  /// As its administrator wrote it.
  [[nodiscard]] Result<std::string> layout_text() const;
  /// "VSERVERS/.skel/NAME", for messages.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  [[nodiscard]] Result<> read_manifest_text(unsigned generation, const ManifestSink& sink) const;
  explicit Skel(SkelName name) : name_(std::move(name)) {}
  SkelName name_;
  std::string path_;
  DirFd dir_, instances_, plugins_, generations_;
  std::array<DirFd, kParts> trees_;
  bool merged_ = false;
};

/// "0001.mtree"
[[nodiscard]] std::string generation_file_name(unsigned generation);

}  // namespace vskel
