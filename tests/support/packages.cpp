// dpkg-deb packs a tree as it is; rpmbuild copies one in its %install and lists every entry in %files, because a
// directory that is listed alone takes all below it. Compression is the fastest: the packages live for one test.
#include "tests/support/packages.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace vskel::test {

namespace {

namespace fs = std::filesystem;

constexpr const char* kDpkgDatabase = "var/lib/dpkg";
constexpr const char* kRpmDatabase = "usr/lib/sysimage/rpm";

/// dpkg looks for its helpers in PATH, some of them in sbin.
ProcessOptions package_environment() {
  ProcessOptions options;
  options.environment = {{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, {"LC_ALL", "C"}};
  return options;
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream stream(path, std::ios::binary);
  stream << text;
  stream.close();
  if (!stream) throw std::runtime_error("cannot write " + path.string());
}

void set_mode(const fs::path& path, unsigned mode) {
  if (::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0)
    throw std::system_error(errno, std::generic_category(), "chmod " + path.string());
}

std::string attr_mode(unsigned mode) {
  std::ostringstream text;
  text << std::oct << mode;
  return text.str();
}

/// Debian's rpm keeps its database in a home directory unless it is told otherwise.
std::vector<std::string> rpm_command(const fs::path& root, const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"rpm", "--root", root.string(), "--dbpath", "/" + std::string(kRpmDatabase)};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

}  // namespace

std::string package_manager_name(PackageManager manager) { return manager == PackageManager::dpkg ? "dpkg" : "rpm"; }

std::ostream& operator<<(std::ostream& stream, PackageManager manager) {
  return stream << package_manager_name(manager);
}

std::string package_database(PackageManager manager) {
  return manager == PackageManager::dpkg ? kDpkgDatabase : kRpmDatabase;
}

std::optional<std::string> missing_for_packages(PackageManager manager) {
  const std::vector<std::string> programs = manager == PackageManager::dpkg
                                                ? std::vector<std::string>{"dpkg", "dpkg-deb", "dpkg-query"}
                                                : std::vector<std::string>{"rpm", "rpmbuild"};
  for (const std::string& program : programs)
    if (!has_program(program)) return "needs " + program;
  return std::nullopt;
}

Package& Package::add(Kind kind, const std::string& path, const std::string& text, unsigned mode) {
  entries_.push_back({kind, path, text, mode});
  return *this;
}

Package& Package::file(const std::string& path, const std::string& content, unsigned mode) {
  return add(Kind::file, path, content, mode);
}
Package& Package::config_file(const std::string& path, const std::string& content) {
  return add(Kind::config_file, path, content, 0644);
}
Package& Package::directory(const std::string& path, unsigned mode) { return add(Kind::directory, path, "", mode); }
Package& Package::symlink(const std::string& path, const std::string& target) {
  return add(Kind::symlink, path, target, 0777);
}
Package& Package::hard_link(const std::string& path, const std::string& first) {
  return add(Kind::hard_link, path, first, 0);
}

Package& Package::script(const std::string& name, const std::string& text) {
  scripts_.emplace_back(name, text);
  return *this;
}

void Package::make_tree(const fs::path& tree) const {
  fs::create_directories(tree);
  for (const Entry& entry : entries_) {
    const fs::path path = tree / entry.path;
    fs::create_directories(path.parent_path());
    if (entry.kind == Kind::symlink) {
      fs::create_symlink(entry.text, path);
    } else if (entry.kind == Kind::hard_link) {
      fs::create_hard_link(tree / entry.text, path);
    } else if (entry.kind == Kind::directory) {
      fs::create_directories(path);
      set_mode(path, entry.mode);
    } else {
      write_text(path, entry.text);
      set_mode(path, entry.mode);
    }
  }
}

fs::path Package::build(PackageManager manager, const fs::path& scratch) const {
  return manager == PackageManager::dpkg ? build_deb(scratch) : build_rpm(scratch);
}

fs::path Package::build_deb(const fs::path& scratch) const {
  const fs::path tree = scratch / ("deb-" + name_ + "-" + version_);
  const fs::path package = scratch / (name_ + "_" + version_ + "_all.deb");
  make_tree(tree);
  fs::create_directory(tree / "DEBIAN");
  write_text(tree / "DEBIAN/control", "Package: " + name_ + "\nVersion: " + version_ +
                                          "\nArchitecture: all\nMaintainer: Test <test@example.com>\nDescription: "
                                          "made by a test\n");
  std::string conffiles;
  for (const Entry& entry : entries_)
    if (entry.kind == Kind::config_file) conffiles += "/" + entry.path + "\n";
  if (!conffiles.empty()) write_text(tree / "DEBIAN/conffiles", conffiles);
  for (const auto& [name, text] : scripts_) {
    write_text(tree / "DEBIAN" / name, text);
    set_mode(tree / "DEBIAN" / name, 0755);
  }
  run_or_throw({"dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "-b", tree.string(), package.string()},
               package_environment());
  fs::remove_all(tree);
  return package;
}

std::string Package::rpm_spec(const fs::path& tree) const {
  std::string files;
  for (const Entry& entry : entries_) {
    if (entry.kind == Kind::config_file) files += "%config(noreplace) ";
    if (entry.kind == Kind::directory) files += "%dir ";
    if (entry.kind == Kind::file || entry.kind == Kind::directory)
      files += "%attr(" + attr_mode(entry.mode) + ",root,root) ";
    files += "/" + entry.path + "\n";
  }
  return "Name: " + name_ + "\nVersion: " + version_ +
         "\nRelease: 1\nSummary: made by a test\nLicense: none\nBuildArch: noarch\n"
         "%description\nmade by a test\n%install\ncp -a '" +
         tree.string() + "/.' %{buildroot}/\n%files\n%defattr(-,root,root,-)\n" + files;
}

fs::path Package::build_rpm(const fs::path& scratch) const {
  const fs::path tree = scratch / ("rpm-" + name_ + "-" + version_),
                 spec = scratch / (name_ + "-" + version_ + ".spec");
  const std::string file_name = name_ + "-" + version_ + "-1.noarch.rpm";
  make_tree(tree);
  write_text(spec, rpm_spec(tree));
  std::vector<std::string> command = {"rpmbuild", "-bb", "--quiet"};
  for (const std::string& definition :
       {"_topdir " + (scratch / "rpmbuild").string(), "_rpmdir " + scratch.string(), "_rpmfilename " + file_name,
        std::string("__os_install_post %{nil}"), std::string("_build_id_links none"),
        std::string("debug_package %{nil}"), std::string("_binary_payload w1.gzdio")}) {
    command.push_back("--define");
    command.push_back(definition);
  }
  command.push_back(spec.string());
  run_or_throw(command, package_environment());
  fs::remove_all(tree);
  return scratch / file_name;
}

void make_package_database(PackageManager manager, const fs::path& root) {
  if (manager == PackageManager::rpm) {
    fs::create_directories(root / kRpmDatabase);
    run_or_throw(rpm_command(root, {"--initdb"}), package_environment());
    return;
  }
  for (const char* directory : {"info", "updates", "triggers"})
    fs::create_directories(root / kDpkgDatabase / directory);
  write_text(root / kDpkgDatabase / "status", "");
}

ProcessResult install_package(PackageManager manager, const fs::path& root, const fs::path& package_file) {
  if (manager == PackageManager::rpm) {
    return run(rpm_command(root, {"-U", "--nodeps", "--noscripts", "--nosignature", package_file.string()}),
               package_environment());
  }
  return run({"dpkg", "--root=" + root.string(), "--log=/dev/null", "--force-depends", "--force-confold",
              "--force-unsafe-io", "--no-triggers", "-i", package_file.string()},
             package_environment());
}

std::string installed_version(PackageManager manager, const fs::path& root, const std::string& name) {
  if (manager == PackageManager::rpm) {
    const ProcessResult result =
        run(rpm_command(root, {"-q", "--queryformat", "%{VERSION}", name}), package_environment());
    return result.code == 0 ? result.out : "";
  }
  const ProcessResult result = run({"dpkg-query", "--admindir=" + (root / kDpkgDatabase).string(), "-W", "-f",
                                    "${db:Status-Status} ${Version}", name},
                                   package_environment());
  const std::string installed = "installed ";
  return result.code == 0 && result.out.starts_with(installed) ? result.out.substr(installed.size()) : "";
}

namespace odd_tool {

namespace {

// Sizes differ from version to version but for same-size, so that most of an update is decided without reading.
std::string of(int version, const std::string& what) {
  std::string text = what + " of version " + std::to_string(version) + "\n";
  for (int line = 0; line < version * 40; ++line) text += "line " + std::to_string(line) + " of " + what + "\n";
  return text;
}

void add_common(Package& package, int version) {
  package.file("usr/bin/odd-same", "#!/bin/sh\necho the same in both\n", 0755)
      .file("usr/lib/odd/libsame.so", std::string(20'000, 's'))
      .file("usr/share/odd/same/a", "first of the same directory")
      .file("usr/share/odd/same/b", "second of the same directory")
      .config_file("etc/odd/same.conf", "same = yes\n")
      .file("usr/bin/odd", of(version, "a program"), 0755)
      .file("usr/bin/odd-su", of(version, "a set-id program"), 04755)
      .file("usr/lib/odd/libodd.so.1", of(version, "a library"))
      .symlink("usr/lib/odd/libodd.so", "libodd.so." + std::to_string(version))
      .file("usr/share/odd/data", of(version, "data"))
      .file("usr/share/odd/same-size", "of one size, version " + std::to_string(version))
      .file("usr/share/odd/hard-a", of(version, "two names"))
      .hard_link("usr/share/odd/hard-b", "usr/share/odd/hard-a")
      .config_file("etc/odd/odd.conf", of(version, "a configuration"))
      .file("var/lib/odd/data", of(version, "local data"))
      .directory("var/lib/odd/empty", 0750)
      .directory("usr/share/odd/empty");
}

}  // namespace

Package version(PackageManager manager, int version) {
  Package package(kName, std::to_string(version));
  add_common(package, version);
  if (version == 1) {
    package.file("usr/bin/odd-old", of(1, "a program that goes"), 0755)
        .file("usr/share/odd/moves", "the same bytes in another place")
        .directory("usr/share/odd/gone")
        .file("usr/share/odd/gone/file", of(1, "a file whose directory goes"))
        .file("usr/share/odd/grows", of(1, "a file that becomes a directory"));
    if (manager == PackageManager::dpkg)
      package.directory("usr/share/odd/shrinks").file("usr/share/odd/shrinks/inside", of(1, "inside"));
    return package;
  }
  package.file("usr/bin/odd-new", of(2, "a new program"), 0755)
      .file("usr/lib/odd/libodd.so.2", of(2, "a new library"))
      .directory("usr/share/odd/new")
      .file("usr/share/odd/new/file", of(2, "a new file"))
      .directory("usr/share/odd/moved")
      .file("usr/share/odd/moved/here", "the same bytes in another place")
      .config_file("etc/odd/new.conf", of(2, "a new configuration"))
      .directory("usr/share/odd/grows")
      .file("usr/share/odd/grows/inside", of(2, "in a directory that was a file"));
  if (manager == PackageManager::dpkg) package.file("usr/share/odd/shrinks", of(2, "a file that was a directory"));
  return package;
}

}  // namespace odd_tool

}  // namespace vskel::test
