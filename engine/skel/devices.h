// The devices that a vserver gets: those that give no power over the host.
#pragma once

#include "engine/manifest/manifest.h"

namespace vskel {

/// Makes `dev` in `local`, with the devices of a container whatever the source's had, and gives its entries for the
/// manifest (paths from the root: "dev/null"). `now` stands as every time.
[[nodiscard]] Result<ManifestEntries> make_devices(const DirFd& local, sys::Time now);

}  // namespace vskel
