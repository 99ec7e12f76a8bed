// Bundles: directories whose files are consistent only as a whole, such as a database. Pure; thread-safe once built.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vskel {

class Bundles {
 public:
  /// The built-in ones: what lies directly below /var/lib, /srv and their like, one level deeper where one directory
  /// holds the states of several programs.
  [[nodiscard]] static Bundles built_in();

  /// Patterns as match_pattern() takes them, good ones.
  void add(std::string pattern) { patterns_.push_back(std::move(pattern)); }
  /// What this pattern covers is decided file by file, whatever add() said.
  void add_apart(std::string pattern) { apart_.push_back(std::move(pattern)); }

  void append(const Bundles& bundles);

  /// Is exactly this path, if a directory, a bundle? Not where a deeper pattern looks for bundles below it.
  [[nodiscard]] bool is_bundle(std::string_view relative_path) const;
  /// Lines of the layout, a reason above those that are built in; "bundle none" where there is none.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::string> patterns_, apart_;
};

}  // namespace vskel
