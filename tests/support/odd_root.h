// A small root with every kind of metadata that vskel must carry from a source into a vserver.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace vskel::test {

/// Makes the root below `directory`, an empty directory on any of our file systems. Needs root. What stands in it is
/// fixed, times included (nanoseconds, some before 1970, set last), so that two calls make equal trees.
void make_root(const std::filesystem::path& directory);

/// Paths in it, relative, that tests ask about by name.
namespace odd_root {
/// Regular, not empty, without set-id bits, capabilities, ACLs: to be one inode in skel and vservers.
inline const std::vector<std::string> kLinkable = {"usr/bin/tool", "usr/bin/hard-a", "usr/lib/hard-c", "usr/share/big"};
/// Global files that must never be one inode with the skel's: a package manager in one tenant would change them for
/// all.
inline const std::vector<std::string> kNotLinkable = {"usr/bin/su",   "usr/bin/wall", "usr/bin/sticky",
                                                      "usr/bin/ping", "usr/bin/acl",  "usr/bin/empty"};
/// Global and local file that are one inode in the source.
inline const std::vector<std::string> kAcrossParts = {"usr/share/across", "usr/local/share/across", "var/lib/across"};
/// Directories that a skel has empty.
inline const std::vector<std::string> kEmptied = {"tmp", "proc", "sys"};
/// What is one machine's own, or a log, and in no skel.
inline const std::vector<std::string> kLeftOut = {"etc/ssh/ssh_host_ed25519_key", "home/user/.bash_history",
                                                  "var/log/syslog"};
/// What a skel has with other content: a token, and nothing.
inline const std::vector<std::string> kOwn = {"etc/hostname", "etc/machine-id"};
/// Where a socket is, which no skel keeps.
inline const std::vector<std::string> kSockets = {"var/lib/odd/socket", "dev/log"};
}  // namespace odd_root

}  // namespace vskel::test
