// Configurations of containers: those that are shipped say nothing wrong, and create-vs and verify warn of what gives a
// tenant the seal of shared files.
#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, text.npos) << what << " in\n" << text;
  return at == text.npos ? text : text.replace(at, what.size(), by);
}

class ContainerSettingsSystemTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    build_base();
  }
  void take_template(const std::string& text) const {
    write_file(mount() / "template", text);
    write_file(etc() / "vskel/vskel.toml", "[create]\nconfig = \"" + etc().string() + "/%%VS_NAME%%.settings\"\n" +
                                               "template = \"" + (mount() / "template").string() + "\"\n");
  }
  [[nodiscard]] static std::string shipped(const std::string& name) {
    return read_file(fs::path(VSKEL_TEMPLATES) / name);
  }
  [[nodiscard]] fs::path settings(const std::string& name) const { return etc() / (name + ".settings"); }
  [[nodiscard]] ProcessResult make(const std::string& name, const Arguments& options = {"--seal", "immutable"}) const {
    Arguments arguments = {"create-vs", "base", name, name + ".example.com", "192.0.2.1"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const ProcessResult made = vskel(arguments);
    EXPECT_EQ(made.code, 0) << made;
    return made;
  }
};

const std::string kNo = ": PrivateUsers=no: the tenant is the host's root, who lifts seals; write PrivateUsers=pick";

TEST_P(ContainerSettingsSystemTest, ShippedTemplatesAreNotWarnedOf) {
  for (const std::string name : {"systemd-nspawn.nspawn", "lxc.conf", "vserver.conf"}) {
    take_template(shipped(name));
    EXPECT_EQ(make("v-" + name).err, "");
  }
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 0) << verified;
  EXPECT_EQ(verified.err, "vskel: verify: no differences\n");
  EXPECT_EQ(vskel_json({"verify"})["warnings"], Json::array());
}

TEST_P(ContainerSettingsSystemTest, CreateWarnsOnceOfAFleet) {
  take_template(replaced(shipped("systemd-nspawn.nspawn"), "PrivateUsers=pick", "PrivateUsers=no"));
  const ProcessResult made = vskel({"create-vs", "base", "--seal", "immutable", "--count", "3", "--name", "web%d",
                                    "--fqdn", "%s.example.com", "--ip-from", "192.0.2.1"});
  EXPECT_EQ(made.code, 0) << made;
  EXPECT_NE(made.err.find(settings("web1").string() + ":"), made.err.npos) << made;
  EXPECT_NE(made.err.find(kNo), made.err.npos) << made;
  EXPECT_EQ(std::ranges::count(made.err, '\n'), 1) << made;
  // Each of the three, and the exit status says nothing of it.
  const Json verified = vskel_json({"verify"});
  EXPECT_EQ(verified["differences"], Json::array());
  EXPECT_EQ(verified["warnings"].size(), 3U) << verified;
}

TEST_P(ContainerSettingsSystemTest, VerifyWarnsOfWhatWasChangedLater) {
  take_template(shipped("lxc.conf"));
  EXPECT_EQ(make("web1").err, "");
  EXPECT_EQ(make("web2").err, "");
  write_file(settings("web1"),
             replaced(read_file(settings("web1")), "lxc.rootfs.options = idmap=container", "#lxc.rootfs.options ="));
  for (const Arguments& which : {Arguments{"verify"}, Arguments{"verify", "web1"}, Arguments{"verify", "base"}}) {
    const ProcessResult verified = vskel(which);
    EXPECT_EQ(verified.code, 0) << verified;
    EXPECT_NE(verified.err.find(settings("web1").string() + ":"), verified.err.npos) << verified;
    EXPECT_NE(verified.err.find("without lxc.rootfs.options: "), verified.err.npos) << verified;
    EXPECT_EQ(verified.err.find("web2"), verified.err.npos) << verified;
  }
  EXPECT_EQ(vskel({"verify", "web2"}).err, "vskel: verify: no differences\n");
  // Whoever reads no settings is still a difference, and the rest goes on.
  fs::remove(settings("web1"));
  fs::create_directory(settings("web1"));
  EXPECT_EQ(vskel_json({"verify"})["warnings"], Json::array());
}

TEST_P(ContainerSettingsSystemTest, WhatSharesNoSealedInodesIsNotWarnedOf) {
  take_template(replaced(shipped("systemd-nspawn.nspawn"), "PrivateUsers=pick", "PrivateUsers=no"));
  EXPECT_EQ(make("copy", {"--share", "copy"}).err, "");
  if (has_reflinks(GetParam())) {
    EXPECT_EQ(make("reflink", {"--share", "reflink"}).err, "");
  }
  EXPECT_EQ(make("open", {"--seal", "none"}).err.find("PrivateUsers"), std::string::npos);
  EXPECT_EQ(vskel_json({"verify"})["warnings"], Json::array());
}

INSTANTIATE_TEST_SUITE_P(On, ContainerSettingsSystemTest, ::testing::Values(FileSystem::ext4, FileSystem::xfs),
                         kParameterName);

}  // namespace
}  // namespace vskel::test
