// The packages of a generation of the skel, by its dpkg database: which are installed, and which serve a directory in
// which tenants keep state.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/packages/dpkg_files.h"
#include "engine/relink/generation_tree.h"
#include "engine/relink/skel_view.h"

namespace vskel {

/// Thread-safe once loaded.
class SkelPackages {
 public:
  /// Reads status, file lists and maintainer scripts of the installed packages of `tree`, which is one of `view`'s.
  /// Where it has no dpkg database, or no file of it is kept any more, there are none; where one is not understood,
  /// doubt() says why.
  [[nodiscard]] static Result<SkelPackages> load(const SkelView& view, const GenerationTree& tree);

  /// One line; "" if all was understood.
  [[nodiscard]] const std::string& doubt() const { return doubt_; }
  /// Package -> version, of what is installed.
  [[nodiscard]] const std::map<std::string, std::string, std::less<>>& versions() const { return versions_; }
  /// The packages that `directory` ("var/lib/mysql") is of: those that list it or something below it.
  [[nodiscard]] std::vector<std::string> owners(std::string_view directory) const {
    return files_.owners_below(directory);
  }
  /// Those that serve what is in it: a maintainer script names it (mariadb-server makes var/lib/mysql and lists no such
  /// path), or the package is called after it ("redis-server", "postgresql-15" for var/lib/postgresql).
  [[nodiscard]] std::vector<std::string> servers(std::string_view directory) const;

 private:
  [[nodiscard]] Result<> read(const SkelView& view, const GenerationTree& tree);
  std::string doubt_;
  std::map<std::string, std::string, std::less<>> versions_;
  std::map<std::string, std::string> scripts_;  // package -> the text of all its maintainer scripts
  DpkgFiles files_;
};

}  // namespace vskel
