// The steps that are about a directory itself, when what is in it is done: it goes, or gets metadata or times.
#pragma once

#include "engine/relink/staged_step.h"
#include "engine/sys/kernel.h"

namespace vskel {

/// `carrier` in `slots` is an empty directory with the metadata that the one at `name` is to have. False if that is not
/// what it was planned for. Errors, here and below, are the kernel's.
[[nodiscard]] Result<bool> carry_out_metadata(const StagedStep& step, const DirFd& dir, Name name, const DirFd& slots);
/// A directory that holds theirs' names and no other gets theirs' time.
[[nodiscard]] Result<> carry_out_times(const StagedStep& step, const DirFd& dir, Name name);
/// The directory at `name`, usr, becomes newer than etc/.updated and var/.updated below `root`: systemd-update-done(8)
/// writes these two, and units with ConditionNeedsUpdate= run while /usr is newer than they.
[[nodiscard]] Result<> carry_out_renewal(const DirFd& root, const DirFd& dir, Name name);
/// Goes if it is empty; one that has gone is no error.
[[nodiscard]] Result<> carry_out_removal(const DirFd& dir, Name name);

}  // namespace vskel
