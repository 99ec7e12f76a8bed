// What a test needs of the machine: root, mounts, a program. Where it is missing, the test is skipped with the reason
// on a developer's desk, and fails in CI (environment CI=true): a green run there must mean that everything was run.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string_view>

namespace vskel::test {

/// True where a missing requirement is a failure.
[[nodiscard]] inline bool in_ci() {
  const char* ci = std::getenv("CI");
  return ci != nullptr && std::string_view(ci) == "true";
}

}  // namespace vskel::test

/// Ends the test (or its SetUp) if `reason`, a std::optional<std::string>, says that something is missing.
#define VSKEL_REQUIRE(reason)                                               \
  do {                                                                      \
    if (const auto missing_ = (reason)) {                                   \
      if (::vskel::test::in_ci()) FAIL() << "missing in CI: " << *missing_; \
      GTEST_SKIP() << *missing_;                                            \
    }                                                                       \
  } while (false)
