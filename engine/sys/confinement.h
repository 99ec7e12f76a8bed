// Seat-belts of the kernel's for this process: what it does not need it cannot do, whatever a bug makes it try.
#pragma once

#include <span>
#include <string>

#include "engine/sys/error.h"

namespace vskel::sys {

/// Keeps, of the capabilities that the calling thread has, those that trees, seals and tenants need. To be called
/// before there are other threads. A program that is run later has them all again, as root's programs do
/// (capabilities(7)).
[[nodiscard]] Result<> drop_capabilities();

/// Whether somebody else's rights came with the program (set-user-id, set-group-id, file capabilities): getauxval(3).
[[nodiscard]] bool has_borrowed_rights();

enum class Confined { yes, not_here };
/// From now on this thread, and threads and programs that it starts, can make, write, rename, link and remove nothing
/// outside of the directories at `writable`, and run no program; reading stays free (landlock(7)), and so do truncation
/// by a path or of a file opened for reading only, which the engine does nowhere. A path that is not there is left out.
/// A confined process cannot look at processes that are not (/proc/PID/root: ptrace(2)).
/// not_here: a kernel without Landlock, or with one that cannot move files between directories (before Linux 5.19).
[[nodiscard]] Result<Confined> confine_changes(std::span<const std::string> writable);

}  // namespace vskel::sys
