// Single settings changed in the text of a configuration file, all else in it left as it is.
#pragma once

#include <optional>
#include <string>

#include "engine/sys/error.h"

namespace vskel::cli {

/// `text` with `key = value` in `section` ("": above all sections): in the place of the line that sets it, else at the
/// end of the section, which is made if need be. `value` is TOML, quotes included; nullopt takes the line out.
[[nodiscard]] std::string with_setting(const std::string& text, const std::string& section, const std::string& key,
                                       const std::optional<std::string>& value);

/// What `vskel bench` recommends.
struct MeasuredSettings {
  std::string file_system;       ///< its type, the key in [backend]
  std::string backend;           ///< "syscall" or "uring"
  std::optional<unsigned> jobs;  ///< nullopt: as many as there are CPUs, the default
};

/// Writes them to the file at `path`, which is made if it is not there, and replaced atomically if it is.
[[nodiscard]] Result<> save_settings(const std::string& path, const MeasuredSettings& settings);

}  // namespace vskel::cli
