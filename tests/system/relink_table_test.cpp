// The table of relink.md on real file systems: every row has a path of its own in one vserver, so that one cycle shows
// all of them, once for each way to share.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "tests/support/inode_extras.h"
#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

constexpr int kVservers = 2;  // web0 stays untouched

class RelinkTableSystemTest : public VskelTest {
 protected:
  static std::vector<std::string> shares() {
    std::vector<std::string> shares = {"hardlink", "copy"};
    if (has_reflinks(GetParam())) shares.emplace_back("reflink");
    return shares;
  }

  [[nodiscard]] fs::path root() const { return mount() / "root"; }
  [[nodiscard]] fs::path merged() const { return vservers() / "tmp_skel_base"; }
  [[nodiscard]] fs::path web() const { return vserver("web1"); }

  void put(const fs::path& path, const std::string& content) const {
    fs::create_directories(path.parent_path());
    write_file(path, content);
  }

  /// A tenant's doing to a name that may be a sealed inode: `change` is done with the seal lifted, on a copy of its
  /// own.
  void tenant(const std::string& path, const std::function<void(const fs::path&)>& change) const {
    const fs::path file = web() / path;
    const bool sealed = fs::is_regular_file(fs::symlink_status(file)) && is_immutable(file);
    if (sealed) {
      ASSERT_EQ(run({"cp", "-a", file.string(), file.string() + ".own"}).code, 0);
      clear_immutable(file);
      fs::rename(file.string() + ".own", file);
      set_immutable(skel() / "global" / path);
    }
    change(file);
  }

  [[nodiscard]] Json relink(const Arguments& options = {}, int code = 0) const {
    Arguments arguments = {"relink", "base", "web1", "--json"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const ProcessResult result = vskel(arguments);
    EXPECT_EQ(result.code, code) << result;
    const Json document = Json::parse(result.out, nullptr, false);
    EXPECT_TRUE(document.is_object()) << result;
    return document.is_object() ? document.at("vservers").at(0) : Json();
  }

  void merge() const {
    const ProcessResult result = vskel({"merge-skel", "base"});
    ASSERT_EQ(result.code, 0) << result;
  }
  void split() const {
    const ProcessResult result = vskel({"split-skel", "base"});
    ASSERT_EQ(result.code, 0) << result;
  }

  void build(const std::string& share) const {
    const ProcessResult built = vskel({"build-skel", "base", "--from", root().string()});
    ASSERT_EQ(built.code, 0) << built;
    for (int number = 0; number < kVservers; ++number)
      create("web" + std::to_string(number), "192.0.2." + std::to_string(number + 1), {"--share", share});
  }

  void remove_everything() const {
    Arguments arguments = {"remove-vs", "--yes"};
    for (const std::string& name : names_in(vservers()))
      if (!name.starts_with(".")) arguments.push_back(name);
    ASSERT_EQ(vskel(arguments).code, 0);
    ASSERT_EQ(vskel({"remove-skel", "base", "--yes"}).code, 0);
    fs::remove_all(root());
  }

  /// Is the path in web1 the skel's file, in the way of `share`?
  [[nodiscard]] bool is_shared(const std::string& share, const std::string& path) const {
    if (share == "hardlink") return inode_of(web() / path) == inode_of(skel() / "global" / path);
    return read_file(web() / path) == read_file(skel() / "global" / path);
  }
};

TEST_P(RelinkTableSystemTest, EveryRowIsAsTheTableSays) {
  for (const std::string& share : shares()) {
    SCOPED_TRACE(share);
    const std::string g = "usr/share/rows/";  // global
    for (int row = 1; row <= 31; ++row)
      put(root() / g / ("r" + std::to_string(row)), "base of row " + std::to_string(row));
    for (const char* absent_row : {"r12", "r13", "r14", "r15"}) fs::remove(root() / g / absent_row);
    for (const char* directory_row : {"r21", "r22", "r23", "r23b", "r24", "r24b", "r25"}) {
      fs::remove(root() / g / directory_row);
      put(root() / g / directory_row / "inside", "inside");
    }
    put(root() / g / "r29b", "");
    fs::remove(root() / g / "r29b");
    put(root() / "etc/row5", "base");
    put(root() / "etc/row7", "base");
    put(root() / "etc/row9", "base");
    put(root() / "etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    build(share);
    if (HasFatalFailure()) return;
    const auto edit = [](const std::string& text) { return [text](const fs::path& file) { write_file(file, text); }; };
    const auto drop = [](const fs::path& file) { fs::remove(file); };

    // What tenants do.
    tenant(g + "r2", [](const fs::path&) {});  // a copy of its own, equal
    tenant(g + "r3", edit("mine of 3"));
    tenant(g + "r4", drop);
    tenant(g + "r6", edit("theirs of 6"));
    tenant(g + "r7", edit("mine of 7"));
    tenant(g + "r8", drop);
    tenant(g + "r10", edit("mine of 10"));
    tenant(g + "r11", drop);
    put(web() / g / "r13", "theirs of 13");
    put(web() / g / "r14", "mine of 14");
    put(web() / g / "r15", "mine of 15");
    tenant(g + "r17", [](const fs::path& file) { fs::permissions(file, fs::perms::owner_read); });
    tenant(g + "r18", [](const fs::path& file) { fs::permissions(file, fs::perms::owner_read); });
    tenant(g + "r20", edit("mine of 20"));
    put(web() / g / "r22/own", "mine in 22");
    put(web() / g / "r23b/own", "mine in 23");
    fs::permissions(web() / g / "r24b", fs::perms::owner_all);
    tenant(g + "r25/inside", drop);
    fs::rename(web() / g / "r25", web() / "srv25");
    fs::create_directory_symlink("/srv25", web() / g / "r25");
    tenant(g + "r26", [](const fs::path&) {});
    tenant(g + "r29", [](const fs::path& file) { fs::create_hard_link(file, file.string() + ".tenants-link"); });
    tenant(g + "r31", [](const fs::path& file) {
      fs::remove(file);
      ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
    });
    write_file(web() / "etc/row7", "mine");
    if (HasFatalFailure()) return;

    // What the skel does.
    merge();
    if (HasFatalFailure()) return;
    for (const int row : {5, 7, 8, 18, 29, 31, 26, 27})
      write_file(merged() / g / ("r" + std::to_string(row)), "theirs of " + std::to_string(row));
    for (const int row : {6, 12, 13, 14})
      write_file(merged() / g / ("r" + std::to_string(row)), "theirs of " + std::to_string(row));
    for (const int row : {9, 10, 11}) fs::remove(merged() / g / ("r" + std::to_string(row)));
    fs::permissions(merged() / g / "r16", fs::perms::owner_all);
    for (const char* row : {"r19", "r20"}) {
      fs::remove(merged() / g / row);
      put(merged() / g / row / "deep/new", "new");
    }
    for (const char* row : {"r21", "r22"}) {
      fs::remove_all(merged() / g / row);
      write_file(merged() / g / row, "a file now");
    }
    fs::remove_all(merged() / g / "r23");
    fs::remove_all(merged() / g / "r23b");
    fs::permissions(merged() / g / "r24", fs::perms::owner_all | fs::perms::group_read);
    fs::permissions(merged() / g / "r24b", fs::perms::owner_all | fs::perms::group_read);
    write_file(merged() / g / "r25/inside", "theirs of 25");
    write_file(merged() / "etc/row5", "theirs");
    write_file(merged() / "etc/row7", "theirs");
    fs::remove(merged() / "etc/row9");
    split();
    if (HasFatalFailure()) return;

    write_file(etc() / "vskel/freeze.toml", "[relink]\nfreeze = [\"/usr/share/rows/r27\"]\n");
    const Arguments frozen = {"--config", (etc() / "vskel/freeze.toml").string()};
    Json done;
    {
      // A file of the vserver's own, so that it can be open for writing: row 26.
      const int writer = ::open((web() / g / "r26").c_str(), O_WRONLY | O_CLOEXEC);
      ASSERT_GE(writer, 0);
      Arguments dry_run = frozen;
      dry_run.emplace_back("--dry-run");
      const Json planned = relink(dry_run);
      done = relink(frozen);
      ::close(writer);
      EXPECT_EQ(planned, done);
    }
    const std::map<std::string, std::string> expected = {{"/usr/share/rows/r7", "changed on both sides"},
                                                         {"/usr/share/rows/r8", "deleted here, changed in the skel"},
                                                         {"/usr/share/rows/r10", "removed in the skel, changed here"},
                                                         {"/usr/share/rows/r14", "added on both sides"},
                                                         {"/usr/share/rows/r18", "changed on both sides"},
                                                         {"/usr/share/rows/r20", "type changed"},
                                                         {"/usr/share/rows/r22", "type changed"},
                                                         {"/usr/share/rows/r23b", "not empty"},
                                                         {"/usr/share/rows/r25", "blocked"},
                                                         {"/usr/share/rows/r26", "in use"},
                                                         {"/usr/share/rows/r29", "changed on both sides"},
                                                         {"/usr/share/rows/r31", "special file"},
                                                         {"/etc/row7", "changed on both sides"},
                                                         {"/etc/row9", "removed in the skel"}};
    EXPECT_EQ(kept_of(done), expected);
    EXPECT_EQ(done.at("status"), "done");
    const auto text = [&](const char* row) { return read_file(web() / g / row); };
    EXPECT_TRUE(is_shared(share, g + "r1"));
    EXPECT_TRUE(is_shared(share, g + "r2"));
    EXPECT_EQ(text("r3"), "mine of 3");
    EXPECT_FALSE(fs::exists(web() / g / "r4"));
    EXPECT_EQ(text("r5"), "theirs of 5");
    EXPECT_TRUE(is_shared(share, g + "r5"));
    EXPECT_TRUE(is_shared(share, g + "r6"));
    EXPECT_EQ(text("r7"), "mine of 7");
    EXPECT_FALSE(fs::exists(web() / g / "r8"));
    EXPECT_FALSE(fs::exists(web() / g / "r9"));
    EXPECT_EQ(text("r10"), "mine of 10");
    EXPECT_FALSE(fs::exists(web() / g / "r11"));
    EXPECT_EQ(text("r12"), "theirs of 12");
    EXPECT_TRUE(is_shared(share, g + "r12"));
    EXPECT_TRUE(is_shared(share, g + "r13"));
    EXPECT_EQ(text("r14"), "mine of 14");
    EXPECT_EQ(text("r15"), "mine of 15");
    EXPECT_EQ(fs::status(web() / g / "r16").permissions(), fs::perms::owner_all);
    EXPECT_EQ(fs::status(web() / g / "r17").permissions(), fs::perms::owner_read);
    EXPECT_EQ(fs::status(web() / g / "r18").permissions(), fs::perms::owner_read);
    EXPECT_EQ(text("r19/deep/new"), "new");
    EXPECT_EQ(text("r20"), "mine of 20");
    EXPECT_EQ(text("r21"), "a file now");
    EXPECT_EQ(text("r22/own"), "mine in 22");
    EXPECT_FALSE(fs::exists(web() / g / "r23"));
    EXPECT_EQ(text("r23b/own"), "mine in 23");
    EXPECT_FALSE(fs::exists(web() / g / "r23b/inside"));
    EXPECT_EQ(fs::status(web() / g / "r24").permissions(), fs::perms::owner_all | fs::perms::group_read);
    EXPECT_EQ(fs::status(web() / g / "r24b").permissions(), fs::perms::owner_all);
    EXPECT_TRUE(fs::is_symlink(web() / g / "r25"));
    EXPECT_FALSE(fs::exists(web() / "srv25/inside"));
    EXPECT_EQ(text("r26"), "base of row 26");
    EXPECT_EQ(text("r27"), "base of row 27");
    EXPECT_EQ(text("r29"), "base of row 29");
    EXPECT_EQ(inode_of(web() / g / "r29"), inode_of(web() / g / "r29.tenants-link"));
    EXPECT_TRUE(fs::is_fifo(web() / g / "r31"));
    EXPECT_EQ(read_file(web() / "etc/row5"), "theirs");
    EXPECT_EQ(read_file(web() / "etc/row7"), "mine");
    EXPECT_TRUE(fs::exists(web() / "etc/row9"));

    // The writer is gone, and the freeze is lifted: the two rows that waited are carried out now, and nothing else.
    std::map<std::string, std::string> rest = expected;
    rest.erase("/usr/share/rows/r26");
    const Json again = relink();
    EXPECT_EQ(kept_of(again), rest);
    EXPECT_EQ(again.at("updated"), 2);
    EXPECT_EQ(text("r26"), "theirs of 26");
    EXPECT_EQ(text("r27"), "theirs of 27");
    // Seen and acknowledged: said once more, and then no more.
    EXPECT_EQ(kept_of(relink({"--ack"})), rest);
    EXPECT_TRUE(kept_of(relink()).empty()) << relink();
    EXPECT_EQ(text("r7"), "mine of 7");
    EXPECT_EQ(inconsistencies(), "");
    const ProcessResult verified = vskel({"verify"});
    EXPECT_EQ(verified.code, 0) << verified;
    remove_everything();
    if (HasFatalFailure()) return;
  }
}

TEST_P(RelinkTableSystemTest, Row28AndRow30AndTheOptions) {
  for (const std::string& share : shares()) {
    SCOPED_TRACE(share);
    const std::string g = "usr/share/rows/";
    for (const char* name : {"equal", "updated", "mine"}) put(root() / g / name, std::string("base ") + name);
    put(root() / "etc/conf", "base");
    put(root() / "etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    put(root() / "var/lib/dpkg/status", "base");
    build(share);
    if (HasFatalFailure()) return;
    // An adopted vserver: a copy of the root, that nobody made from the skel.
    ASSERT_EQ(run({"cp", "-a", root().string(), vserver("old").string()}).code, 0);
    write_file(vserver("old") / g / "mine", "the tenant's");
    const ProcessResult adopted = vskel({"adopt", "base", "old", "--share", share});
    ASSERT_EQ(adopted.code, 0) << adopted;
    const Json folded = vskel_json({"relink", "base", "old", "--share-only"}).at("vservers").at(0);
    EXPECT_EQ(folded.at("status"), "done");
    EXPECT_TRUE(folded.at("kept").empty()) << folded;
    EXPECT_EQ(read_file(vserver("old") / g / "mine"), "the tenant's");
    if (share == "hardlink") {
      EXPECT_EQ(inode_of(vserver("old") / g / "equal"), inode_of(skel() / "global" / g / "equal"));
    }

    tenant(g + "equal", [](const fs::path&) {});  // the tenant's own inode, equal
    write_file(web() / "var/lib/dpkg/status", "the tenant's");
    merge();
    if (HasFatalFailure()) return;
    write_file(merged() / g / "updated", "theirs");
    write_file(merged() / "etc/conf", "theirs");
    write_file(merged() / "var/lib/dpkg/status", "theirs");
    split();
    if (HasFatalFailure()) return;
    const Json skipped = relink({}, 3);
    EXPECT_EQ(skipped.at("status"), "skipped");
    EXPECT_EQ(skipped.at("updated"), 0);
    EXPECT_EQ(read_file(web() / g / "updated"), "base updated");
    EXPECT_TRUE(is_shared(share, g + "equal"));
    // --global-only leaves the local part, and --pkgdb force the database.
    const Json forced = relink({"--pkgdb", "force", "--global-only"});
    EXPECT_EQ(forced.at("updated"), 1);
    EXPECT_EQ(read_file(web() / g / "updated"), "theirs");
    EXPECT_EQ(read_file(web() / "etc/conf"), "base");
    EXPECT_EQ(relink({"--pkgdb", "force"}).at("updated"), 1);
    EXPECT_EQ(read_file(web() / "etc/conf"), "theirs");
    EXPECT_EQ(read_file(web() / "var/lib/dpkg/status"), "the tenant's");

    // web0 follows whole; --export-new writes theirs of a conflict outside.
    write_file(vserver("web0") / "etc/conf", "mine");
    const fs::path exported = mount() / "exported";
    fs::create_directories(exported);
    EXPECT_EQ(vskel({"relink", "base", "web0", "--export-new", exported.string()}).code, 0);
    EXPECT_EQ(read_file(exported / "web0/etc/conf"), "theirs");
    EXPECT_EQ(read_file(vserver("web0") / "etc/conf"), "mine");
    EXPECT_EQ(read_file(vserver("web0") / "var/lib/dpkg/status"), "theirs");

    // --to changes how it shares, from then on.
    EXPECT_EQ(vskel({"relink", "base", "web0", "--to", "copy"}).code, 0);
    EXPECT_NE(inode_of(vserver("web0") / g / "equal"), inode_of(skel() / "global" / g / "equal"));
    EXPECT_FALSE(is_immutable(vserver("web0") / g / "equal"));
    EXPECT_EQ(vskel({"relink", "base", "web0", "--to", "hardlink"}).code, 0);
    EXPECT_EQ(inode_of(vserver("web0") / g / "equal"), inode_of(skel() / "global" / g / "equal"));
    EXPECT_TRUE(is_immutable(vserver("web0") / g / "equal"));

    // --anywhere finds equal files wherever they stand.
    put(vserver("web0") / "home/copy-of-updated", "theirs");
    EXPECT_EQ(vskel({"relink", "base", "web0"}).code, 0);
    EXPECT_NE(inode_of(vserver("web0") / "home/copy-of-updated"), inode_of(skel() / "global" / g / "updated"));
    EXPECT_EQ(vskel({"relink", "base", "web0", "--anywhere"}).code, 0);
    EXPECT_EQ(inode_of(vserver("web0") / "home/copy-of-updated"), inode_of(skel() / "global" / g / "updated"));
    EXPECT_EQ(vskel({"remove-vs", "--yes", "old"}).code, 0);  // it has neither configuration nor context
    EXPECT_EQ(inconsistencies(), "");
    const ProcessResult verified = vskel({"verify"});
    EXPECT_EQ(verified.code, 0) << verified;
    remove_everything();
    if (HasFatalFailure()) return;
  }
}

TEST_P(RelinkTableSystemTest, FilesThatCollideInXxh3AreNeverTakenForEqual) {
  const fs::path data = fs::path(VSKEL_TEST_DATA) / "xxh3-collision";
  const std::string a = read_file(data / "a-4096.bin"), b = read_file(data / "b-4096.bin");
  ASSERT_NE(a, b);
  for (const std::string& share : shares()) {
    SCOPED_TRACE(share);
    for (const char* name : {"changed-in-skel", "changed-by-tenant", "plain"}) put(root() / "usr/share" / name, a);
    put(root() / "etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    build(share);
    if (HasFatalFailure()) return;
    tenant("usr/share/changed-by-tenant", [&](const fs::path& file) { write_file(file, b); });
    put(web() / "home/other", b);
    EXPECT_EQ(vskel({"relink", "base", "web1", "--anywhere"}).code, 0);
    EXPECT_EQ(read_file(web() / "usr/share/changed-by-tenant"), b);
    EXPECT_EQ(read_file(web() / "home/other"), b);
    merge();
    if (HasFatalFailure()) return;
    write_file(merged() / "usr/share/changed-in-skel", b);
    const Json document = vskel_json({"split-skel", "base"});
    EXPECT_EQ(document.at("changed"), 1) << document;
    EXPECT_EQ(read_file(skel() / "global/usr/share/changed-in-skel"), b);
    const Json diff = vskel_json({"diff", "base"});
    EXPECT_EQ(diff.at("changed"), Json::array({"global/usr/share/changed-in-skel"}));
    EXPECT_EQ(relink().at("updated"), 1);
    EXPECT_EQ(read_file(web() / "usr/share/changed-in-skel"), b);
    EXPECT_EQ(read_file(web() / "usr/share/changed-by-tenant"), b);
    EXPECT_EQ(read_file(web() / "usr/share/plain"), a);
    remove_everything();
    if (HasFatalFailure()) return;
  }
}

// ext4 gives an inode 65,000 names: a copy leads further ones, and those who have the old inode keep it or follow.
TEST_P(RelinkTableSystemTest, AnInodeWithAllTheNamesItCanHaveIsSucceededByACopy) {
  if (GetParam() != FileSystem::ext4) return;
  constexpr int kMostNames = 65'000;
  const std::string path = "usr/share/file";
  put(root() / path, "content");
  put(root() / "etc/passwd", "root:x:0:0::/root:/bin/sh\n");
  build("hardlink");
  create("late", "192.0.2.9", {"--share", "copy"});
  if (HasFatalFailure()) return;
  const fs::path shared = skel() / "global" / path;
  const std::uint64_t old_inode = inode_of(shared);
  clear_immutable(shared);
  fs::create_directories(mount() / "names");
  for (int number = static_cast<int>(fs::hard_link_count(shared)); number < kMostNames; ++number)
    fs::create_hard_link(shared, mount() / "names" / std::to_string(number));
  set_immutable(shared);
  const ProcessResult result = vskel({"relink", "base", "late", "--to", "hardlink"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_NE(inode_of(shared), old_inode);
  EXPECT_EQ(inode_of(vserver("late") / path), inode_of(shared));
  EXPECT_TRUE(is_immutable(shared));
  EXPECT_EQ(read_file(vserver("late") / path), "content");
  EXPECT_EQ(inode_of(web() / path), old_inode);
  EXPECT_EQ(vskel({"relink", "base"}).code, 0);  // those with the old inode follow
  EXPECT_EQ(inode_of(web() / path), inode_of(shared));
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 0) << verified;
  EXPECT_EQ(inconsistencies(), "");
  clear_immutable(mount() / "names/500");
}

// What is written under the eyes of a relink stays: a writer's file is in use, a running process's old library is
// named.
TEST_P(RelinkTableSystemTest, AProcessThatStillUsesAReplacedFileIsNamed) {
  put(root() / "etc/passwd", "root:x:0:0::/root:/bin/sh\n");
  put(root() / "usr/lib/data.so", std::string(8192, 'x'));
  build("copy");
  if (HasFatalFailure()) return;
  // mmap(2) by its number: a private, readable mapping, as of a library.
  const Process inside({"perl", "-e",
                        "chroot $ARGV[0] or die; open F, '<', '/usr/lib/data.so' or die;"
                        "syscall(9, 0, 8192, 1, 2, fileno(F), 0); sleep 60",
                        web().string()});
  const std::string maps = "/proc/" + std::to_string(inside.pid()) + "/maps";
  for (int attempt = 0; attempt < 500 && read_file(maps).find("data.so") == std::string::npos; ++attempt)
    ::usleep(10'000);
  merge();
  if (HasFatalFailure()) return;
  write_file(merged() / "usr/lib/data.so", std::string(8192, 'y'));
  split();
  const Json done = relink();
  EXPECT_EQ(done.at("updated"), 1);
  EXPECT_EQ(done.at("restart").size(), 1U) << done;
}

INSTANTIATE_TEST_SUITE_P(On, RelinkTableSystemTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
