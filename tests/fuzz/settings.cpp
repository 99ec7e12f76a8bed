#include "cli/settings.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <algorithm>

#include "cli/commands.h"
#include "cli/options.h"
#include "engine/skel/layout.h"
#include "engine/vserver/contexts.h"
#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

namespace {

/// A file without a disk, and a path to it.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : number_(::memfd_create("settings", MFD_CLOEXEC)) {
    const bool made = number_ >= 0 && ::fchmod(number_, 0600) == 0 &&
                      ::write(number_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
    if (!made) throw std::runtime_error("no file in memory to be had");
  }
  ~MemoryFile() { ::close(number_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(number_); }

 private:
  int number_;
};

struct Read {
  cli::Settings settings;
  cli::GlobalOptions options;
};

Result<Read> read(const std::string& path) {
  Read out;
  CLI::App app("vskel", "vskel");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  cli::declare_global_options(app, out.options);
  CLI::App& relink = *app.add_subcommand("relink", "");
  CLI::App& create = *app.add_subcommand("create-vs", "");
  const cli::Action actions[] = {cli::relink_command(relink), cli::create_vs_command(create)};
  out.settings = TRY(cli::apply_config_file(path, cli::Presence::required, app, relink));
  return out;
}

bool is_variable(std::string_view text) {
  const std::string_view name = text.substr(0, text.find('='));
  const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
  return !name.empty() && letter(name[0]) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

}  // namespace

void settings(std::string_view bytes) {
  if (bytes.size() > 4096) return;
  const MemoryFile file(bytes);
  const auto first = read(file.path());
  if (!first) {
    must(first.error().blame == Blame::request && first.error().path == file.path(), "an error names the file");
    return;
  }
  const cli::Settings& settings = first->settings;
  must(settings.create.config_path.empty() || settings.create.config_path.starts_with('/'), "paths are absolute");
  must(settings.create.template_path.empty() || settings.create.template_path.starts_with('/'), "paths are absolute");
  must(settings.create.first_context >= 2 && settings.create.first_context <= kHighestContext, "a context is one");
  must(settings.plugins.timeout.count() >= 1 && settings.plugins.timeout <= std::chrono::hours(24),
       "a time is a limit");
  for (const std::string& variable : settings.plugins.environment) {
    must(is_variable(variable), "a variable has a name");
    must(!variable.contains('\0'), "a variable is text");
  }
  for (const std::string& pattern : settings.relink.freeze)
    must(check_glob(pattern).has_value(), "a pattern can match a path");
  for (const std::string& path : settings.relink.pkgdb)
    must(path.starts_with('/') && is_safe_path(std::string_view(path).substr(1, path.find_last_not_of('/'))),
         "a database has a path");
  must(first->options.backend == "auto" || first->options.backend == "syscall" || first->options.backend == "uring",
       "a word is one of those that are known");
  const auto second = read(file.path());
  must(second && second->settings.plugins.environment == settings.plugins.environment &&
           second->settings.relink.freeze == settings.relink.freeze && second->settings.backends == settings.backends,
       "a file says the same twice");
}

}  // namespace vskel::test::fuzz
