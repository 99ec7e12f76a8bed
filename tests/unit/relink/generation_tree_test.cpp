// A manifest as a tree: every path is found where it belongs, whatever bytes its name has.

#include "engine/relink/generation_tree.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

Result<std::unique_ptr<GenerationTree>> tree_of(const std::string& lines) {
  const std::string text = "#mtree\n. type=dir mode=0755 uid=0 gid=0 tags=part:global\n" + lines;
  auto manifest = read_manifest(text, "0001.mtree");
  EXPECT_TRUE(manifest) << manifest.error().line();
  auto tree = std::make_unique<GenerationTree>(1);
  for (ManifestEntry& entry : manifest->entries) TRY(tree->add(std::move(entry)));
  TRY(tree->finish());
  return tree;
}

constexpr const char* kFile = " type=file mode=0644 uid=0 gid=0 size=1 tags=part:global\n";
constexpr const char* kDirectory = " type=dir mode=0755 uid=0 gid=0 tags=part:global\n";

TEST(GenerationTreeTest, FindsPathsWhoseNamesSortAroundTheSlash) {
  // '-' sorts before '/', '0' after it: siblings of a directory stand between it and its children.
  const auto tree = tree_of(std::string("./a") + kDirectory + "./a-b" + kFile + "./a/x" + kFile + "./a0" + kFile);
  ASSERT_TRUE(tree) << tree.error().line();
  for (const char* path : {"a", "a-b", "a/x", "a0"}) {
    ASSERT_NE((*tree)->find(path), nullptr) << path;
    EXPECT_EQ((*tree)->find(path)->path(), path);
  }
  EXPECT_EQ((*tree)->find("a/y"), nullptr);
  EXPECT_EQ((*tree)->find("a-b/x"), nullptr);
  EXPECT_EQ((*tree)->find(""), &(*tree)->root());
}

TEST(GenerationTreeTest, ADirectoryOfSeveralPartsIsOneNodeOfTheHighest) {
  const auto tree = tree_of("./etc type=dir mode=0700 uid=0 gid=0 tags=part:local,part:global\n");
  ASSERT_TRUE(tree);
  EXPECT_EQ((*tree)->find("etc")->entry->part, Part::local_part);
  EXPECT_EQ((*tree)->root().children().size(), 1U);
}

TEST(GenerationTreeTest, RefusesAPathWithoutItsDirectory) {
  const auto tree = tree_of(std::string("./a/x") + kFile);
  ASSERT_FALSE(tree);
  EXPECT_NE(tree.error().line().find("a/x"), std::string::npos);
}

TEST(GenerationTreeTest, SharesWithANewerOneWhatIsTheSame) {
  const std::string same = std::string("./a") + kDirectory + "./a/x" + kFile + "./b" + kDirectory;
  const auto newest = tree_of(same + "./b/y" + kFile + "./b/z" + kFile);
  ASSERT_TRUE(newest);
  GenerationTree base(1);
  ASSERT_TRUE(base.add(*(*newest)->root().entry));
  for (const char* path : {"a", "a/x", "b", "b/y"}) {
    const TreeNode& node = *(*newest)->find(path);
    ASSERT_TRUE(node.is_directory() ? base.add(*node.entry) : base.add(node));
  }
  ASSERT_TRUE(base.finish());
  for (TreeNode& node : base.nodes()) node.as_newest = true;
  base.share_directories(**newest);
  EXPECT_EQ(base.find("a"), (*newest)->find("a"));
  EXPECT_EQ(base.find("b/y"), (*newest)->find("b/y"));
  EXPECT_NE(base.find("b"), (*newest)->find("b"));
  EXPECT_EQ(base.find("b/z"), nullptr);
  EXPECT_NE(&base.root(), &(*newest)->root());
  EXPECT_FALSE(same_subtree(base.root(), (*newest)->root()));
  EXPECT_TRUE(same_subtree(*base.find("a"), *(*newest)->find("a")));
}

}  // namespace
}  // namespace vskel
