// A store of a test's own, in a new directory that goes with the test, and a seam that fails chosen calls.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "engine/sys/kernel.h"
#include "engine/sys/seam.h"
#include "engine/txn/store.h"
#include "tests/support/requirement.h"

namespace vskel {

class TemporaryStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(::geteuid() == 0 ? std::nullopt : std::optional<std::string>("needs root"));
    umask_ = ::umask(0);
    std::string pattern = std::filesystem::temp_directory_path() / "vskel-txn.XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  void TearDown() override {
    if (path_.empty()) return;
    ::umask(umask_);
    std::filesystem::remove_all(path_);
  }

  [[nodiscard]] StorePaths paths() const { return {(path_ / "vservers").string(), (path_ / "etc").string()}; }
  [[nodiscard]] std::filesystem::path own(const char* name) const { return path_ / "vservers/.vskel" / name; }

  std::filesystem::path path_;

 private:
  ::mode_t umask_ = 0;
};

inline std::set<std::string> names_in(const std::filesystem::path& dir) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) names.insert(entry.path().filename());
  return names;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::filesystem::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

/// Fails one coming call of a name with EIO, while it lives.
class FailOnce : public sys::Seam {
 public:
  explicit FailOnce(std::string call) : call_(std::move(call)) { sys::install_seam(this); }
  ~FailOnce() override { sys::install_seam(nullptr); }
  FailOnce(const FailOnce&) = delete;
  FailOnce& operator=(const FailOnce&) = delete;
  int before(const char* call, bool /*changes*/, int /*dir*/, const char* /*name*/) override {
    if (failed_ || call != call_) return 0;
    failed_ = true;
    return EIO;
  }

 private:
  std::string call_;
  bool failed_ = false;
};

}  // namespace vskel
