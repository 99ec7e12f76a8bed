// Lines are written whole, by one call, so that two writers of one terminal don't mix.

#include "cli/output.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "engine/sys/stopping.h"

namespace vskel::cli {

void Output::write_output(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size() && write_error_ == 0) write_error_ = errno;
}

void Output::text(std::string_view lines) {
  if (format_ == Format::text) write_output(lines);
}

void Output::plain(std::string_view lines) { write_output(lines); }

void Output::document(const Json& fields) {
  if (format_ != Format::json || has_document_) return;
  has_document_ = true;
  Json whole;
  whole["command"] = command_;
  whole.update(fields);
  // Names on disk may be no UTF-8, which JSON must be.
  write_output(whole.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

Result<> Output::finish() {
  {
    const std::lock_guard lock(mutex_);
    write_waiting_lines();
  }
  if (std::fflush(stdout) != 0 && write_error_ == 0) write_error_ = errno;
  if (write_error_ != 0 && write_error_ != EPIPE) return fail("write", "standard output", write_error_);
  return {};
}

void Output::erase_status() {
  if (status_width_ == 0) return;
  const std::string blank = "\r" + std::string(status_width_, ' ') + "\r";
  std::fwrite(blank.data(), 1, blank.size(), stderr);
  status_width_ = 0;
}

void Output::write_error_line(std::string_view prefix, std::string_view line) {
  {
    const std::lock_guard lock(waiting_mutex_);
    waiting_ += std::string(prefix) + safe_line(line) + "\n";
  }
  if (sys::is_unpausable()) return;
  const std::lock_guard lock(mutex_);
  write_waiting_lines();
}

void Output::write_waiting_lines() {
  std::string lines;
  {
    const std::lock_guard lock(waiting_mutex_);
    lines.swap(waiting_);
  }
  if (lines.empty()) return;
  erase_status();
  std::fwrite(lines.data(), 1, lines.size(), stderr);
}

void Output::error(std::string_view line) { write_error_line("vskel: ", line); }
void Output::error_of(std::string_view vserver, std::string_view line) {
  const std::string_view tried = line.substr(0, line.find(": "));
  const auto ends_with_it = [&](char before) { return tried.ends_with(before + std::string(vserver)); };
  const bool names_it = tried == vserver || ends_with_it(' ') || ends_with_it('/');
  error(names_it ? std::string(line) : std::string(vserver) + ": " + std::string(line));
}
void Output::warning(std::string_view line) { write_error_line("vskel: ", line); }
void Output::message(std::string_view line) { write_error_line("", line); }

void Output::note(std::string_view line) {
  if (verbosity_ != Verbosity::quiet) write_error_line("vskel: ", line);
}

void Output::detail(std::string_view line) {
  if (verbosity_ == Verbosity::verbose) write_error_line("vskel: ", line);
}

void Output::status(std::string_view line) {
  const std::lock_guard lock(mutex_);
  write_waiting_lines();
  if (line.empty()) return erase_status();
  std::string drawn = "\r" + std::string(line);
  if (line.size() < status_width_) drawn.append(status_width_ - line.size(), ' ');
  std::fwrite(drawn.data(), 1, drawn.size(), stderr);
  status_width_ = line.size();
}

std::string safe_line(std::string_view line) {
  std::string out;
  for (;;) {
    const std::size_t backslash = line.find('\\');
    out += printable(line.substr(0, backslash));
    if (backslash == line.npos) return out;
    out += '\\';
    line.remove_prefix(backslash + 1);
  }
}

std::string human_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  static constexpr std::array kUnits{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) value /= 1024, ++unit;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", value, kUnits[unit]);
  return text.data();
}

std::string human_seconds(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), seconds < 10 ? "%.2f s" : "%.1f s", seconds);
  return text.data();
}

std::string counted(std::uint64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = columns_[i].title.size();
    for (const auto& row : rows_) width = std::max(width, row[i].size());
    widths.push_back(width);
  }
  std::string out;
  const auto add_row = [&](const auto& cell_of) {
    std::string line;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_of(i);
      const std::string padding(widths[i] - cell.size(), ' ');
      if (i > 0) line += "  ";
      line += columns_[i].align == Align::right ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  add_row([&](std::size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) add_row([&](std::size_t i) -> const std::string& { return row[i]; });
  return out;
}

}  // namespace vskel::cli
