// What went wrong, as a value.
//
// Every fallible function of the engine gives a Result. An Error carries the operation, the path as the user
// knows it and the errno, so that the one line printed at the end (`vskel: OPERATION PATH: REASON`) needs nothing
// else. Exceptions are for bugs and for memory; none crosses a task.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace vskel {

/// Who has to act: the one who asked, or the one who owns the machine. Decides the exit status.
enum class Blame {
  request,  ///< the request itself is wrong; nothing was touched (exit status 2)
  machine,  ///< the work failed and was undone (exit status 1)
};

struct Error {
  std::string operation;         ///< what was tried, a word or two: "link", "read manifest"
  std::string path;              ///< on what: a path as the user knows it, or the refused value; may be empty
  int code = 0;                  ///< errno of the failed call; 0 where no call failed
  std::string reason;            ///< replaces the text of `code` where not empty
  Blame blame = Blame::machine;  ///< see Blame

  /// The text after `vskel: `: "OPERATION PATH: REASON", one line, control bytes of tenants' names escaped.
  [[nodiscard]] std::string line() const;

  /// The same error with `from`, where the path begins with it, replaced by `to`: a staging path becomes the
  /// name under which the user will look for the file.
  [[nodiscard]] Error rebased(std::string_view from, std::string_view to) &&;
};

template <class T = void>
using Result = std::expected<T, Error>;

/// A failed call: `code` is an errno value.
[[nodiscard]] std::unexpected<Error> fail(std::string operation, std::string path, int code);
/// A failure that no errno names.
[[nodiscard]] std::unexpected<Error> fail(std::string operation, std::string path, std::string reason);
/// A wrong request (exit status 2): `value` is what was given, `rule` what it breaks.
[[nodiscard]] std::unexpected<Error> refuse(std::string operation, std::string value, std::string rule);

/// `text` with C0, C1 and DEL bytes, backslashes and invalid UTF-8 written as \xHH: safe on a terminal and in a log.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace vskel

/// The value of a Result, or return its error from the enclosing function. A GNU statement expression (GCC and
/// Clang both have it), because a fallible step should read as one expression.
/// Not inside the braces of an aggregate behind a member with a destructor: GCC 12 leaves the members that are made
/// already undestroyed when it returns from there.
/// The counter gives every use its own variable, so that one may stand inside another.
#define TRY(...) VSKEL_TRY_AS(VSKEL_TRY_JOIN(try_result_, __COUNTER__), __VA_ARGS__)
#define VSKEL_TRY_JOIN(a, b) VSKEL_TRY_JOIN_EXPANDED(a, b)
#define VSKEL_TRY_JOIN_EXPANDED(a, b) a##b
#define VSKEL_TRY_AS(result, ...)                        \
  ({                                                     \
    auto result = (__VA_ARGS__);                         \
    if (!result) [[unlikely]]                            \
      return std::unexpected(std::move(result).error()); \
    *std::move(result);                                  \
  })
