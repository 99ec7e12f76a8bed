#include "engine/txn/store.h"

#include <fcntl.h>
#include <sys/mount.h>

#include <cerrno>
#include <map>

#include "tests/support/file_system.h"
#include "tests/unit/txn/temporary_store.h"

namespace vskel {
namespace {

namespace fs = std::filesystem;

class StoreTest : public TemporaryStoreTest {
 protected:
  // Every path below the test's directory with its mode in octal.
  [[nodiscard]] std::map<std::string, unsigned> tree() const {
    std::map<std::string, unsigned> out;
    for (const auto& entry : fs::recursive_directory_iterator(path_))
      out[fs::relative(entry.path(), path_)] = static_cast<unsigned>(entry.symlink_status().permissions());
    return out;
  }
};

TEST_F(StoreTest, MakesExactlyItsDirectoriesWithTheirModes) {
  ASSERT_TRUE(Store::open_or_create(paths()));
  const std::map<std::string, unsigned> expected{
      {"etc", 0755},
      {"etc/contexts", 0755},
      {"etc/vskel", 0755},
      {"etc/vskel/scripts", 0755},
      {"vservers", 0700},
      {"vservers/.skel", 0755},
      {"vservers/.vskel", 0700},
      {"vservers/.vskel/journal", 0700},
      {"vservers/.vskel/locks", 0700},
      {"vservers/.vskel/log", 0700},
      {"vservers/.vskel/quarantine", 0700},
      {"vservers/.vskel/staging", 0700},
      {"vservers/.vskel/trash", 0700},
  };
  EXPECT_EQ(tree(), expected);
}

TEST_F(StoreTest, EachDescriptorIsItsDirectory) {
  const auto store = Store::open_or_create(paths());
  ASSERT_TRUE(store);
  const std::map<std::string, const DirFd*> expected{
      {"vservers", &store->vservers()},
      {"vservers/.skel", &store->skels()},
      {"vservers/.vskel/journal", &store->journal()},
      {"vservers/.vskel/locks", &store->locks()},
      {"vservers/.vskel/staging", &store->staging()},
      {"vservers/.vskel/trash", &store->trash()},
      {"vservers/.vskel/quarantine", &store->quarantine()},
      {"vservers/.vskel/log", &store->log()},
      {"etc", &store->etc()},
      {"etc/contexts", &store->contexts()},
      {"etc/vskel", &store->own_etc()},
      {"etc/vskel/scripts", &store->scripts()},
  };
  for (const auto& [path, dir] : expected) EXPECT_EQ(sys::path_of(*dir), path_ / path);
}

TEST_F(StoreTest, FollowsNoLinkBelowVservers) {
  VSKEL_REQUIRE(test::missing_for_mount(test::FileSystem::tmpfs));
  ASSERT_TRUE(Store::open_or_create(paths()));
  for (const char* dir : {"vservers", "vservers/.skel", "vservers/.vskel/staging"})
    fs::create_directory_symlink("/", path_ / dir / "link");
  const auto made = Store::open_or_create(paths()), existing = Store::open_existing(paths());
  for (const auto* store : {&made, &existing}) {
    ASSERT_TRUE(*store);
    EXPECT_EQ((*store)->without_clone(), "");
    for (const DirFd* dir : {&(*store)->vservers(), &(*store)->skels(), &(*store)->staging()}) {
      EXPECT_EQ(::openat(dir->number(), "link/etc", O_RDONLY | O_CLOEXEC), -1);
      EXPECT_EQ(errno, ELOOP);
    }
  }
}

TEST_F(StoreTest, IsNotClonedWhereItsOwnDirectoriesAreMounted) {
  VSKEL_REQUIRE(test::missing_for_mount(test::FileSystem::tmpfs));
  const test::ScopedLoopMount mount(test::FileSystem::tmpfs, path_);
  const StorePaths places{(mount.path() / "vservers").string(), (mount.path() / "etc").string()};
  ASSERT_TRUE(Store::open_or_create(places));
  for (const auto& [dir, alone] : std::map<std::string, bool>{{".skel", true},
                                                              {".vskel", true},
                                                              {".vskel/staging", true},
                                                              {".skel/web", false},
                                                              {".vskel/trash/x", false}}) {
    const fs::path path = mount.path() / "vservers" / dir;
    fs::create_directories(path);
    ASSERT_EQ(::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr), 0) << path;
    const auto store = Store::open_existing(places);
    ASSERT_TRUE(store) << dir;
    EXPECT_TRUE(store->skels().open() && store->staging().open()) << dir;
    const std::string told = "clone mount " + places.vservers + ": something is mounted on " + dir + "; ";
    EXPECT_EQ(store->without_clone().starts_with(told), alone) << dir << ": " << store->without_clone();
    EXPECT_EQ(::umount2(path.c_str(), MNT_DETACH), 0) << path;
  }
}

TEST_F(StoreTest, IsOpenedAgainWithoutAChange) {
  ASSERT_TRUE(Store::open_or_create(paths()));
  fs::permissions(path_ / "vservers", fs::perms{0755});
  const auto before = tree();
  EXPECT_TRUE(Store::open_or_create(paths()));
  EXPECT_EQ(tree(), before);
}

TEST_F(StoreTest, ParentsOfTheTwoDirectoriesAreMade) {
  ASSERT_TRUE(Store::open_or_create({(path_ / "a/b//c/").string(), (path_ / "d/e").string()}));
  EXPECT_EQ(tree().at("a/b"), 0755U);
  EXPECT_EQ(tree().at("a/b/c"), 0700U);
  EXPECT_TRUE(fs::is_directory(path_ / "d/e/vskel/scripts"));
}

TEST_F(StoreTest, FollowsTheAdministratorsOwnSymlink) {
  fs::create_directory(path_ / "real");
  fs::create_symlink("real", path_ / "vservers");
  ASSERT_TRUE(Store::open_or_create(paths()));
  EXPECT_TRUE(fs::is_directory(path_ / "real/.vskel/journal"));
}

TEST_F(StoreTest, APathThatNamesNoDirectoryIsAWrongRequestAndMakesNothing) {
  for (const std::string& path : {std::string(), (path_ / "missing/..").string(), (path_ / "missing/../x").string()}) {
    const auto store = Store::open_or_create({path, (path_ / "etc").string()});
    ASSERT_FALSE(store) << path;
    EXPECT_EQ(store.error().blame, Blame::request) << path;
  }
  EXPECT_TRUE(tree().empty());
}

TEST_F(StoreTest, RefusesItsOwnDirectoryWritableByOthers) {
  ASSERT_TRUE(Store::open_or_create(paths()));
  for (const char* dir : {"vservers/.vskel", "vservers/.vskel/journal", "vservers/.vskel/staging"}) {
    for (const unsigned mode : {0720U, 0702U, 0777U}) {
      fs::permissions(path_ / dir, fs::perms{mode});
      const auto store = Store::open_or_create(paths());
      ASSERT_FALSE(store) << dir << " " << std::oct << mode;
      EXPECT_EQ(store.error().path, path_ / dir);
      EXPECT_EQ(store.error().reason, "must be root's and writable by nobody else");
    }
    fs::permissions(path_ / dir, fs::perms{0700});
  }
  EXPECT_TRUE(Store::open_or_create(paths()));
}

TEST_F(StoreTest, RefusesItsOwnDirectoryOfAnotherOwner) {
  ASSERT_TRUE(Store::open_or_create(paths()));
  for (const char* dir : {"vservers/.vskel", "vservers/.vskel/journal"}) {
    ASSERT_EQ(::chown((path_ / dir).c_str(), 1000, 0), 0);
    const auto store = Store::open_or_create(paths());
    ASSERT_FALSE(store) << dir;
    EXPECT_EQ(store.error().path, path_ / dir);
    ASSERT_EQ(::chown((path_ / dir).c_str(), 0, 0), 0);
  }
}

TEST_F(StoreTest, RefusesASymlinkInPlaceOfItsOwnDirectory) {
  fs::create_directories(path_ / "elsewhere");
  fs::create_directories(path_ / "vservers");
  fs::create_directory_symlink(path_ / "elsewhere", path_ / "vservers/.vskel");
  EXPECT_FALSE(Store::open_or_create(paths()));
  EXPECT_TRUE(fs::is_empty(path_ / "elsewhere"));
}

TEST_F(StoreTest, OpeningWhatIsThereMakesNothing) {
  fs::create_directory(path_ / "vservers");
  const auto store = Store::open_existing(paths());
  ASSERT_TRUE(store);
  EXPECT_TRUE(store->vservers().open());
  for (const DirFd* dir :
       {&store->skels(), &store->journal(), &store->locks(), &store->etc(), &store->contexts(), &store->scripts()})
    EXPECT_FALSE(dir->open());
  EXPECT_EQ(tree().size(), 1U);
}

TEST_F(StoreTest, OpeningWhatIsThereFindsAll) {
  ASSERT_TRUE(Store::open_or_create(paths()));
  const auto store = Store::open_existing(paths());
  ASSERT_TRUE(store);
  for (const DirFd* dir :
       {&store->vservers(), &store->skels(), &store->journal(), &store->locks(), &store->staging(), &store->trash(),
        &store->quarantine(), &store->log(), &store->etc(), &store->contexts(), &store->own_etc(), &store->scripts()})
    EXPECT_TRUE(dir->open());
}

TEST_F(StoreTest, OpeningWhatIsThereFailsWithoutTheVserversDirectory) {
  const auto store = Store::open_existing(paths());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ENOENT);
}

TEST_F(StoreTest, ADryRunNeedsNoVserversDirectoryAndMakesNone) {
  const auto store = Store::open_whatever_is_there(paths());
  ASSERT_TRUE(store);
  EXPECT_FALSE(store->vservers().open());
  EXPECT_FALSE(store->journal().open());
  EXPECT_TRUE(tree().empty());
}

}  // namespace
}  // namespace vskel
