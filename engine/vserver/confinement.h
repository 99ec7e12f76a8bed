// What a container's configuration gives its tenant against the seals of shared files: systemd.nspawn(5) and
// lxc.container.conf(5), as far as seals are concerned.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vskel {

/// A setting with which a tenant, or the start of his container, gets past a seal.
struct Weakness {
  unsigned line = 0;    ///< of the setting in the configuration, from 1; 0: nothing is set, and the default is it
  std::string setting;  ///< as it stands there: "PrivateUsers=no"; "no PrivateUsers" with line 0
  std::string what;     ///< what it does, and what to write instead

  /// "FILE:LINE: SETTING: WHAT", or without line "FILE: SETTING: WHAT". Pure.
  [[nodiscard]] std::string told_of(std::string_view file) const;
};

/// Looks through the configuration of a vserver whose shared files are sealed. A file with settings in [Exec] or
/// [Files], or with a Private or VirtualEthernet in [Network], is systemd-nspawn's, one with a key "lxc.*" LXC's; of
/// any other (util-vserver's, which a shell reads) nothing is said. As those programs do: the last of a setting that
/// has one value wins, and values that systemd-nspawn doesn't know count as not written. What lxc.include leads to is
/// not read. By line. Pure.
[[nodiscard]] std::vector<Weakness> find_weaknesses(std::string_view configuration);

}  // namespace vskel
