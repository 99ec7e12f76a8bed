#include "engine/sys/fd.h"

#include <unistd.h>

#include <cstring>

namespace vskel {

void Fd::reset(int number) {
  // close(2) gives back the descriptor even when it reports an error; write errors are asked of fsync and syncfs.
  if (number_ >= 0) ::close(number_);
  number_ = number;
}

std::optional<Name> Name::check(const char* text) {
  const std::size_t size = std::strlen(text);
  const std::string_view view(text, size);
  if (size == 0 || size > 255 || view == "." || view == ".." || view.find('/') != view.npos) return std::nullopt;
  return Name(text, size);
}

std::optional<Name> Name::check(const std::string& text) {
  if (text.find('\0') != text.npos) return std::nullopt;
  return check(text.c_str());
}

}  // namespace vskel
