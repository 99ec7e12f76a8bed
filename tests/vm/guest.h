// What attempts.cpp tries from inside a guest.
#pragma once

#include <string>
#include <vector>

namespace attempts {

/// Tries to change PATH in every way, each for real: nothing is undone. One line each: WAY ANSWER, the answer being
/// "changed" where bytes, metadata, attributes or blocks of PATH are others afterwards, else "ok" or the name of an
/// errno. `spare`: an empty directory of the caller's own, on the same mount, not in that of PATH.
void harm(const std::string& path, const std::string& spare);

/// Runs COMMAND as the root of a guest: in user, mount, pid, network, ipc and host name namespaces of its own, in `dir`
/// by an idmapped mount, so that root's files are its own; with /proc, and the host's /sys. Its exit status, or 99.
int idmapped(const std::string& dir, const std::vector<std::string>& command);

}  // namespace attempts
