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

/// svc and its files; then it is purged, and xyz gets its number.
class RollbackAccountsTest : public RollbackTest {
 protected:
  static std::string passwd(const std::string& more) { return "root:x:0:0:root:/root:/bin/sh\n" + more; }
  static std::string group(const std::string& more) { return "root:x:0:\n" + more; }
  static Thing secret_of(unsigned owner) { return file("secret\n", 0600).owned_by(owner); }
  static Thing directory_of(unsigned owner) {
    return directory({{"shared", file("of svc\n").owned_by(owner)}}).owned_by(owner);
  }
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    build();
    update_skel({{"etc/passwd", file(passwd("svc:x:104:104::/var/lib/svc:/bin/false\n"))},
                 {"etc/group", file(group("svc:x:104:\n"))},
                 {"etc/svc.conf", secret_of(104)},
                 {"usr/lib/svc", directory_of(104)}});
    create_vserver("old");
    create_vserver("behind");
  }
  void purge_svc() {
    update_skel({{"etc/passwd", file(passwd("xyz:x:104:104::/var/lib/xyz:/bin/false\n"))},
                 {"etc/group", file(group("xyz:x:104:\n"))},
                 {"etc/svc.conf", absent()},
                 {"usr/lib/svc", absent()},
                 {"etc/xyz.conf", secret_of(104)}});
    create_vserver("mid");
    EXPECT_EQ(relink({"old"}).process.code, 0);
  }
  /// The number that a vserver's, or static's, account file has for a name; 0: none.
  static unsigned number_of(const fs::path& root, const std::string& account_file, const std::string& name) {
    const std::string text = "\n" + read_file(root / "etc" / account_file);
    const std::size_t at = text.find("\n" + name + ":");
    if (at == std::string::npos) return 0;
    return static_cast<unsigned>(std::stoul(text.substr(text.find(':', at + name.size() + 2) + 1)));
  }
  void expect_svcs(const std::string& name) const {
    const unsigned svc = number_of(vserver(name), "passwd", "svc");
    ASSERT_NE(svc, 0U) << name;
    EXPECT_EQ(number_of(vserver(name), "group", "svc"), svc) << name;
    EXPECT_EQ(differences_from(secret_of(svc), vserver(name) / "etc/svc.conf"), "") << name;
    EXPECT_EQ(differences_from(directory_of(svc), vserver(name) / "usr/lib/svc"), "") << name;
    EXPECT_NE(number_of(vserver(name), "passwd", "xyz"), svc) << name;
  }
};

TEST_P(RollbackAccountsTest, FilesBelongToWhomTheyBelonged) {
  purge_svc();
  const Json back = roll_back("2");
  EXPECT_EQ(back.at("accounts"), Json({"user xyz (999:999) changed: number, group", "user svc (104:104) added",
                                       "group xyz (999) changed: number", "group svc (104) added"}));
  EXPECT_EQ(number_of(skel() / "static", "passwd", "svc"), 104U);
  EXPECT_EQ(number_of(skel() / "static", "passwd", "xyz"), 999U);
  for (const char* name : {"passwd", "group"})
    EXPECT_EQ(read_file(skel() / "generations/0004.accounts/etc" / name), read_file(skel() / "static/etc" / name));
  expect_sound();
  EXPECT_EQ(relink().process.code, 0);
  create_vserver("new");
  for (const char* name : {"old", "behind", "mid", "new"}) expect_svcs(name);
  EXPECT_EQ(number_of(vserver("mid"), "passwd", "xyz"), 104U) << "a vserver's own number stays";
  expect_sound();
  const StoreSnapshot before = snapshot_store();
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_EQ(changes_since(before), "") << "by a second relink";
  // And forth.
  (void)roll_back("3");
  EXPECT_EQ(number_of(skel() / "static", "passwd", "xyz"), 104U);
  EXPECT_EQ(relink().process.code, 0);
  create_vserver("newest");
  for (const char* name : {"old", "behind", "mid", "new", "newest"}) {
    EXPECT_FALSE(fs::exists(vserver(name) / "etc/svc.conf")) << name;
    EXPECT_EQ(differences_from(secret_of(number_of(vserver(name), "passwd", "xyz")), vserver(name) / "etc/xyz.conf"),
              "")
        << name;
  }
  expect_sound();
}

TEST_P(RollbackAccountsTest, WhoGotAnotherNumberHasTheOldOneAgain) {
  update_skel({{"etc/passwd", file(passwd("svc:x:204:204::/var/lib/svc:/bin/false\n"))},
               {"etc/group", file(group("svc:x:204:\n"))},
               {"etc/svc.conf", secret_of(204)},
               {"usr/lib/svc", directory_of(204)}});
  create_vserver("mid");
  EXPECT_EQ(relink({"old"}).process.code, 0);
  (void)roll_back("2");
  EXPECT_EQ(number_of(skel() / "static", "passwd", "svc"), 104U);
  EXPECT_EQ(relink().process.code, 0);
  create_vserver("new");
  for (const char* name : {"old", "behind", "mid", "new"}) expect_svcs(name);
  expect_sound();
}

TEST_P(RollbackAccountsTest, StaticFilesOfWhoWouldLoseHisNumberStandInTheWay) {
  purge_svc();
  put(skel() / "static/etc/xyz.key", secret_of(104));
  const StoreSnapshot before = snapshot_store();
  for (const Arguments& options : {Arguments{}, Arguments{"--dry-run"}}) {
    Arguments arguments{"rollback", "base", "2"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const ProcessResult back = vskel(arguments);
    EXPECT_EQ(back.code, 2) << back;
    EXPECT_NE(back.err.find("static/etc/xyz.key belongs to user 104, a number that was another's in generation 2"),
              std::string::npos)
        << back;
    EXPECT_EQ(changes_since(before), "");
  }
}

TEST_P(RollbackAccountsTest, KilledAnywhereItIsTheOneOrTheOther) {
  purge_svc();
  for (const char* call : {"renameat2", "renameat", "linkat", "fchownat", "fchown"})
    for (int when = 1; when < 20; when += 3) {
      SCOPED_TRACE(std::string(call) + " " + std::to_string(when));
      const ProcessResult killed = vskel_killed_at({call, when}, {"rollback", "base", "2"});
      if (killed.signal == 0) break;
      const ProcessResult recovered = vskel({"recover"});
      EXPECT_EQ(recovered.code, 0) << recovered;
      const bool back = fs::exists(skel() / "generations/0004.mtree");
      EXPECT_EQ(number_of(skel() / "static", "passwd", "svc"), back ? 104U : 0U);
      expect_sound();
      if (back) return;
    }
}

INSTANTIATE_TEST_SUITE_P(On, RollbackAccountsTest, kOneFileSystem, kParameterName);
INSTANTIATE_TEST_SUITE_P(On, RollbackTest, kOneFileSystem, kParameterName);

}  // namespace rollback
}  // namespace
}  // namespace vskel::test
