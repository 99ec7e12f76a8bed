// What every system test stands on: a file system of its own with an odd root as a source, an empty store beside it,
// and the program.
//
//     MOUNT/source      made by make_root
//     MOUNT/vservers    --vservers
//     MOUNT/etc         --etc, with a configfile.default
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/support/file_system.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tree_snapshot.h"

namespace vskel::test {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Arguments = std::vector<std::string>;

/// The store as vskel must leave it alone: the whole of VSERVERS and ETC, with inode numbers, but for what is no trace
/// of a request (lock files, log).
struct StoreSnapshot {
  TreeSnapshot vservers, etc;
};

/// The system calls that change something; killed at each in turn by the recover tests.
struct KillPoint {
  std::string system_call;
  int when;  ///< the how-manieth of them in any one thread
};

class VskelTest : public ::testing::TestWithParam<FileSystem> {
 public:
  /// For all tests of this program: as quiesce_by(), before anything else.
  static void quiesce_all_by(const std::string& how) { how_all_quiesce_ = how; }

 protected:
  void SetUp() override;

  [[nodiscard]] fs::path mount() const { return mount_->path(); }
  [[nodiscard]] fs::path source() const { return mount() / "source"; }
  [[nodiscard]] fs::path vservers() const { return mount() / "vservers"; }
  [[nodiscard]] fs::path etc() const { return mount() / "etc"; }
  [[nodiscard]] fs::path skel(const std::string& name = "base") const { return vservers() / ".skel" / name; }
  [[nodiscard]] fs::path vserver(const std::string& name) const { return vservers() / name; }
  [[nodiscard]] fs::path config(const std::string& name) const { return etc() / (name + ".conf"); }
  [[nodiscard]] fs::path record(const std::string& name) const { return skel() / "instances" / (name + ".json"); }

  /// The program with --vservers and --etc of this test before `arguments`.
  [[nodiscard]] Arguments command(const Arguments& arguments) const;
  [[nodiscard]] ProcessResult vskel(const Arguments& arguments, const std::string& input = "") const;
  /// What --quiesce means where a command is not told, from now on; by the configuration file.
  void quiesce_by(const std::string& how) const;
  /// From now on vskel() runs as on a kernel that lacks these system calls.
  void take_away(std::vector<int> calls) { missing_calls_ = std::move(calls); }
  /// As vskel(), with `how` (":error=EINVAL", see strace(1)) injected into these system calls.
  [[nodiscard]] ProcessResult vskel_injecting(const std::string& how, const std::string& calls,
                                              const Arguments& arguments) const;
  /// The same, killed with SIGKILL as it enters a system call.
  [[nodiscard]] ProcessResult vskel_killed_at(const KillPoint& point, const Arguments& arguments) const;
  /// The lines that strace -y wrote, and removes them. What vskel has open below VSERVERS, in a mount of its own that
  /// begins there, gets its whole path.
  [[nodiscard]] std::vector<std::string> take_trace(const fs::path& trace) const;
  /// What vskel --json said; fails the test if it did not succeed with one JSON document.
  [[nodiscard]] Json vskel_json(Arguments arguments) const;

  /// Skel "base" from the source, which must succeed.
  void build_base() const;
  /// Vserver from "base", which must succeed. FQDN is NAME.example.com.
  void create(const std::string& name, const std::string& ip, const Arguments& options = {}) const;

  [[nodiscard]] StoreSnapshot snapshot_store() const;
  /// What changed in the store since `before`; "" if nothing did.
  [[nodiscard]] std::string changes_since(const StoreSnapshot& before) const;

  /// What the oracle says of the store when no command runs; "" if all is well.
  [[nodiscard]] std::string inconsistencies() const;
  /// Differences between the source and a whole skel laid out as one tree, or a vserver, but for what the contract
  /// says.
  [[nodiscard]] std::string differences_from_source(const std::string& vserver_name) const;

 private:
  std::unique_ptr<TemporaryDirectory> scratch_;
  std::unique_ptr<ScopedLoopMount> mount_;
  std::vector<int> missing_calls_;
  static inline std::string how_all_quiesce_;
};

/// The file's bytes; fails the test if it cannot be read.
[[nodiscard]] std::string read_file(const fs::path& path);
void write_file(const fs::path& path, const std::string& content);
[[nodiscard]] std::uint64_t inode_of(const fs::path& path);
/// Names in a directory; an empty set if there is none.
[[nodiscard]] std::set<std::string> names_in(const fs::path& directory);
/// The keys of a JSON object.
[[nodiscard]] std::set<std::string> keys_of(const Json& object);

/// Path -> why, of what relink says of one vserver.
[[nodiscard]] std::map<std::string, std::string> kept_of(const Json& vserver);

/// For INSTANTIATE_TEST_SUITE_P.
inline const auto kAllFileSystems =
    ::testing::Values(FileSystem::ext4, FileSystem::xfs, FileSystem::btrfs, FileSystem::tmpfs);
/// For tests of the program's own logic, which no file system changes.
inline const auto kOneFileSystem = ::testing::Values(FileSystem::ext4);
inline const auto kParameterName = [](const ::testing::TestParamInfo<FileSystem>& info) {
  return file_system_name(info.param);
};

}  // namespace vskel::test
