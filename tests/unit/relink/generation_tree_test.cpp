// A manifest as a tree: every path is found where it belongs, whatever bytes its name has.

#include "engine/relink/generation_tree.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

Manifest manifest_of(const std::string& lines) {
  std::string text = "#mtree\n. type=dir mode=0755 uid=0 gid=0 tags=part:global\n" + lines;
  auto manifest = read_manifest(text, "0001.mtree");
  EXPECT_TRUE(manifest) << manifest.error().line();
  return manifest ? std::move(*manifest) : Manifest();
}

constexpr const char* kFile = " type=file mode=0644 uid=0 gid=0 size=1 tags=part:global\n";
constexpr const char* kDirectory = " type=dir mode=0755 uid=0 gid=0 tags=part:global\n";

TEST(GenerationTreeTest, FindsPathsWhoseNamesSortAroundTheSlash) {
  // '-' sorts before '/', '0' after it: siblings of a directory stand between it and its children.
  const auto tree = GenerationTree::of(
      manifest_of(std::string("./a") + kDirectory + "./a-b" + kFile + "./a/x" + kFile + "./a0" + kFile));
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
  const auto tree =
      GenerationTree::of(manifest_of("./etc type=dir mode=0700 uid=0 gid=0 tags=part:local,part:global\n"));
  ASSERT_TRUE(tree);
  EXPECT_EQ((*tree)->find("etc")->entry->part, Part::local_part);
  EXPECT_EQ((*tree)->root().children().size(), 1U);
}

TEST(GenerationTreeTest, RefusesAPathWithoutItsDirectory) {
  const auto tree = GenerationTree::of(manifest_of(std::string("./a/x") + kFile));
  ASSERT_FALSE(tree);
  EXPECT_NE(tree.error().line().find("a/x"), std::string::npos);
}

}  // namespace
}  // namespace vskel
