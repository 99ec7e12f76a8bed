// rollback: the old generation's files are the newest's again, in one part each, and belong to whom they belonged.
#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {
namespace rollback {

class RollbackTest : public RelinkTest {
 protected:
  /// A dry run says the same and changes nothing.
  Json roll_back(const std::string& generation) const {
    const StoreSnapshot before = snapshot_store();
    Json foretold = vskel_json({"rollback", "base", generation, "--dry-run"});
    EXPECT_EQ(changes_since(before), "") << "by a dry run";
    Json done = vskel_json({"rollback", "base", generation});
    foretold["elapsed_s"] = done.at("elapsed_s");
    EXPECT_EQ(foretold, done);
    return done;
  }
  void expect_sound() const {
    const ProcessResult verified = vskel({"verify"});
    EXPECT_EQ(verified.code, 0) << verified;
    EXPECT_EQ(inconsistencies(), "");
  }
  void rule(const std::string& line) const {
    write_file(skel() / "layout", line + "\n" + read_file(skel() / "layout"));
  }
  void expect_only_in(const std::string& part, const std::string& path, const std::string& text) const {
    for (const std::string other : {"global", "local", "static"})
      EXPECT_EQ(fs::exists(fs::symlink_status(skel() / other / path)), other == part) << other << "/" << path;
    EXPECT_EQ(read_file(skel() / part / path), text);
  }
  /// What anybody does with a skel afterwards, to the next generation.
  void expect_of_use() const {
    expect_sound();
    EXPECT_EQ(relink().process.code, 0);
    expect_sound();
    update_skel({{"usr/bin/later", file("later\n", 0755)}});
    EXPECT_EQ(relink().process.code, 0);
    expect_sound();
  }
};

TEST_P(RollbackTest, WhatWentToStaticStaysThereAndNowhereElse) {
  put(root() / "etc/one.conf", file("first\n"));
  put(root() / "etc/dir/same.conf", file("same\n"));
  put(root() / "etc/type", file("a file\n"));
  put(root() / "usr/bin/tool", file("tool\n", 0755));
  build();
  create_vserver("web1");
  rule("static /etc/one.conf\nstatic /etc/dir\nstatic /usr/bin/tool\nstatic /etc/type");
  update_skel({{"etc/one.conf", file("second\n")}, {"etc/type", directory({{"below", file("below\n")}})}});
  EXPECT_EQ(relink().process.code, 0);
  const Json back = roll_back("1");
  EXPECT_EQ(back.at("set_aside").size(), 4U) << back;
  EXPECT_EQ(back.at("set_aside").at(1), "/etc/one.conf: static has it and stays as it is; generation 1's is in " +
                                            (skel() / "generations/0001.files/local/etc/one.conf").string());
  expect_only_in("static", "etc/one.conf", "second\n");
  expect_only_in("static", "etc/dir/same.conf", "same\n");
  expect_only_in("static", "etc/type/below", "below\n");
  expect_only_in("static", "usr/bin/tool", "tool\n");
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_EQ(read_file(vserver("web1") / "etc/one.conf"), "first\n") << "a vserver keeps its own";
  EXPECT_EQ(read_file(vserver("web1") / "usr/bin/tool"), "tool\n");
  create_vserver("web2");
  EXPECT_EQ(read_file(vserver("web2") / "etc/one.conf"), "second\n");
  expect_of_use();
  (void)roll_back("2");
  expect_of_use();
}

TEST_P(RollbackTest, WhatLeftStaticStaysWhereItIs) {
  put(root() / "etc/dir/one.conf", file("first\n"));
  build();
  rule("static /etc/dir");
  update_skel({{"etc/dir/one.conf", file("second\n")}});
  create_vserver("web1");
  fs::remove_all(skel() / "static/etc/dir");
  rule("local /etc/dir");
  update_skel({{"etc/dir/one.conf", file("third\n")}});
  expect_only_in("local", "etc/dir/one.conf", "third\n");
  EXPECT_EQ(relink().process.code, 0);
  (void)roll_back("2");
  expect_only_in("local", "etc/dir/one.conf", "third\n");
  expect_of_use();
  EXPECT_EQ(read_file(vserver("web1") / "etc/dir/one.conf"), "second\n") << "a vserver keeps its own";
  create_vserver("web2");
  EXPECT_EQ(read_file(vserver("web2") / "etc/dir/one.conf"), "third\n");
}

TEST_P(RollbackTest, WhatAnEarlierVersionPutIntoTwoPartsIsMendedByTheNextGeneration) {
  put(root() / "etc/one.conf", file("first\n"));
  build();
  create_vserver("web1");
  rule("static /etc/one.conf");
  update_skel({{"etc/one.conf", file("second\n")}});
  const fs::path manifest = skel() / "generations/0002.mtree";
  std::string text = read_file(manifest);
  const std::size_t tag = text.find("part:static", text.find("./etc/one.conf "));
  ASSERT_NE(tag, std::string::npos);
  write_file(manifest, text.replace(tag, 11, "part:static,part:local"));
  fs::copy_file(skel() / "static/etc/one.conf", skel() / "local/etc/one.conf");
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 1) << verified;
  EXPECT_NE(verified.out.find("local/etc/one.conf: static has it, too; the next generation leaves it out"),
            std::string::npos)
      << verified;
  EXPECT_EQ(relink().process.code, 0);
  update_skel({{"etc/two.conf", file("two\n")}});
  expect_only_in("static", "etc/one.conf", "second\n");
  expect_of_use();
}

INSTANTIATE_TEST_SUITE_P(On, RollbackTest, kOneFileSystem, kParameterName);

}  // namespace rollback
}  // namespace
}  // namespace vskel::test
