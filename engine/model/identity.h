// Names and addresses, checked once at the border and carried as types after that (cli.md, "Names and addresses").
// Pure; thread-safe. Every refusal names the value and the rule and is Blame::request.
#pragma once

#include <compare>
#include <string>

#include "engine/sys/error.h"
#include "engine/sys/fd.h"

namespace vskel {

/// A skel's name: [A-Za-z0-9][A-Za-z0-9._-]{0,62}.
class SkelName {
 public:
  [[nodiscard]] static Result<SkelName> parse(const std::string& text);
  [[nodiscard]] const std::string& text() const { return text_; }
  /// As a path component; valid while this object lives.
  [[nodiscard]] Name name() const { return *Name::check(text_); }
  friend auto operator<=>(const SkelName&, const SkelName&) = default;

 private:
  explicit SkelName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// A vserver's name: as a skel's, but not beginning with tmp_skel_.
class VserverName {
 public:
  [[nodiscard]] static Result<VserverName> parse(const std::string& text);
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] Name name() const { return *Name::check(text_); }
  friend auto operator<=>(const VserverName&, const VserverName&) = default;

 private:
  explicit VserverName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// RFC 1123 host name: at most 253 characters, labels of 1 to 63 letters, digits and inner hyphens; the last label not
/// all digits.
class Fqdn {
 public:
  [[nodiscard]] static Result<Fqdn> parse(const std::string& text);
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  explicit Fqdn(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// IPv4 or IPv6, optionally /prefix, by inet_pton and printed canonically. Unspecified, multicast and IPv4-mapped
/// addresses and scope ids are refused.
class Address {
 public:
  [[nodiscard]] static Result<Address> parse(const std::string& text);
  /// Canonical text, with the prefix if one was given: "192.168.1.10/24".
  [[nodiscard]] const std::string& text() const { return text_; }
  /// Canonical text without the prefix: what belongs into /etc/hosts.
  [[nodiscard]] std::string host() const { return text_.substr(0, text_.find('/')); }
  /// The address `steps` after this one (fleets made by --ip-from); refused where the range or the prefix's network
  /// ends.
  [[nodiscard]] Result<Address> plus(unsigned steps) const;

 private:
  explicit Address(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace vskel
