#include "engine/vserver/confinement.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vskel {
namespace {

std::string exec_and_files(const std::string& exec, const std::string& files) {
  return "# comment\n[Exec]\n" + exec + "\n[Files]\n" + files + "\n";
}

/// "LINE SETTING" of each weakness.
std::vector<std::string> weak(const std::string& configuration) {
  std::vector<std::string> out;
  for (const Weakness& weakness : find_weaknesses(configuration))
    out.push_back(std::to_string(weakness.line) + " " + weakness.setting);
  return out;
}
using Lines = std::vector<std::string>;

TEST(ContainerSettingsTest, NspawnWithMappedOwnersIsStrong) {
  for (const std::string users : {"pick", "10000000", "10000000:65536"})
    EXPECT_EQ(weak(exec_and_files("PrivateUsers=" + users, "PrivateUsersOwnership=map")), Lines{}) << users;
}

TEST(ContainerSettingsTest, NspawnWithoutUserNamespaceIsWeak) {
  for (const std::string no : {"no", "0", "false", "off", "N", "False"})
    EXPECT_EQ(weak(exec_and_files("PrivateUsers=" + no, "PrivateUsersOwnership=map")), Lines{"3 PrivateUsers=" + no});
  EXPECT_EQ(weak(exec_and_files("Boot=yes", "Volatile=no")), Lines{"0 no PrivateUsers"});
}

TEST(ContainerSettingsTest, NspawnMustNotShiftOwners) {
  EXPECT_EQ(weak(exec_and_files("PrivateUsers=pick", "Volatile=no")),
            Lines{"3 PrivateUsers=pick without PrivateUsersOwnership=map"});
  for (const std::string how : {"chown", "auto", "off"})
    EXPECT_EQ(weak(exec_and_files("PrivateUsers=pick", "PrivateUsersOwnership=" + how)),
              Lines{"5 PrivateUsersOwnership=" + how});
}

TEST(ContainerSettingsTest, NspawnWithTheHostsNumbersHasNothingToShift) {
  for (const std::string users : {"identity", "yes", "0:65536"})
    EXPECT_EQ(weak(exec_and_files("PrivateUsers=" + users, "")), Lines{}) << users;
}

TEST(ContainerSettingsTest, NspawnTakesTheLastThatItKnows) {
  EXPECT_EQ(weak(exec_and_files("PrivateUsers=no\nPrivateUsers=pick", "PrivateUsersOwnership=map")), Lines{});
  EXPECT_EQ(weak(exec_and_files("PrivateUsers=pick\nPrivateUsers=no", "PrivateUsersOwnership=map")),
            Lines{"4 PrivateUsers=no"});
  EXPECT_EQ(weak(exec_and_files("PrivateUsers=pick\nPrivateUsers=pikc", "PrivateUsersOwnership=map")), Lines{});
  EXPECT_EQ(weak(exec_and_files("PrivateUsers=pikc", "PrivateUsersOwnership=map")), Lines{"0 no PrivateUsers"});
  EXPECT_EQ(weak(exec_and_files("PrivateUsers=pick", "PrivateUsersOwnership=map\nPrivateUsersOwnership=chown")),
            Lines{"6 PrivateUsersOwnership=chown"});
}

TEST(ContainerSettingsTest, NspawnSettingsCountInTheirSectionAndNotInComments) {
  EXPECT_EQ(weak(exec_and_files("#PrivateUsers=pick", "PrivateUsersOwnership=map")), Lines{"0 no PrivateUsers"});
  EXPECT_EQ(weak(exec_and_files(" ; PrivateUsers=pick", "PrivateUsers=pick")), Lines{"0 no PrivateUsers"});
  EXPECT_EQ(weak(exec_and_files("PrivateUsers=pick\nPrivateUsersOwnership=map", "")),
            Lines{"3 PrivateUsers=pick without PrivateUsersOwnership=map"});
  EXPECT_EQ(weak("[Exec]\r\n  PrivateUsers = \\\r\n# between\r\n  pick  \r\n[Files]\r\nPrivateUsersOwnership=map"),
            Lines{});
}

TEST(ContainerSettingsTest, NspawnCapabilitiesCountWithoutUserNamespace) {
  const std::string exec = "Capability=CAP_NET_ADMIN\nCapability=CAP_NET_RAW CAP_LINUX_IMMUTABLE\nCapability=all\n";
  EXPECT_EQ(weak(exec_and_files(exec + "PrivateUsers=no", "")),
            (Lines{"4 Capability=CAP_NET_RAW CAP_LINUX_IMMUTABLE", "5 Capability=all", "6 PrivateUsers=no"}));
  EXPECT_EQ(weak(exec_and_files(exec + "PrivateUsers=pick", "PrivateUsersOwnership=map")), Lines{});
}

const std::string kMaps = "lxc.idmap = u 0 5000000 65536\nlxc.idmap = g 0 5000000 65536\n";

TEST(ContainerSettingsTest, LxcWithIdmappedRootIsStrong) {
  EXPECT_EQ(
      weak("lxc.include = /usr/share/lxc/config/common.conf\n" + kMaps + "lxc.rootfs.options = idmap=container\n"),
      Lines{});
  EXPECT_EQ(weak(kMaps + "lxc.rootfs.options = noatime, idmap=container,nodev"), Lines{});
}

TEST(ContainerSettingsTest, LxcWithoutIdmapIsWeak) {
  EXPECT_EQ(weak("lxc.include = /usr/share/lxc/config/common.conf\n#lxc.idmap = u 0 5000000 65536\n"),
            Lines{"0 no lxc.idmap"});
  EXPECT_EQ(weak(kMaps + "lxc.idmap =\nlxc.rootfs.options = idmap=container\n"), Lines{"3 lxc.idmap="});
  EXPECT_EQ(weak("lxc.uts.name = a\nlxc.cap.keep = net_raw sys_admin\nlxc.cap.keep = chown\n"),
            (Lines{"0 no lxc.idmap", "2 lxc.cap.keep=net_raw sys_admin"}));
}

TEST(ContainerSettingsTest, LxcWithoutIdmappedRootIsWeak) {
  EXPECT_EQ(weak(kMaps), Lines{"1 lxc.idmap=u 0 5000000 65536 without lxc.rootfs.options"});
  EXPECT_EQ(weak(kMaps + "lxc.rootfs.options = idmap=container\nlxc.rootfs.options = noatime\n"),
            Lines{"4 lxc.rootfs.options=noatime"});
  EXPECT_EQ(weak("lxc.idmap = u 0 0 65536\nlxc.idmap = g 0 0 65536\n"), Lines{}) << "nothing is shifted";
}

TEST(ContainerSettingsTest, OtherFilesAreNobodys) {
  EXPECT_EQ(weak(""), Lines{});
  EXPECT_EQ(weak("IPROOT=\"192.0.2.1\"\nS_CAPS=\"CAP_SYS_ADMIN\"\n"), Lines{});
  EXPECT_EQ(weak("\\"), Lines{});
  EXPECT_EQ(weak("[Match]\nName=host0\n[Network]\nAddress=192.0.2.1/24\nBridge=br0\n"), Lines{})
      << "systemd-networkd's";
  EXPECT_EQ(weak("[Network]\nPrivate=yes\n"), Lines{"0 no PrivateUsers"});
  EXPECT_EQ(weak("[Unit]\nPrivateUsers=no\n"), Lines{});
  EXPECT_EQ(weak("[]\n=\n[Exec\n'\n"), Lines{});
}

TEST(ContainerSettingsTest, SaysWhereAndWhatInstead) {
  const auto found = find_weaknesses(exec_and_files("PrivateUsers=no", ""));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].told_of("/etc/systemd/nspawn/web1.nspawn"),
            "/etc/systemd/nspawn/web1.nspawn:3: PrivateUsers=no: the tenant is the host's root, who lifts seals; write "
            "PrivateUsers=pick in [Exec] and PrivateUsersOwnership=map in [Files]");
  EXPECT_EQ(find_weaknesses("lxc.uts.name = a\n").at(0).told_of("/c").substr(0, 18), "/c: no lxc.idmap: ");
}

}  // namespace
}  // namespace vskel
