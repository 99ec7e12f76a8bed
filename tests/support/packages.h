// Real packages, made in a test and installed into a root by the host's dpkg or rpm.
//
// Nothing of the host's own package database is read or written: dpkg gets --root, rpm gets --root and --dbpath, and no
// package has scripts unless it is to fail, so that the root needs no programs in it.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/process.h"

namespace vskel::test {

enum class PackageManager { dpkg, rpm };

/// "dpkg", "rpm"; also the name of a parameterised test.
[[nodiscard]] std::string package_manager_name(PackageManager manager);
std::ostream& operator<<(std::ostream& stream, PackageManager manager);

/// Where its database lies, relative to the root: for dpkg below /var, for rpm below /usr, as Fedora has it.
[[nodiscard]] std::string package_database(PackageManager manager);

/// Why packages cannot be built and installed here; nullopt if they can.
[[nodiscard]] std::optional<std::string> missing_for_packages(PackageManager manager);

/// A package to be: what it holds is said in calls, each a path relative to the root.
class Package {
 public:
  Package(std::string name, std::string version) : name_(std::move(name)), version_(std::move(version)) {}

  Package& file(const std::string& path, const std::string& content, unsigned mode = 0644);
  /// A conffile of dpkg, %config(noreplace) of rpm.
  Package& config_file(const std::string& path, const std::string& content);
  Package& directory(const std::string& path, unsigned mode = 0755);
  Package& symlink(const std::string& path, const std::string& target);
  /// A further name of `first`, a file of this package.
  Package& hard_link(const std::string& path, const std::string& first);

  /// A script of dpkg ("postinst"); other managers get none. In a root without a shell every script fails.
  Package& script(const std::string& name, const std::string& text);

  /// Builds it below `scratch`, a directory of the test's, and gives the package file's path. Throws std::runtime_error
  /// where the builder fails.
  [[nodiscard]] std::filesystem::path build(PackageManager manager, const std::filesystem::path& scratch) const;

 private:
  enum class Kind { file, config_file, directory, symlink, hard_link };
  struct Entry {
    Kind kind;
    std::string path, text;  ///< text: the content, the target or the first name
    unsigned mode;
  };
  Package& add(Kind kind, const std::string& path, const std::string& text, unsigned mode);
  void make_tree(const std::filesystem::path& tree) const;
  [[nodiscard]] std::filesystem::path build_deb(const std::filesystem::path& scratch) const;
  [[nodiscard]] std::filesystem::path build_rpm(const std::filesystem::path& scratch) const;
  [[nodiscard]] std::string rpm_spec(const std::filesystem::path& tree) const;
  std::string name_, version_;
  std::vector<Entry> entries_;
  std::vector<std::pair<std::string, std::string>> scripts_;
};

/// Gives `root` an empty package database.
void make_package_database(PackageManager manager, const std::filesystem::path& root);

/// Installs a package file, or upgrades to it, without a question. The result is the package manager's.
[[nodiscard]] ProcessResult install_package(PackageManager manager, const std::filesystem::path& root,
                                            const std::filesystem::path& package_file);

/// The version of package `name` that the root's database says is installed; "" if it is not.
[[nodiscard]] std::string installed_version(PackageManager manager, const std::filesystem::path& root,
                                            const std::string& name);

/// The package of the update cycle, "odd-tool", in its two versions (below), small and with every kind of change.
namespace odd_tool {
inline constexpr const char* kName = "odd-tool";
/// `version` is 1 or 2. What version 2 has other: changed files, programs, libraries, a set-id file, conffiles and a
/// group of hard links; new files and directories; removed ones; a moved file; a symlink elsewhere; a file that became
/// a directory, and, where the package manager can do that (dpkg can, rpm cannot), a directory that became a file.
[[nodiscard]] Package version(PackageManager manager, int version);

inline const std::vector<std::string> kUnchanged = {
    "usr/bin/odd-same", "usr/lib/odd/libsame.so", "usr/share/odd/same/a", "usr/share/odd/same/b", "etc/odd/same.conf"};
inline const std::vector<std::string> kChanged = {
    "usr/bin/odd",          "usr/bin/odd-su",          "usr/lib/odd/libodd.so.1",
    "usr/share/odd/data",   "usr/share/odd/same-size", "usr/share/odd/hard-a",
    "usr/share/odd/hard-b", "etc/odd/odd.conf",        "var/lib/odd/data"};
inline const std::vector<std::string> kAdded = {"usr/bin/odd-new",        "usr/lib/odd/libodd.so.2",
                                                "usr/share/odd/new/file", "usr/share/odd/moved/here",
                                                "etc/odd/new.conf",       "usr/share/odd/grows/inside"};
inline const std::vector<std::string> kRemoved = {"usr/bin/odd-old", "usr/share/odd/moves", "usr/share/odd/gone/file"};
inline const std::vector<std::string> kHardLinks = {"usr/share/odd/hard-a", "usr/share/odd/hard-b"};
}  // namespace odd_tool

}  // namespace vskel::test
