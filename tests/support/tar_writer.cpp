// The ustar header of POSIX.1-1988: fields at fixed offsets of a 512-byte block, numbers in octal, a sum of all bytes
// with the sum's own field as blanks.
#include "tests/support/tar_writer.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace vskel::test {
namespace {

constexpr std::size_t kBlock = 512;

void put(std::string& header, std::size_t offset, const std::string& value) {
  std::copy(value.begin(), value.end(), header.begin() + static_cast<std::ptrdiff_t>(offset));
}

std::string octal(std::size_t value, std::size_t digits) {
  std::string text;
  for (; value != 0; value >>= 3) text.insert(text.begin(), static_cast<char>('0' + (value & 7)));
  return std::string(digits - std::min(digits, text.size()), '0') + text;
}

}  // namespace

TarWriter& TarWriter::entry(char type, const std::string& name, const std::string& target, const std::string& content) {
  if (name.size() > 100 || target.size() > 100) throw std::length_error("tar name");
  std::string header(kBlock, '\0');
  put(header, 0, name);
  put(header, 100, type == '5' ? "0000755" : "0000644");
  put(header, 108, "0000000");
  put(header, 116, "0000000");
  put(header, 124, octal(content.size(), 11));
  put(header, 136, octal(1'700'000'000, 11));
  put(header, 148, "        ");
  header[156] = type;
  put(header, 157, target);
  put(header, 257, std::string("ustar\0", 6) + "00");
  std::size_t sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(header, 148, octal(sum, 6) + std::string("\0 ", 2));
  bytes_ += header + content + std::string((kBlock - content.size() % kBlock) % kBlock, '\0');
  return *this;
}

TarWriter& TarWriter::file(const std::string& name, const std::string& content) {
  return entry('0', name, "", content);
}
TarWriter& TarWriter::directory(const std::string& name) { return entry('5', name, "", ""); }
TarWriter& TarWriter::symlink(const std::string& name, const std::string& target) {
  return entry('2', name, target, "");
}
TarWriter& TarWriter::hard_link(const std::string& name, const std::string& target) {
  return entry('1', name, target, "");
}
std::string TarWriter::bytes() const { return bytes_ + std::string(2 * kBlock, '\0'); }

}  // namespace vskel::test
