// --quiesce, which all commands have that lift seals.
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "engine/model/sharing.h"

namespace vskel::cli {

/// Declares it on `command`, which writes into `word`.
inline void declare_quiesce(CLI::App& command, std::string& word) {
  word = "auto";
  command.add_option("--quiesce", word, "Hold running vservers still while seals are lifted: auto or off [auto]")
      ->type_name("WHEN")
      ->check(CLI::IsMember({"auto", "off"}).description(""));
}

[[nodiscard]] inline Quiesce quiesce_of(const std::string& word) {
  return word == "off" ? Quiesce::off : Quiesce::automatic;
}

}  // namespace vskel::cli
