// The vskel program. Table of contents of this folder, in the order in which a command line meets it:
//
//   run.cpp        from argv to the exit status: the table of commands, parsing, errors
//   spelling.cpp   the 2003 spelling, `--build-skel NAME` for `build-skel NAME`
//   options.cpp    the global options and their environment variables
//   settings.cpp   the configuration file
//   session.cpp    what a command is given: options, settings, the store, the engine's options
//   build_skel.cpp create_vs.cpp run_plugins.cpp remove_vs.cpp remove_skel.cpp recover.cpp    commands that change
//   list.cpp show.cpp verify.cpp                                                              commands that look
//   guard.cpp                                                                                 seals in the kernel
//   bench.cpp      measures;  save_settings.cpp what it writes to the configuration file
//   output.cpp     what goes to standard output (text, tables, JSON) and to standard error
//   progress.cpp   the progress bar;  prompt.cpp questions;  terminal.cpp what is a terminal
//
// No decision about files is made here: a command checks its request, asks the engine and tells what came of it.

#include <malloc.h>

#include "cli/run.h"

namespace {

/// Memory that was freed stays ours. glibc gives the end of each thread's heap back from 128 KiB on, and what a
/// directory let go of is a page fault for the next one (mallopt(3)): a twentieth of the time of a single create-vs.
void keep_freed_memory() {
  constexpr int kKept = 8 << 20, kStep = 1 << 20;
  ::mallopt(M_TRIM_THRESHOLD, kKept);
  ::mallopt(M_TOP_PAD, kStep);
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  return vskel::cli::run(argc, argv);
}
