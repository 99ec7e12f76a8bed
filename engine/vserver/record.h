// The record of a vserver: instances/NAME.json in its skel. Reading and writing of the text is pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/accounts/id_map.h"
#include "engine/model/sharing.h"
#include "engine/sys/error.h"
#include "engine/sys/kernel.h"

namespace vskel {

[[nodiscard]] std::string_view share_name(Share share);
[[nodiscard]] std::string_view seal_name(SealKind seal);
[[nodiscard]] Result<Share> parse_share(const std::string& text);
/// "none", "immutable", "guard", "iunlink" ("auto" is the asker's word, see CreateRequest).
[[nodiscard]] Result<SealKind> parse_seal(const std::string& text);

enum class PluginStatus { ok, failed, pending, skipped };
[[nodiscard]] std::string_view plugin_status_name(PluginStatus status);

struct PluginOutcome {
  std::string name;
  PluginStatus status = PluginStatus::pending;
  std::string reason;  ///< of a failure: "exit status 3", "killed by signal 9", "timed out after 60 s", "refused:
                       ///< writable by others"
  std::string
      message;  ///< what the plugin said to the administrator (its descriptor 3): shown once, never logged nor recorded
};

struct Record {
  std::string name, skel;
  std::string fqdn, ip;       ///< "": an adopted vserver of which they are not known
  std::uint32_t context = 0;  ///< 0: an adopted vserver without one
  std::string config;         ///< absolute path of the configuration file; "": an adopted vserver without one
  unsigned generation = 0;    ///< of the skel: the base of all paths but those in `bases`; 0: an adopted vserver, of
                              ///< which no base is known
  Share share = Share::hardlink;
  SealKind seal = SealKind::immutable;
  std::string created;  ///< UTC, 2026-01-31T12:00:00Z
  std::map<std::string, std::string> columns;
  std::vector<PluginOutcome> plugins;
  /// Paths (relative to the root) whose base is another generation than `generation`: what a relink kept, or what it
  /// could not move along with the rest. 0: unknown.
  std::map<std::string, unsigned> bases;
  /// Set-id files (relative paths) that were not the skel's when a relink last looked.
  std::set<std::string> set_id;
  IdMap ids;          ///< numbers of the skel's accounts that are others in this vserver
  sys::Time written;  ///< when the record's file was written; not part of its text
};

/// The generation that the record names for a path: the path's own, or that of the nearest directory above it that has
/// one of its own.
[[nodiscard]] unsigned base_of(const Record& record, std::string_view path);

/// JSON text, a trailing newline, keys in the order above; "version": 1.
[[nodiscard]] std::string write_record(const Record& record);
/// Checks every field; `source` names the file in messages.
[[nodiscard]] Result<Record> read_record(std::string_view text, const std::string& source);

}  // namespace vskel
