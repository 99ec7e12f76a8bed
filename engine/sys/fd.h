// Owners of descriptors, and the one kind of name that may be resolved against them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace vskel {

/// Owns one descriptor; closes it when destroyed. Move-only. Not thread-safe, as any value.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int number) : number_(number) {}
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.number_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(-1); }

  /// The number, for the kernel room; -1 if empty. Ownership stays here.
  [[nodiscard]] int number() const { return number_; }
  [[nodiscard]] bool open() const { return number_ >= 0; }
  /// Gives the descriptor away, to whoever closes it in another way.
  [[nodiscard]] int release() { return std::exchange(number_, -1); }

 private:
  void reset(int number);
  int number_ = -1;
};

/// A directory: the only thing that names are resolved against. Owns its descriptor (O_DIRECTORY, not O_PATH, unless
/// said otherwise by the function that gave it).
class DirFd : public Fd {
 public:
  using Fd::Fd;
};

/// One path component: not empty, no '/', no NUL, not "." or "..", at most 255 bytes. A view of a zero-terminated
/// string that somebody else owns (a directory listing, a literal, a std::string); copying it copies a pointer.
class Name {
 public:
  /// Checks at the border. Empty if `text` is not one component; `text` must outlive the Name.
  [[nodiscard]] static std::optional<Name> check(const std::string& text);
  [[nodiscard]] static std::optional<Name> check(const char* text);
  /// A literal of our own ("etc"); a literal that is no component does not compile.
  template <std::size_t N>
  consteval Name(const char (&literal)[N]) : text_(literal), size_(N - 1) {  // NOLINT(google-explicit-constructor)
    for (std::size_t i = 0; i + 1 < N; ++i)
      if (literal[i] == '/' || literal[i] == '\0') throw "not one path component";
    if (N < 2) throw "empty name";
  }

  [[nodiscard]] const char* c_str() const { return text_; }
  [[nodiscard]] std::string_view view() const { return {text_, size_}; }

 private:
  Name(const char* text, std::size_t size) : text_(text), size_(static_cast<std::uint32_t>(size)) {}
  const char* text_;
  std::uint32_t size_;
};

}  // namespace vskel
