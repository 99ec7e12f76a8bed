// What the user sees. Results go to standard output: text and tables, or with --json one document. All else goes to
// standard error, a line at a time, around the progress bar if one is drawn.
#pragma once

#include <cstdint>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sys/error.h"

namespace vskel::cli {

using Json = nlohmann::ordered_json;

enum class Format { text, json };
enum class Verbosity { quiet, normal, verbose };

/// The two standard streams of one run. Functions that write to standard error are thread-safe; the others are for the
/// main thread.
class Output {
 public:
  /// `command` is "" until it is known.
  void set_command(std::string command) { command_ = std::move(command); }
  void set_format(Format format) { format_ = format; }
  void set_verbosity(Verbosity verbosity) { verbosity_ = verbosity; }
  [[nodiscard]] const std::string& command() const { return command_; }
  [[nodiscard]] Format format() const { return format_; }
  [[nodiscard]] Verbosity verbosity() const { return verbosity_; }

  // --- standard output
  /// Text for people: nothing with --json.
  void text(std::string_view lines);
  /// The document of this run: nothing without --json. Its first key is "command", which is put in here.
  void document(const Json& fields);
  [[nodiscard]] bool has_document() const { return has_document_; }
  /// Text that was asked for in itself (--help, --version), whatever the format.
  void plain(std::string_view lines);
  /// Writes what waits, and flushes. An error if what was written did not arrive (a full disk); a reader who went away
  /// is none.
  [[nodiscard]] Result<> finish();

  // --- standard error, one line each; control characters are escaped. Nobody who holds tenants still waits for a
  // terminal that somebody has stopped, or for a pipe that nobody reads: what is said meanwhile waits, for the progress
  // bar's thread, for the first line after it, or for finish().
  void error(std::string_view line);  ///< "vskel: LINE", always
  /// The same for what went wrong with one vserver: "vskel: NAME: LINE", or without the name where that ends what was
  /// tried ("remove vserver NAME: ...", "relink /vservers/NAME: ...").
  void error_of(std::string_view vserver, std::string_view line);
  void warning(std::string_view line);  ///< "vskel: LINE", always
  void message(std::string_view line);  ///< a plugin's word to the administrator, always
  void note(std::string_view line);     ///< "vskel: LINE", not with -q
  void detail(std::string_view line);   ///< "vskel: LINE", only with -v

  /// Draws or replaces the line that the next message pushes down; "" takes it away.
  void status(std::string_view line);

 private:
  void write_error_line(std::string_view prefix, std::string_view line);
  void write_waiting_lines();
  void erase_status();

  std::string command_;
  Format format_ = Format::text;
  Verbosity verbosity_ = Verbosity::normal;
  bool has_document_ = false;
  int write_error_ = 0;  ///< errno of the first write to standard output that failed
  void write_output(std::string_view bytes);

  std::mutex mutex_;              ///< guards standard error and status_width_; held while that is written to
  std::size_t status_width_ = 0;  ///< columns that the status line takes now
  std::mutex waiting_mutex_;      ///< guards waiting_; nothing is waited for under it
  std::string waiting_;           ///< lines
};

/// `line` fit for a terminal: what printable() escapes but for backslashes, because text of ours may hold escapes
/// already.
[[nodiscard]] std::string safe_line(std::string_view line);

/// "412.3 MiB", "17 B".
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);
/// "0.84 s", "12.1 s".
[[nodiscard]] std::string human_seconds(double seconds);
/// "1 file", "2 files".
[[nodiscard]] std::string counted(std::uint64_t count, const std::string& noun);

/// A table with a header; columns as wide as they need, two spaces between them.
class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// As many cells as there are columns.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  [[nodiscard]] std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace vskel::cli
