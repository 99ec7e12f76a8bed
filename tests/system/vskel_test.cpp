// The expectations that stand here once are cli.md's: what lies where, and what a vserver consists of.
#include "tests/system/vskel_test.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/support/odd_root.h"
#include "tests/support/oracle.h"
#include "tests/support/requirement.h"

namespace vskel::test {
namespace {

constexpr const char* kConfigTemplate =
    "IPROOT=\"%%VS_IP%%\"\nS_HOSTNAME=\"%%VS_FQDN%%\"\nS_CONTEXT=%%VS_CONTEXT%%\nONBOOT=yes\n# %%VS_NAME%% %%VS_DIR%% "
    "%%VS_SKEL%%\n";

// Locks stay by design, the log grows, and directories of .vskel change their times with both.
const std::vector<Exception> kNoTrace = {
    {".vskel/locks/**", Aspects::all()},
    {".vskel/log/**", Aspects::all()},
    {".vskel", Aspect::mtime},
    {".vskel/**", Aspect::mtime},
};

// What differs between a source and a vserver made from it, and why.
std::vector<Exception> kinds_of_difference() {
  std::vector<Exception> exceptions = {
      {"etc/hosts", Aspects::all()},  // written out with tokens
      {"dev/**", Aspects::all()},     // a container's devices
      {"dev", Aspect::mtime},         //
      {"", Aspect::mtime},            // names were made in it
      {"etc", Aspect::mtime},         // static files came from another tree
  };
  for (const std::string& path : odd_root::kEmptied) {
    exceptions.push_back({path + "/**", Aspect::presence});
    exceptions.push_back({path, Aspect::mtime});
  }
  for (const std::string& path : odd_root::kLeftOut) exceptions.push_back({path, Aspect::presence});
  for (const std::string& path : odd_root::kOwn) exceptions.push_back({path, Aspect::content | Aspect::size});
  for (const std::string& path : odd_root::kSockets) exceptions.push_back({path, Aspect::presence});
  for (const std::string& path : odd_root::kAcrossParts) exceptions.push_back({path, Aspect::links});
  return exceptions;
}

// The backend that this run of the suite is for, see CMakeLists.txt; empty: the program's own choice.
std::string backend() {
  const char* wanted = std::getenv("VSKEL_TEST_BACKEND");
  return wanted == nullptr ? "" : wanted;
}

}  // namespace

void VskelTest::SetUp() {
  VSKEL_REQUIRE(missing_root());
  scratch_ = std::make_unique<TemporaryDirectory>();
  std::optional<std::string> no_mount;
  try {
    mount_ = std::make_unique<ScopedLoopMount>(GetParam(), scratch_->path());
  } catch (const std::exception& error) {
    no_mount = error.what();
  }
  VSKEL_REQUIRE(no_mount);
  fs::create_directory(source());
  make_root(source());
  fs::create_directories(etc() / "vskel");
  write_file(etc() / "vskel/configfile.default", kConfigTemplate);
  if (!how_all_quiesce_.empty()) quiesce_by(how_all_quiesce_);
}

void VskelTest::quiesce_by(const std::string& how) const {
  write_file(etc() / "vskel/vskel.toml", "quiesce = \"" + how + "\"\n");
}

Arguments VskelTest::command(const Arguments& arguments) const {
  Arguments all = {VSKEL_PROGRAM, "--vservers", vservers().string(), "--etc", etc().string()};
  if (!backend().empty() && std::ranges::find(arguments, "--backend") == arguments.end())
    all.insert(all.end(), {"--backend", backend()});
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

ProcessResult VskelTest::vskel(const Arguments& arguments, const std::string& input) const {
  ProcessOptions options;
  options.input = input;
  options.missing_calls = missing_calls_;
  return run(command(arguments), options);
}

ProcessResult VskelTest::vskel_injecting(const std::string& how, const std::string& calls,
                                         const Arguments& arguments) const {
  Arguments all = {"strace", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=" + calls + how};
  const Arguments own = command(arguments);
  all.insert(all.end(), own.begin(), own.end());
  ProcessOptions options;
  options.environment["ASAN_OPTIONS"] = "detect_leaks=0";  // the leak checker cannot work under a tracer
  return run(all, options);
}

ProcessResult VskelTest::vskel_killed_at(const KillPoint& point, const Arguments& arguments) const {
  // A ring makes names without their system calls: what would be the nth of them is then the nth handing over.
  const std::string calls = point.system_call + (backend() == "uring" ? ",io_uring_enter" : "");
  // One worker: strace counts calls for each thread, and a fixed order lets a failure be made again.
  Arguments all = {"-j", "1"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return vskel_injecting(":signal=KILL:when=" + std::to_string(point.when), calls, all);
}

std::vector<std::string> VskelTest::take_trace(const fs::path& trace) const {
  std::vector<std::string> lines;
  std::ifstream stream(trace);
  for (std::string line; std::getline(stream, line); lines.push_back(line)) {
    for (const char* beginning : {"</.skel", "</.vskel", "</tmp_skel_", "</web", "</>"})
      for (std::size_t at = 0; (at = line.find(beginning, at)) != line.npos; at += 2 + vservers().string().size())
        line.replace(at, 2, "<" + vservers().string() + (line[at + 2] == '>' ? "" : "/"));
  }
  fs::remove(trace);
  return lines;
}

Json VskelTest::vskel_json(Arguments arguments) const {
  arguments.insert(arguments.begin(), "--json");
  const ProcessResult result = vskel(arguments);
  EXPECT_EQ(result.code, 0) << result;
  Json document = Json::parse(result.out, nullptr, false);
  EXPECT_FALSE(document.is_discarded()) << result;
  return document;
}

void VskelTest::build_base() const {
  const ProcessResult result = vskel({"build-skel", "base", "--from", source().string()});
  ASSERT_EQ(result.code, 0) << result;
}

void VskelTest::create(const std::string& name, const std::string& ip, const Arguments& options) const {
  Arguments arguments = {"create-vs", "base", name, name + ".example.com", ip};
  arguments.insert(arguments.end(), options.begin(), options.end());
  const ProcessResult result = vskel(arguments);
  ASSERT_EQ(result.code, 0) << result;
}

StoreSnapshot VskelTest::snapshot_store() const {
  StoreSnapshot snapshot;
  if (fs::exists(vservers())) snapshot.vservers = snapshot_tree(vservers());
  if (fs::exists(etc())) snapshot.etc = snapshot_tree(etc());
  return snapshot;
}

std::string VskelTest::changes_since(const StoreSnapshot& before) const {
  const StoreSnapshot now = snapshot_store();
  return joined(compare_snapshots(before.vservers, now.vservers, kNoTrace, Identity::compared)) +
         joined(compare_snapshots(before.etc, now.etc, {}, Identity::compared));
}

std::string VskelTest::inconsistencies() const { return test::inconsistencies({vservers(), etc()}); }

std::string VskelTest::differences_from_source(const std::string& vserver_name) const {
  return joined(compare_trees(source(), vserver(vserver_name), kinds_of_difference()));
}

std::string read_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream) << path;
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

void write_file(const fs::path& path, const std::string& content) {
  std::ofstream stream(path, std::ios::binary);
  stream << content;
  stream.close();
  ASSERT_TRUE(stream) << path;
}

std::uint64_t inode_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status.st_ino;
}

std::set<std::string> names_in(const fs::path& directory) {
  std::set<std::string> names;
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, none))
    names.insert(entry.path().filename());
  return names;
}

std::set<std::string> keys_of(const Json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

std::map<std::string, std::string> kept_of(const Json& vserver) {
  std::map<std::string, std::string> kept;
  for (const Json& path : vserver.at("kept")) kept[path.at("path")] = path.at("why");
  return kept;
}

}  // namespace vskel::test
