// Environment variables are applied by us and not by CLI11, which would let the configuration file win over them.

#include "cli/options.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "engine/sys/kernel.h"

namespace vskel::cli {

Backend GlobalOptions::chosen_backend() const {
  return backend == "uring" ? Backend::uring : backend == "syscall" ? Backend::syscall : Backend::automatic;
}

ShowProgress GlobalOptions::chosen_progress() const {
  return progress == "always"  ? ShowProgress::always
         : progress == "never" ? ShowProgress::never
                               : ShowProgress::automatic;
}

void declare_global_options(CLI::App& app, GlobalOptions& options) {
  constexpr unsigned kMostJobs = 4096;
  app.add_option("--vservers", options.paths.vservers, "Where vservers live; skels live in DIR/.skel [/vservers]")
      ->type_name("DIR");
  app.add_option("--etc", options.paths.etc, "Vserver configuration; vskel's own in DIR/vskel [/etc/vservers]")
      ->type_name("DIR");
  app.add_option("--config", options.config, "Configuration file [ETC/vskel/vskel.toml]")->type_name("FILE");
  app.add_option("-j,--jobs", options.jobs, "Worker threads [the CPUs this process may use]")
      ->type_name("N")
      ->check(CLI::Range(1U, kMostJobs).description(""));
  app.add_option("--backend", options.backend, "How batches are issued: auto, syscall or uring [auto]")
      ->type_name("NAME")
      ->check(CLI::IsMember({"auto", "syscall", "uring"}).description(""));
  app.add_option("--progress", options.progress, "Progress bar: auto (on a terminal), always or never [auto]")
      ->type_name("WHEN")
      ->check(CLI::IsMember({"auto", "always", "never"}).description(""));
  app.add_flag("-n,--dry-run", options.dry_run, "Print what would be done, change nothing");
  app.add_flag("--json", options.json, "One JSON document on standard output");
  app.add_flag("-q,--quiet", options.quiet, "Only errors and warnings on standard error");
  app.add_flag("-v,--verbose", options.verbose, "More on standard error");
  app.add_flag("--no-wait", options.no_wait, "Fail at once if another vskel holds what is needed");
}

void apply_environment(CLI::App& app) {
  const auto apply = [&](const char* variable, const char* name) {
    const char* const value = std::getenv(variable);
    CLI::Option* const option = app.get_option(name);
    if (value == nullptr || *value == '\0' || option->count() > 0) return;
    option->add_result(value);
    option->run_callback();
  };
  apply("VSKEL_VSERVERS", "--vservers");
  apply("VSKEL_ETC", "--etc");
}

Result<std::string> absolute_path(const std::string& path) {
  if (path.empty()) return refuse("read path", "", "empty");
  const std::string whole = path.starts_with('/') ? path : sys::path_of(TRY(sys::open_root("."))) + "/" + path;
  std::string out;
  for (std::string_view rest = whole; !rest.empty();) {
    const std::string_view part = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    if (!part.empty() && part != ".") out.append("/").append(part);
  }
  return out.empty() ? "/" : out;
}

}  // namespace vskel::cli
