// A pid namespace for a whole test program: what else runs on the machine is nobody's tenant.
#pragma once

namespace vskel::test {

/// From here on this program is a process in a pid namespace of its own, with a /proc of that, which ends with it. To
/// be called at the beginning of main(), before there are threads: the process that called waits, and ends as the rest
/// of the program does. Without root nothing happens; throws std::system_error if it can't be had.
void enter_own_processes();

}  // namespace vskel::test
