#include "tests/support/packages.h"

#include <fstream>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace vskel::test {

namespace {

namespace fs = std::filesystem;

void put_file(const fs::path& path, const std::string& content, unsigned mode) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
  fs::permissions(path, static_cast<fs::perms>(mode));
}

/// The payload below `root`.
void lay_out(const PackageContent& content, const fs::path& root) {
  fs::remove_all(root);
  const auto below = [&](const std::string& path) { return root / path.substr(1); };
  for (const auto& [path, text] : content.files) put_file(below(path), text, 0644);
  for (const auto& [path, text] : content.programs) put_file(below(path), text, 0755);
  for (const auto& [path, text] : content.set_id) put_file(below(path), text, 04755);
  for (const auto& [path, text] : content.conffiles) put_file(below(path), text, 0644);
  for (const std::string& path : content.directories) fs::create_directories(below(path));
  for (const auto& [path, target] : content.symlinks) {
    fs::create_directories(below(path).parent_path());
    fs::create_symlink(target, below(path));
  }
  for (const auto& [path, target] : content.hard_links) {
    fs::create_directories(below(path).parent_path());
    fs::create_hard_link(below(target), below(path));
  }
}

fs::path build_deb(const std::string& name, const PackageContent& content, const fs::path& directory) {
  const fs::path root = directory / (name + "-" + content.version + "-root");
  lay_out(content, root);
  std::string conffiles;
  for (const auto& [path, text] : content.conffiles) conffiles += path + "\n";
  put_file(root / "DEBIAN/control",
           "Package: " + name + "\nVersion: " + content.version +
               "\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: a package of a test\n",
           0644);
  if (!conffiles.empty()) put_file(root / "DEBIAN/conffiles", conffiles, 0644);
  const fs::path package = directory / (name + "_" + content.version + ".deb");
  static_cast<void>(run_or_throw({"dpkg-deb", "--root-owner-group", "-b", root.string(), package.string()}));
  return package;
}

fs::path build_rpm(const std::string& name, const PackageContent& content, const fs::path& directory) {
  const fs::path payload = directory / (name + "-" + content.version + "-payload");
  lay_out(content, payload);
  std::string spec = "Name: " + name + "\nVersion: " + content.version +
                     "\nRelease: 1\nSummary: a package of a test\nLicense: none\nBuildArch: noarch\n"
                     "%description\n%install\nmkdir -p %{buildroot}\ncp -a " +
                     payload.string() + "/. %{buildroot}/\n%files\n%defattr(-,root,root)\n";
  for (const auto* part : {&content.files, &content.programs, &content.symlinks, &content.hard_links})
    for (const auto& [path, text] : *part) spec += path + "\n";
  for (const auto& [path, text] : content.set_id) spec += "%attr(4755,root,root) " + path + "\n";
  for (const auto& [path, text] : content.conffiles) spec += "%config(noreplace) " + path + "\n";
  for (const std::string& path : content.directories) spec += "%dir " + path + "\n";
  const fs::path spec_file = directory / (name + "-" + content.version + ".spec");
  std::ofstream(spec_file) << spec;
  const fs::path top = directory / "rpmbuild";
  static_cast<void>(run_or_throw({"rpmbuild", "--quiet", "-bb", "--define", "_topdir " + top.string(), "--define",
                                  "_build_id_links none", "--define", "__os_install_post %{nil}", "--define",
                                  "_unpackaged_files_terminate_build 0", spec_file.string()}));
  return top / "RPMS/noarch" / (name + "-" + content.version + "-1.noarch.rpm");
}

}  // namespace

std::string package_manager_name(PackageManager manager) { return manager == PackageManager::dpkg ? "dpkg" : "rpm"; }

std::optional<std::string> missing_for_packages(PackageManager manager) {
  const std::vector<std::string> programs = manager == PackageManager::dpkg
                                                ? std::vector<std::string>{"dpkg", "dpkg-deb", "dpkg-query"}
                                                : std::vector<std::string>{"rpm", "rpmbuild"};
  for (const std::string& program : programs)
    if (!has_program(program)) return "needs " + program;
  return std::nullopt;
}

fs::path build_package(PackageManager manager, const std::string& name, const PackageContent& content,
                       const fs::path& directory) {
  fs::create_directories(directory);
  return manager == PackageManager::dpkg ? build_deb(name, content, directory) : build_rpm(name, content, directory);
}

void make_package_database(PackageManager manager, const fs::path& root) {
  if (manager == PackageManager::rpm) {
    static_cast<void>(run_or_throw({"rpm", "--root", root.string(), "--define", "_dbpath /var/lib/rpm", "--initdb"}));
    return;
  }
  for (const char* directory : {"info", "updates", "triggers", "parts", "alternatives"})
    fs::create_directories(root / "var/lib/dpkg" / directory);
  put_file(root / "var/lib/dpkg/status", "", 0644);
  put_file(root / "var/lib/dpkg/available", "", 0644);
}

void install_package(PackageManager manager, const fs::path& package, const fs::path& root) {
  if (manager == PackageManager::dpkg) {
    static_cast<void>(run_or_throw({"dpkg", "--root=" + root.string(), "--force-not-root", "--force-bad-path",
                                    "--force-confold", "--log=/dev/null", "-i", package.string()}));
    return;
  }
  static_cast<void>(run_or_throw({"rpm", "--root", root.string(), "--define", "_dbpath /var/lib/rpm", "--nodeps",
                                  "--noscripts", "--nosignature", "-U", package.string()}));
}

std::string installed_version(PackageManager manager, const std::string& name, const fs::path& root) {
  // Merely asking leaves traces in an rpm database: a copy is asked.
  const TemporaryDirectory scratch;
  const fs::path copy = scratch.path() / package_database(manager);
  fs::create_directories(copy.parent_path());
  fs::copy(root / package_database(manager), copy, fs::copy_options::recursive);
  const std::vector<std::string> command =
      manager == PackageManager::dpkg
          ? std::vector<std::string>{"dpkg-query", "--admindir=" + copy.string(), "-W", "-f", "${Version}", name}
          : std::vector<std::string>{
                "rpm",        "--root", scratch.path().string(), "--define", "_dbpath /var/lib/rpm", "-q", "--qf",
                "%{VERSION}", name};
  const ProcessResult result = run(command);
  return result.code == 0 ? result.out : "";
}

std::string package_database(PackageManager manager) {
  return manager == PackageManager::dpkg ? "var/lib/dpkg" : "var/lib/rpm";
}

}  // namespace vskel::test
