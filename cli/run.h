// The whole program behind main().
#pragma once

namespace vskel::cli {

/// Runs `argv` and gives the exit status (cli.md, "Exit status"). Prepares the process (sys::engine_start()); no
/// exception leaves it.
[[nodiscard]] int run(int argc, char** argv);

}  // namespace vskel::cli
