// --quiesce, which all commands have that lift seals.
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "engine/model/sharing.h"

namespace vskel::cli {

/// Declares it on `command`, which writes into `word`.
inline void declare_quiesce(CLI::App& command, std::string& word) {
  word = "refuse";
  command
      .add_option("--quiesce", word,
                  "While a seal has to be lifted: refuse if a tenant may run, freeze them, or off (none is hostile) "
                  "[refuse]")
      ->type_name("HOW")
      ->check(CLI::IsMember({"refuse", "freeze", "off"}).description(""));
}

[[nodiscard]] inline Quiesce quiesce_of(const std::string& word) {
  return word == "off" ? Quiesce::off : word == "freeze" ? Quiesce::freeze : Quiesce::refuse;
}

}  // namespace vskel::cli
