// What dpkg's database says of the packages of a root: the paragraphs of var/lib/dpkg/status.
//
// Bytes in, values out: reading them is the caller's, and nobody trusts them, for they may be a tenant's. Whatever dpkg
// itself would not write is an error that names its line: a caller decides by packages only if all of them were
// understood. Pure; thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sys/error.h"

namespace vskel {

/// What the administrator wants of a package: the first word of Status.
enum class DpkgWant { unknown, install, hold, deinstall, purge };
/// The second word: `reinstreq` is a package so broken that it has to be installed again.
enum class DpkgFlag { ok, reinstreq };
/// The third word, in the order in which dpkg goes through them.
enum class DpkgState {
  not_installed,
  config_files,  ///< removed, but for its configuration
  half_installed,
  unpacked,
  half_configured,
  triggers_awaited,
  triggers_pending,
  installed
};

[[nodiscard]] std::string_view want_word(DpkgWant want);
[[nodiscard]] std::string_view flag_word(DpkgFlag flag);
[[nodiscard]] std::string_view state_word(DpkgState state);

/// One paragraph.
struct DpkgPackage {
  std::string name;
  std::string architecture;  ///< empty where the paragraph has none, as what was never installed
  std::string version;       ///< the same
  DpkgWant want = DpkgWant::unknown;
  DpkgFlag flag = DpkgFlag::ok;
  DpkgState state = DpkgState::not_installed;
  bool multi_arch_same = false;  ///< may be there once for each architecture
  std::size_t begin = 0;         ///< where the paragraph's first line begins, in bytes of the text
  std::size_t size = 0;          ///< of the paragraph in bytes, its last line's newline included, the empty line not
};

/// As dpkg calls it where it has to tell architectures apart: "libc6:amd64", else "bash".
[[nodiscard]] std::string dpkg_label(const DpkgPackage& package);
/// The name in var/lib/dpkg/info of the list of its files: "libc6:amd64.list", "bash.list".
[[nodiscard]] std::string dpkg_list_name(const DpkgPackage& package);
/// False for a package that dpkg has begun with and not finished: half installed or unpacked, not configured, waiting
/// for triggers, or to be installed again.
[[nodiscard]] bool is_settled(const DpkgPackage& package);

/// Sorted by name, then architecture; each pair once.
using DpkgPackages = std::vector<DpkgPackage>;

/// No status that is larger is read: 64 MiB, in bytes. A desktop with all of its packages has 5.
inline constexpr std::size_t kMaxDpkgStatus = 64U << 20U;
/// Nor one with more packages than this.
inline constexpr std::size_t kMaxDpkgPackages = 200'000;

/// Reads var/lib/dpkg/status. `source` names it in messages ("SOURCE:LINE"). An error for anything that is not as dpkg
/// writes it: a paragraph without a name or state, a field twice, a package twice, an unknown word, no newline at the
/// end (half a file), NUL bytes; for more than kMaxDpkgStatus bytes or kMaxDpkgPackages packages.
[[nodiscard]] Result<DpkgPackages> parse_dpkg_status(std::string_view text, const std::string& source);

/// The package of that name and architecture; nullptr if there is none.
[[nodiscard]] const DpkgPackage* find_package(const DpkgPackages& packages, std::string_view name,
                                              std::string_view architecture);

}  // namespace vskel
