// The table of relink.md, row by row, on real file systems: each row is a few small things in one tree, in the global
// and in the local part, and all rows are done by one relink of three vservers, one for each way of sharing.
//
// All files have one and the same time and many one size: only bytes and metadata tell what was changed.
#include <fcntl.h>
#include <unistd.h>

#include "tests/support/inode_extras.h"
#include "tests/support/requirement.h"
#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

/// One path through the table.
struct Row {
  std::string name;  ///< the row's number, and what is special
  Thing base, theirs;
  std::optional<Thing> mine;  ///< what the tenant put there; nullopt: he left it alone
  Thing after;                ///< what stands there when all is done
  /// What is reported: path below the row's ("": its own) -> why.
  std::map<std::string, std::string> kept = {};
};

constexpr const char* kBothSides = "changed on both sides";
constexpr const char* kDeleted = "deleted here, changed in the skel";
constexpr const char* kRemovedAndChanged = "removed in the skel, changed here";
constexpr const char* kAdded = "added on both sides";
constexpr const char* kNotEmpty = "not empty";
constexpr const char* kSpecial = "special file";
constexpr const char* kGlobal = "usr/share/rows";
constexpr const char* kLocal = "etc/rows";

// One size, so that stat(2) says nothing.
const Thing kX = file("the content X"), kY = file("the content Y"), kZ = file("the content Z");
const Thing kLonger = file("content of another size");

Thing with_mode(Thing thing, unsigned mode) {
  thing.mode = mode;
  return thing;
}

Thing collision(const std::string& name) {
  return file(read_file(fs::path(VSKEL_TEST_DATA) / "xxh3-collision" / (name + ".bin")));
}

std::vector<Row> rows_of_files() {
  return {
      {"01-same", kX, kX, std::nullopt, kX},
      {"02-another-inode", kX, kX, kX, kX},
      {"02-another-inode-empty", file(""), file(""), file(""), file("")},
      {"03-changed-here", kX, kX, kY, kY},
      {"03-changed-here-longer", kX, kX, kLonger, kLonger},
      {"04-deleted-here", kX, kX, absent(), absent()},
      {"05-changed-in-skel", kX, kY, std::nullopt, kY},
      {"05-changed-in-skel-longer", kX, kLonger, std::nullopt, kLonger},
      {"05-of-another-inode", kX, kY, kX, kY},
      {"05-to-empty", kX, file(""), std::nullopt, file("")},
      {"05-from-empty", file(""), kX, std::nullopt, kX},
      {"05-odd\nname \xff\xfe", kX, kY, std::nullopt, kY},
      {"06-changed-alike", kX, kY, kY, kY},
      {"07-changed-on-both", kX, kY, kZ, kZ, {{"", kBothSides}}},
      {"07-odd\nname", kX, kY, kZ, kZ, {{"", kBothSides}}},
      {"07-mode-there-content-here", kX, with_mode(kX, 0600), kY, kY, {{"", kBothSides}}},
      {"07-mode-on-both", kX, with_mode(kX, 0600), with_mode(kX, 0640), with_mode(kX, 0640), {{"", kBothSides}}},
      {"08-deleted-and-changed", kX, kY, absent(), absent(), {{"", kDeleted}}},
      {"09-removed", kX, absent(), std::nullopt, absent()},
      {"09-removed-of-another-inode", kX, absent(), kX, absent()},
      {"10-removed-and-changed", kX, absent(), kY, kY, {{"", kRemovedAndChanged}}},
      {"10-removed-and-chmod", kX, absent(), with_mode(kX, 0600), with_mode(kX, 0600), {{"", kRemovedAndChanged}}},
      {"11-removed-on-both", kX, absent(), absent(), absent()},
      {"12-added", absent(), kY, std::nullopt, kY},
      {"13-added-alike", absent(), kY, kY, kY},
      {"14-added-on-both", absent(), kY, kZ, kZ, {{"", kAdded}}},
      {"14-added-with-another-mode", absent(), kY, with_mode(kY, 0600), with_mode(kY, 0600), {{"", kAdded}}},
      {"15-own", absent(), absent(), kZ, kZ},
      {"16-mode", kX, with_mode(kX, 0600), std::nullopt, with_mode(kX, 0600)},
      {"16-owner", kX, kX.owned_by(7), std::nullopt, kX.owned_by(7)},
      {"16-xattr", kX, kX.with_xattr("user.note", "1"), std::nullopt, kX.with_xattr("user.note", "1")},
      {"16-mode-of-another-inode", kX, with_mode(kX, 0600), kX, with_mode(kX, 0600)},
      {"17-mode-here", kX, kX, with_mode(kX, 0600), with_mode(kX, 0600)},
      {"17-xattr-here", kX, kX, kX.with_xattr("user.note", "1"), kX.with_xattr("user.note", "1")},
      {"18-content-and-mode", kX, kY, with_mode(kX, 0600), with_mode(kX, 0600), {{"", kBothSides}}},
      {"18-content-and-owner", kX, kY, kX.owned_by(9), kX.owned_by(9), {{"", kBothSides}}},
      {"27-frozen", kX, kY, std::nullopt, kX},
      {"27-frozen-removed", kX, absent(), std::nullopt, kX},
      {"27-frozen-added", absent(), kY, std::nullopt, absent()},
      {"27-frozen-both", kX, kY, kZ, kZ},
  };
}

std::vector<Row> rows_of_private_files() {
  const Thing set_id = with_mode(kX, 04755), capable = kX.with_xattr("security.capability", file_capability(1U << 13));
  const Thing new_capable = kY.with_xattr("security.capability", file_capability(1U << 13));
  return {
      {"05-set-id", set_id, with_mode(kY, 04755), std::nullopt, with_mode(kY, 04755)},
      {"05-no-longer-set-id", set_id, with_mode(kY, 0755), std::nullopt, with_mode(kY, 0755)},
      {"05-capability", capable, new_capable, std::nullopt, new_capable},
      {"16-loses-its-capability", capable, kX, std::nullopt, kX},
      {"12-set-id", absent(), with_mode(kY, 02755), std::nullopt, with_mode(kY, 02755)},
      {"03-set-id", set_id, set_id, with_mode(kY, 04755), with_mode(kY, 04755)},
      {"07-set-id", set_id, with_mode(kY, 04755), with_mode(kZ, 04755), with_mode(kZ, 04755), {{"", kBothSides}}},
      {"09-set-id", set_id, absent(), std::nullopt, absent()},
      {"10-set-id", set_id, absent(), with_mode(kY, 04755), with_mode(kY, 04755), {{"", kRemovedAndChanged}}},
  };
}

/// Different files of one size and one XXH3-128.
std::vector<Row> rows_of_collisions() {
  std::vector<Row> rows;
  for (const std::string size : {"32", "4096"}) {
    const Thing a = collision("a-" + size), b = collision("b-" + size);
    rows.push_back({"03-collision-" + size, a, a, b, b});
    rows.push_back({"05-collision-" + size, a, b, std::nullopt, b});
    rows.push_back({"05-collision-of-another-inode-" + size, a, b, a, b});
    rows.push_back({"07-collision-with-theirs-" + size, kX, a, b, b, {{"", kBothSides}}});
    rows.push_back({"07-collision-with-base-" + size, a, kX, b, b, {{"", kBothSides}}});
    rows.push_back({"10-collision-" + size, a, absent(), b, b, {{"", kRemovedAndChanged}}});
    rows.push_back({"14-collision-" + size, absent(), a, b, b, {{"", kAdded}}});
  }
  return rows;
}

std::vector<Row> rows_of_symlinks() {
  const Thing a = symlink_to("a"), b = symlink_to("b"), c = symlink_to("c");
  return {
      {"01-symlink", a, a, std::nullopt, a},
      {"02-symlink-made-anew", a, a, a, a},
      {"03-symlink", a, a, b, b},
      {"05-symlink", a, b, std::nullopt, b},
      {"05-file-to-symlink", kX, a, std::nullopt, a},
      {"05-symlink-to-file", a, kX, std::nullopt, kX},
      {"06-symlink", a, b, b, b},
      {"07-symlink", a, b, c, c, {{"", kBothSides}}},
      {"07-symlink-and-file", a, b, kX, kX, {{"", kBothSides}}},
      {"08-symlink", a, b, absent(), absent(), {{"", kDeleted}}},
      {"09-symlink", a, absent(), std::nullopt, absent()},
      {"12-symlink", absent(), b, std::nullopt, b},
      {"13-symlink", absent(), b, b, b},
      {"14-symlink", absent(), b, c, c, {{"", kAdded}}},
  };
}

std::vector<Row> rows_of_directories() {
  const Thing of_a = directory({{"a", kX}}), of_own = directory({{"a", kX}, {"own", kZ}});
  const Thing deep = directory({{"a", kX}, {"deeper", directory({{"b", kY}, {"link", symlink_to("b")}}, 0700)}});
  return {
      {"04-directory", of_a, of_a, absent(), absent()},
      {"12-directory", absent(), deep, std::nullopt, deep},
      {"13-directory", absent(), of_a, directory({{"own", kZ}}), of_own},
      {"19-file-to-directory", kX, deep, std::nullopt, deep},
      {"19-symlink-to-directory", symlink_to("a"), deep, std::nullopt, deep},
      {"21-directory-to-file", deep, kX, std::nullopt, kX},
      {"21-directory-to-symlink", deep, symlink_to("a"), std::nullopt, symlink_to("a")},
      {"21-empty-directory-to-file", directory({}), kX, std::nullopt, kX},
      {"23-removed-empty", directory({}), absent(), std::nullopt, absent()},
      {"23-removed", of_a, absent(), std::nullopt, absent()},
      {"23-not-empty", of_a, absent(), of_own, directory({{"own", kZ}}), {{"", kNotEmpty}}},
      {"24-mode", directory({}), directory({}, 0700), std::nullopt, directory({}, 0700)},
      {"24-owner", of_a, of_a.owned_by(7), std::nullopt, of_a.owned_by(7)},
      {"24-mode-on-both", of_a, with_mode(of_a, 0700), with_mode(of_a, 0711), with_mode(of_a, 0711)},
      {"24-mode-here-content-there", of_a, directory({{"a", kY}}), with_mode(of_a, 0711), directory({{"a", kY}}, 0711)},
  };
}

std::vector<Row> rows_of_groups() {
  const auto group = [](const Thing& thing) { return directory({{"a", thing}, {"b", hard_link_to("a")}}); };
  const Thing with_own = directory({{"a", kX}, {"own", hard_link_to("a")}});
  return {
      {"29-unchanged", group(kX), group(kX), std::nullopt, group(kX)},
      {"29-group", group(kX), group(kY), std::nullopt, group(kY)},
      {"29-group-made-anew", group(kX), group(kY), group(kX), group(kY)},
      {"29-changed-on-both", group(kX), group(kY), group(kZ), group(kZ), {{"/a", kBothSides}, {"/b", kBothSides}}},
      {"29-own-name", directory({{"a", kX}}), directory({{"a", kY}}), with_own, with_own, {{"/a", kBothSides}}},
      {"29-added-group", absent(), group(kY), std::nullopt, group(kY)},
  };
}

std::vector<Row> rows_of_special_files() {
  return {
      {"31-same", fifo(), fifo(), std::nullopt, fifo()},
      {"31-fifo-here", kX, kY, fifo(), fifo(), {{"", kSpecial}}},
      {"31-socket-here", kX, kY, socket_node(), socket_node(), {{"", kSpecial}}},
      {"31-device-as-base", device(3), device(5), std::nullopt, device(3), {{"", kSpecial}}},
      {"31-removed", fifo(), absent(), std::nullopt, fifo(), {{"", kSpecial}}},
      {"12-fifo", absent(), fifo(0620), std::nullopt, fifo(0620)},
  };
}

/// A row whose tenant's side is no mere thing.
constexpr const char* kInUse = "26-open-for-writing";

std::vector<Row> all_rows() {
  std::vector<Row> rows = rows_of_files();
  for (const auto& more : {rows_of_private_files(), rows_of_collisions(), rows_of_symlinks(), rows_of_directories(),
                           rows_of_groups(), rows_of_special_files()})
    rows.insert(rows.end(), more.begin(), more.end());
  return rows;
}

/// Descriptors that keep files open for writing.
class Writers {
 public:
  void open(const fs::path& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    EXPECT_GE(fd, 0) << path;
    fds_.push_back(fd);
  }
  Writers() = default;
  ~Writers() {
    for (const int fd : fds_) ::close(fd);
  }
  Writers(const Writers&) = delete;
  Writers& operator=(const Writers&) = delete;

 private:
  std::vector<int> fds_;
};

class RelinkTableTest : public RelinkTest {
 protected:
  static constexpr const char* kDatabase = "var/lib/dpkg/status";

  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    rows_ = all_rows();
    vservers_ = {"hardlink", "copy"};
    if (has_reflinks(GetParam())) vservers_.push_back("reflink");
    make_base();
    for (const std::string& name : vservers_) {
      create_vserver(name, {"--share", name});
      if (HasFatalFailure()) return;
      make_mine(name);
    }
    make_theirs();
    configuration_ = config_file("[relink]\nfreeze = [\"/usr/share/rows/27-*\", \"/etc/rows/27-*\"]\n");
  }

  void for_each_place(const Row& row, const auto& action) const {
    for (const char* part : {kGlobal, kLocal}) action(part, std::string(part) + "/" + row.name);
  }

  void make_base() const {
    put(root() / kDatabase, file("version 1\n"));
    for (const char* part : {kGlobal, kLocal}) put(root() / part / kInUse, kX);
    for (const Row& row : rows_)
      for_each_place(row, [&](const char*, const std::string& path) { put(root() / path, row.base); });
    build();
  }

  void make_mine(const std::string& name) {
    const fs::path mine = vserver(name);
    const TenantAtWork tenant(mine, skel());
    for (const Row& row : rows_) {
      if (!row.mine) continue;
      for_each_place(row, [&](const char*, const std::string& path) { put(mine / path, *row.mine); });
    }
    for (const char* part : {kGlobal, kLocal}) {
      put(mine / part / kInUse, kX);
      writers_.open(mine / part / kInUse);
    }
  }

  void make_theirs() const {
    merge();
    if (HasFatalFailure()) return;
    for (const Row& row : rows_) {
      if (row.theirs == row.base) continue;
      for_each_place(row, [&](const char*, const std::string& path) { put(merged() / path, row.theirs); });
    }
    for (const char* part : {kGlobal, kLocal}) put(merged() / part / kInUse, kY);
    put(merged() / kDatabase, file("version 2\n"));
    split();
  }

  [[nodiscard]] std::map<std::string, std::string> expected_kept() const {
    std::map<std::string, std::string> kept;
    for (const Row& row : rows_)
      for_each_place(row, [&](const char*, const std::string& path) {
        for (const auto& [below, why] : row.kept) kept["/" + path + below] = why;
      });
    for (const char* part : {kGlobal, kLocal}) kept["/" + std::string(part) + "/" + kInUse] = "in use";
    return kept;
  }

  void expect_rows_done(const std::string& name) const {
    for (const Row& row : rows_) {
      SCOPED_TRACE("row " + row.name);
      for_each_place(row, [&](const char*, const std::string& path) {
        EXPECT_EQ(differences_from(row.after, vserver(name) / path), "");
      });
    }
    EXPECT_EQ(read_file(vserver(name) / kDatabase), "version 2\n") << "the package database moves with the packages";
  }

  static bool is_linkable(const Thing& thing) {
    return thing.kind == Thing::Kind::file && !thing.text.empty() && (thing.mode & 07000) == 0 &&
           !thing.xattrs.contains("security.capability");
  }

  /// An entry of a directory, a hard link as the file that it is.
  static Thing entry_of(const Thing& parent, const std::string& name) {
    const auto found = parent.entries.find(name);
    if (found == parent.entries.end()) return absent();
    return found->second.kind == Thing::Kind::hard_link ? entry_of(parent, found->second.text) : found->second;
  }

  /// Where M is as T in the end, a linkable file of the global part is the skel's inode, and sealed; where it is not,
  /// it never is.
  void expect_shared_inodes(const Thing& after, const Thing& skels, const std::string& path) const {
    if (after.kind == Thing::Kind::directory) {
      for (const auto& [entry_name, entry] : after.entries)
        expect_shared_inodes(entry_of(after, entry_name), entry_of(skels, entry_name), path + "/" + entry_name);
      return;
    }
    if (after.kind != Thing::Kind::file) return;
    const fs::path global = skel() / "global" / path;
    const bool is_one =
        fs::exists(fs::symlink_status(global)) && inode_of(vserver("hardlink") / path) == inode_of(global);
    EXPECT_EQ(is_one, after == skels && is_linkable(after)) << path;
    if (is_one) {
      EXPECT_TRUE(is_immutable(global)) << path;
    }
  }

  std::vector<Row> rows_;
  std::vector<std::string> vservers_;
  std::string configuration_;

 private:
  Writers writers_;
};

Json without_time(Json report) {
  report.erase("elapsed_s");
  return report;
}

TEST_P(RelinkTableTest, EveryRowInEveryWayOfSharing) {
  const StoreSnapshot before = snapshot_store();
  const Relinked dry = relink({"--dry-run", "--config", configuration_});
  EXPECT_EQ(dry.process.code, 0) << dry.process.err;
  EXPECT_EQ(changes_since(before), "") << "by the dry run";

  const Relinked real = relink({"--config", configuration_});
  EXPECT_EQ(real.process.code, 0) << real.process.err;
  EXPECT_EQ(without_time(dry.report), without_time(real.report)) << "a dry run reports what the run would do";
  for (const std::string& name : vservers_) {
    SCOPED_TRACE("vserver " + name);
    EXPECT_EQ(real.of(name)["status"], "done");
    EXPECT_EQ(real.kept(name), expected_kept());
    expect_rows_done(name);
    for (const char* part : {kGlobal, kLocal})
      EXPECT_EQ(differences_from(kX, vserver(name) / part / kInUse), "") << part;
    for (const char* set_id : {"/03-set-id", "/07-set-id", "/10-set-id"})
      EXPECT_NE(real.process.err.find(kGlobal + std::string(set_id)), std::string::npos) << real.process.err;
  }
  for (const Row& row : rows_) {
    SCOPED_TRACE("row " + row.name);
    expect_shared_inodes(row.after, row.theirs, std::string(kGlobal) + "/" + row.name);
  }
  EXPECT_EQ(inconsistencies(), "");
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 0) << verified;

  const StoreSnapshot after = snapshot_store();
  const Relinked second = relink({"--config", configuration_});
  EXPECT_EQ(second.process.code, 0) << second.process.err;
  EXPECT_EQ(changes_since(after), "") << "by a second run";
  for (const std::string& name : vservers_) {
    EXPECT_EQ(second.kept(name), expected_kept()) << name;
    EXPECT_EQ(second.of(name)["set_id"], real.of(name)["set_id"]) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(On, RelinkTableTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
