// Real packages, built and installed by the package managers themselves into a root of a test's: nothing of them is run
// inside that root, so it needs no system in it.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace vskel::test {

enum class PackageManager { dpkg, rpm };

/// "dpkg", "rpm"; also the name of a parameterised test.
[[nodiscard]] std::string package_manager_name(PackageManager manager);

/// Why packages of this kind can't be built and installed here; nullopt if they can.
[[nodiscard]] std::optional<std::string> missing_for_packages(PackageManager manager);

/// What a package holds. Paths are absolute; directories above them are made.
struct PackageContent {
  std::string version;
  std::map<std::string, std::string> files;       ///< path -> content, mode 0644
  std::map<std::string, std::string> programs;    ///< mode 0755
  std::map<std::string, std::string> set_id;      ///< mode 4755
  std::map<std::string, std::string> conffiles;   ///< what the package manager asks before it overwrites
  std::map<std::string, std::string> symlinks;    ///< path -> target
  std::map<std::string, std::string> hard_links;  ///< path -> path of another file of the package
  std::vector<std::string> directories;           ///< empty ones
};

/// A package named `name`, built below `directory`; gives the file. Throws std::runtime_error where that fails.
[[nodiscard]] std::filesystem::path build_package(PackageManager manager, const std::string& name,
                                                  const PackageContent& content,
                                                  const std::filesystem::path& directory);

/// An empty package database in `root`.
void make_package_database(PackageManager manager, const std::filesystem::path& root);
/// Installs or upgrades. Throws with the package manager's words where it fails.
void install_package(PackageManager manager, const std::filesystem::path& package, const std::filesystem::path& root);
/// The installed version; "" if it is not installed.
[[nodiscard]] std::string installed_version(PackageManager manager, const std::string& name,
                                            const std::filesystem::path& root);
/// Where the database lies, relative to the root.
[[nodiscard]] std::string package_database(PackageManager manager);

}  // namespace vskel::test
