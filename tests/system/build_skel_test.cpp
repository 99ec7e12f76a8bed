// build-skel: the eleven steps of the 2003 page, on every file system and from every kind of source.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tests/support/inode_extras.h"
#include "tests/support/odd_root.h"
#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

class BuildSkelTest : public VskelTest {};

TEST_P(BuildSkelTest, PartsTheTreeByTheDefaultRules) {
  build_base();
  for (const char* path : {"global/usr/bin/tool", "global/bin", "global/lib64", "local/usr/local/bin/own-tool",
                           "local/var/lib/dpkg/status", "local/usr/lib/sysimage/rpm/rpmdb.sqlite",
                           "local/etc/os-release", "local/opt/package/data", "static/etc/passwd", "static/etc/shadow",
                           "static/etc/group", "static/etc/gshadow", "static/etc/hosts", "static/etc/hostname",
                           "configfile", "layout", "generations/0001.mtree", "scripts/post-create-vs", "instances"}) {
    EXPECT_TRUE(fs::exists(fs::symlink_status(skel() / path))) << path;
  }
  for (const char* path : {"global/usr/local", "global/etc", "global/var", "global/usr/lib/sysimage/rpm/rpmdb.sqlite",
                           "local/etc/passwd", "local/etc/hosts", "local/etc/hostname", "static/etc/os-release"}) {
    EXPECT_FALSE(fs::exists(fs::symlink_status(skel() / path))) << path;
  }
  EXPECT_TRUE(fs::is_symlink(skel() / "global/bin"));
}

TEST_P(BuildSkelTest, KeepsAllMetadataInEachPart) {
  build_base();
  const TreeSnapshot from = snapshot_tree(source());
  const std::vector<Exception> partial = {{"**", Aspect::presence | Aspect::links},
                                          {"etc/hosts", Aspects::all()},
                                          {"etc/hostname", Aspect::content | Aspect::size},
                                          {"etc/machine-id", Aspect::content | Aspect::size},
                                          {"dev/**", Aspects::all()},
                                          {"", Aspects::all()},
                                          {"dev", Aspect::mtime},
                                          {"tmp", Aspect::mtime},
                                          {"proc", Aspect::mtime},
                                          {"sys", Aspect::mtime},
                                          {"etc", Aspect::mtime}};
  for (const char* part : {"global", "local", "static"}) {
    EXPECT_EQ(joined(compare_snapshots(from, snapshot_tree(skel() / part), partial)), "") << part;
  }
}

/// mkdir(2) and open(2) take a group and an ACL from the directory above: inode(7), acl(5).
TEST_P(BuildSkelTest, TakesNothingFromVserversOrTheSourcesRoot) {
  const std::string acl = posix_acl(0775, {4321, 7});
  for (const fs::path& root : {vservers(), source()}) {
    fs::create_directories(root);
    ASSERT_EQ(::lchown(root.c_str(), 0, 50), 0);
    ASSERT_EQ(::chmod(root.c_str(), 02755), 0);
    set_xattr(root, "system.posix_acl_default", acl);
  }
  build_base();
  create("web", "192.0.2.7");
  EXPECT_EQ(differences_from_source("web"), "");
  EXPECT_EQ(inconsistencies(), "");
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 0) << verified;
}

TEST_P(BuildSkelTest, KeepsHardLinksWithinAPart) {
  build_base();
  EXPECT_EQ(inode_of(skel() / "global/usr/bin/hard-a"), inode_of(skel() / "global/usr/lib/hard-c"));
  EXPECT_EQ(inode_of(skel() / "global/usr/bin/su"), inode_of(skel() / "global/usr/bin/su-too"));
  EXPECT_EQ(inode_of(skel() / "local/etc/link-a"), inode_of(skel() / "local/etc/link-b"));
  EXPECT_EQ(inode_of(skel() / "local/usr/local/share/across"), inode_of(skel() / "local/var/lib/across"));
  EXPECT_NE(inode_of(skel() / "global/usr/share/across"), inode_of(skel() / "local/var/lib/across"));
}

TEST_P(BuildSkelTest, SealsWhatIsToBeShared) {
  build_base();
  for (const std::string& path : odd_root::kLinkable) EXPECT_TRUE(is_immutable(skel() / "global" / path)) << path;
  EXPECT_FALSE(is_immutable(skel() / "local/etc/os-release"));
}

TEST_P(BuildSkelTest, LeavesTheSourceAlone) {
  const TreeSnapshot before = snapshot_tree(source());
  build_base();
  EXPECT_EQ(joined(compare_snapshots(before, snapshot_tree(source()), {}, Identity::compared)), "");
}

TEST_P(BuildSkelTest, EmptiesTmpProcSysAndLeavesSocketsOut) {
  build_base();
  for (const std::string& name : odd_root::kEmptied) {
    struct stat made {
    }, from{};
    if ((name == "proc" || name == "sys") && !fs::exists(skel() / "local" / name)) continue;  // create-vs makes them
    ASSERT_EQ(::lstat((skel() / "local" / name).c_str(), &made), 0) << name;
    ASSERT_EQ(::lstat((source() / name).c_str(), &from), 0) << name;
    EXPECT_EQ(made.st_mode, from.st_mode) << name;
    EXPECT_EQ(made.st_uid, from.st_uid) << name;
    EXPECT_EQ(names_in(skel() / "local" / name), std::set<std::string>{}) << name;
  }
  for (const std::string& path : odd_root::kSockets) {
    EXPECT_FALSE(fs::exists(fs::symlink_status(skel() / "local" / path))) << path;
  }
}

TEST_P(BuildSkelTest, MakesOnlyContainerDevices) {
  build_base();
  const fs::path dev = skel() / "local/dev";
  for (const auto& [name, minor_number] :
       std::map<std::string, unsigned>{{"null", 3}, {"zero", 5}, {"full", 7}, {"random", 8}, {"urandom", 9}}) {
    struct stat status {};
    ASSERT_EQ(::lstat((dev / name).c_str(), &status), 0) << name;
    EXPECT_TRUE(S_ISCHR(status.st_mode)) << name;
    EXPECT_EQ(status.st_rdev, makedev(1, minor_number)) << name;
    EXPECT_EQ(status.st_mode & 0777U, 0666U) << name;
  }
  const std::set<unsigned> memory_minors = {3, 5, 7, 8, 9};
  for (const auto& [path, node] : snapshot_tree(dev)) {
    EXPECT_FALSE(S_ISBLK(node.mode)) << path;
    if (!S_ISCHR(node.mode)) continue;
    const bool allowed = major(node.rdev) == 5 || (major(node.rdev) == 1 && memory_minors.contains(minor(node.rdev)));
    EXPECT_TRUE(allowed) << path;
  }
}

TEST_P(BuildSkelTest, ReportsAsJson) {
  const Json report = vskel_json({"build-skel", "base", "--from", source().string()});
  EXPECT_EQ(keys_of(report), (std::set<std::string>{"command", "skel", "generation", "files", "dirs", "symlinks",
                                                    "bytes", "global_files", "local_files", "static_files", "omitted",
                                                    "left_out", "look_at", "elapsed_s"}));
  EXPECT_EQ(report["command"], "build-skel");
  EXPECT_EQ(report["skel"], "base");
  EXPECT_EQ(report["generation"], 1);
  EXPECT_EQ(report["static_files"], 6);
  EXPECT_EQ(report["files"].get<int>(),
            report["global_files"].get<int>() + report["local_files"].get<int>() + report["static_files"].get<int>());
}

TEST_P(BuildSkelTest, VerifiesAfterwards) {
  build_base();
  const ProcessResult result = vskel({"verify"});
  EXPECT_EQ(result.code, 0) << result;
}

// One way to make an archive of the source; the program reads it from a file or from standard input.
struct ArchiveKind {
  std::string suffix;
  std::vector<std::string> compress;
};

const std::vector<ArchiveKind> kArchives = {
    {".tar", {}}, {".tar.gz", {"gzip", "-1"}}, {".tar.xz", {"xz", "-0"}}, {".tar.zst", {"zstd", "-q", "-1"}}};

std::string archive_of(const fs::path& source, const ArchiveKind& kind) {
  ProcessOptions options;
  options.input = run_or_throw({"tar", "--format=posix", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls",
                                "--sparse", "--warning=no-file-ignored", "-C", source.string(), "-cf", "-", "."});
  return kind.compress.empty() ? options.input : run_or_throw(kind.compress, options);
}

TEST_P(BuildSkelTest, MakesTheSameFromArchives) {
  build_base();
  create("direct", "192.0.2.1");
  EXPECT_EQ(differences_from_source("direct"), "");
  for (const ArchiveKind& kind : kArchives) {
    const fs::path archive = mount() / ("root" + kind.suffix);
    write_file(archive, archive_of(source(), kind));
    const std::string name = "from" + kind.suffix;
    const ProcessResult result = vskel({"build-skel", name, "--from", archive.string()});
    ASSERT_EQ(result.code, 0) << kind.suffix << result;
    for (const char* part : {"global", "local", "static"}) {
      const std::vector<Exception> times_of_made = {
          {"", Aspects::all()},   {"etc", Aspect::mtime},  {"dev", Aspect::mtime}, {"dev/**", Aspect::mtime},
          {"tmp", Aspect::mtime}, {"proc", Aspect::mtime}, {"sys", Aspect::mtime}, {"etc/hosts", Aspect::mtime}};
      EXPECT_EQ(joined(compare_trees(skel() / part, skel(name) / part, times_of_made)), "")
          << kind.suffix << " " << part;
    }
  }
}

TEST_P(BuildSkelTest, ReadsAnArchiveFromStandardInput) {
  const ProcessResult result = vskel({"build-skel", "base", "--from", "-"}, archive_of(source(), kArchives[1]));
  ASSERT_EQ(result.code, 0) << result;
  create("web1", "192.0.2.1");
  EXPECT_EQ(differences_from_source("web1"), "");
}

INSTANTIATE_TEST_SUITE_P(On, BuildSkelTest, kAllFileSystems, kParameterName);

class BuildSkelOptionsTest : public VskelTest {};

TEST_P(BuildSkelOptionsTest, AnswersToTheSpellingOf2003) {
  const ProcessResult result = vskel({"--build-skel", "base", "--from", source().string()});
  ASSERT_EQ(result.code, 0) << result;
  EXPECT_TRUE(fs::exists(skel() / "generations/0001.mtree"));
}

TEST_P(BuildSkelOptionsTest, TakesGlobalOptionsBeforeAndAfterTheCommand) {
  const ProcessResult result = run({VSKEL_PROGRAM, "build-skel", "--from", source().string(), "base", "--vservers",
                                    vservers().string(), "--etc", etc().string(), "-j", "1"});
  ASSERT_EQ(result.code, 0) << result;
  EXPECT_TRUE(fs::exists(skel() / "layout"));
}

TEST_P(BuildSkelOptionsTest, TakesDirectoriesFromTheEnvironment) {
  ProcessOptions options;
  options.environment = {{"VSKEL_VSERVERS", vservers().string()}, {"VSKEL_ETC", etc().string()}};
  const ProcessResult result = run({VSKEL_PROGRAM, "build-skel", "base", "--from", source().string()}, options);
  ASSERT_EQ(result.code, 0) << result;
  EXPECT_TRUE(fs::exists(skel() / "layout"));
}

TEST_P(BuildSkelOptionsTest, ExcludesAndMovesPathsBetweenParts) {
  const ProcessResult result = vskel({"build-skel", "base", "--from", source().string(), "--exclude", "/usr/share/deep",
                                      "--exclude", "*.list", "--global", "/opt", "--local", "/usr/share/big"});
  ASSERT_EQ(result.code, 0) << result;
  EXPECT_FALSE(fs::exists(skel() / "global/usr/share/deep"));
  EXPECT_FALSE(fs::exists(skel() / "local/var/lib/dpkg/info/odd.list"));
  EXPECT_TRUE(fs::exists(skel() / "global/opt/package/data"));
  EXPECT_TRUE(fs::exists(skel() / "local/usr/share/big"));
  EXPECT_FALSE(fs::exists(skel() / "global/usr/share/big"));
}

TEST_P(BuildSkelOptionsTest, ADryRunChangesNothing) {
  const StoreSnapshot before = snapshot_store();
  const ProcessResult result = vskel({"build-skel", "base", "--from", source().string(), "--dry-run"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_FALSE(fs::exists(skel()));
  EXPECT_EQ(joined(compare_snapshots(before.etc, snapshot_store().etc)), "");
}

TEST_P(BuildSkelOptionsTest, WarnsAboutWhatDeservesALook) {
  const ProcessResult result = vskel({"build-skel", "base", "--from", source().string()});
  ASSERT_EQ(result.code, 0) << result;
  for (const char* path :
       {"/etc/shadow", "/etc/ssh/ssh_host_ed25519_key", "/root/.ssh/id_ed25519", "/var/log: 1 file"}) {
    EXPECT_NE((result.out + result.err).find(path), std::string::npos) << path << "\n" << result;
  }
}

TEST_P(BuildSkelOptionsTest, LinksEveryPlugin) {
  fs::create_directories(etc() / "vskel/scripts");
  write_file(etc() / "vskel/scripts/10-first", "#!/bin/sh\n");
  fs::permissions(etc() / "vskel/scripts/10-first", fs::perms::owner_all);
  build_base();
  const fs::path link = skel() / "scripts/post-create-vs/10-first";
  ASSERT_TRUE(fs::is_symlink(link));
  EXPECT_TRUE(fs::equivalent(link, etc() / "vskel/scripts/10-first"));
}

TEST_P(BuildSkelOptionsTest, WritesAManifestThatOthersRead) {
  build_base();
  const std::string manifest = (skel() / "generations/0001.mtree").string();
  const std::optional<std::string> missing = has_program("bsdtar") && has_program("mtree")
                                                 ? std::nullopt
                                                 : std::optional<std::string>("needs bsdtar and mtree");
  VSKEL_REQUIRE(missing);
  const ProcessResult listed = run({"bsdtar", "-tf", manifest});
  EXPECT_EQ(listed.code, 0) << listed;
  EXPECT_NE(listed.out.find("usr/bin/tool"), std::string::npos);
  const ProcessResult read = run({"mtree", "-C", "-f", manifest});
  EXPECT_EQ(read.code, 0) << read;
  EXPECT_EQ(read.err, "");
}

INSTANTIATE_TEST_SUITE_P(On, BuildSkelOptionsTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
