// What the tests of the update cycle stand on: things of every kind that a path can be, a small root made of them as
// the skel's source, tenants' changes, and relink's report.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/system/vskel_test.h"

namespace vskel::test {

/// What stands at a path.
struct Thing {
  enum class Kind { absent, file, directory, symlink, hard_link, fifo, socket, device };
  Kind kind = Kind::absent;
  std::string text;     ///< the content, the target, or for a hard link the sibling whose inode it is
  unsigned mode = 0;    ///< permissions; of a symlink or a hard link nobody's choice
  unsigned owner = 0;   ///< uid and gid
  unsigned device = 0;  ///< minor number, of major 1
  std::map<std::string, std::string> xattrs;
  std::map<std::string, Thing> entries;  ///< of a directory
  friend bool operator==(const Thing&, const Thing&) = default;

  [[nodiscard]] Thing owned_by(unsigned id) const;
  [[nodiscard]] Thing with_xattr(const std::string& name, const std::string& value) const;
};
[[nodiscard]] Thing absent();
[[nodiscard]] Thing file(const std::string& content, unsigned mode = 0644);
[[nodiscard]] Thing directory(const std::map<std::string, Thing>& entries, unsigned mode = 0755);
[[nodiscard]] Thing symlink_to(const std::string& target);
[[nodiscard]] Thing hard_link_to(const std::string& sibling);
[[nodiscard]] Thing fifo(unsigned mode = 0644);
[[nodiscard]] Thing socket_node();
[[nodiscard]] Thing device(unsigned minor);

/// Makes `thing` stand at `path`, with its parents, instead of what stood there: always new inodes. All files get one
/// and the same time, so that no time tells what was changed.
void put(const fs::path& path, const Thing& thing);
/// What is otherwise at `path` than `thing` says, a line each, all below it included; "" if nothing is.
[[nodiscard]] std::string differences_from(const Thing& thing, const fs::path& path);

/// A vserver in whose tree a tenant may replace and remove what it shares with the skel, as kernels allow it whose
/// seals let names go (iunlink, guard): seals are lifted while this lives, and the skel's files are sealed again at its
/// end. Nothing may be written in place meanwhile.
class TenantAtWork {
 public:
  TenantAtWork(const fs::path& vserver, const fs::path& skel);
  ~TenantAtWork();
  TenantAtWork(const TenantAtWork&) = delete;
  TenantAtWork& operator=(const TenantAtWork&) = delete;

 private:
  std::vector<fs::path> sealed_;  ///< in the skel
};

/// The code and the report of one relink.
struct Relinked {
  ProcessResult process;
  Json report;
  /// The entry of one vserver; null if there is none.
  [[nodiscard]] Json of(const std::string& vserver) const;
  /// Its kept paths and why.
  [[nodiscard]] std::map<std::string, std::string> kept(const std::string& vserver) const;
};

class RelinkTest : public VskelTest {
 protected:
  /// The source of "base": a root that has little more than a tree must have.
  [[nodiscard]] fs::path root() const { return mount() / "root"; }
  [[nodiscard]] fs::path merged() const { return vservers() / "tmp_skel_base"; }
  /// What the skel has at a path of the newest generation.
  [[nodiscard]] fs::path theirs(const std::string& path) const;

  void SetUp() override;
  /// "base" from root(), which must succeed.
  void build() const;
  /// create() with an address that follows from how many there are.
  void create_vserver(const std::string& name, const Arguments& options = {}) const;
  void merge() const;
  void split() const;
  /// relink base --json with these options and vservers. Its code is the test's to look at.
  [[nodiscard]] Relinked relink(const Arguments& arguments = {}) const;
  /// Changes the skel: merge, `things` put into the merged tree, split.
  void update_skel(const std::map<std::string, Thing>& things) const;
  /// The same in a vserver, by its tenant.
  void change(const std::string& vserver_name, const std::map<std::string, Thing>& things) const;
  /// A configuration file for --config.
  [[nodiscard]] std::string config_file(const std::string& text) const;
  /// How many files of a vserver have the inode of the skel's global file of the same path.
  [[nodiscard]] std::uint64_t shared_files(const std::string& vserver_name) const;
};

}  // namespace vskel::test
