// What fuzzers and the suite share: one function a parser, which takes any bytes at all and throws where a property
// does not hold. It must not be enough that nothing crashes: what is accepted has to be safe, and to come back the same
// when it is written and read again.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace vskel::test::fuzz {

/// A property that does not hold.
class Broken : public std::logic_error {
  using std::logic_error::logic_error;
};

inline void must(bool holds, const std::string& property) {
  if (!holds) throw Broken(property);
}

/// Relative, of plain components: nothing that could lead out of the directory it is looked for in. "" is none.
[[nodiscard]] bool is_safe_path(std::string_view path);

void accounts(std::string_view bytes);
void archive(std::string_view bytes);
void container(std::string_view bytes);
void fleet(std::string_view bytes);
void identity(std::string_view bytes);
void journal(std::string_view bytes);
void layout(std::string_view bytes);
void manifest(std::string_view bytes);
void packages(std::string_view bytes);
void record(std::string_view bytes);
void settings(std::string_view bytes);
void steps(std::string_view bytes);
void tokens(std::string_view bytes);

struct Target {
  const char* name;  ///< of its corpus too: tests/data/corpus/NAME
  void (*run)(std::string_view bytes);
};
[[nodiscard]] std::span<const Target> targets();

}  // namespace vskel::test::fuzz
