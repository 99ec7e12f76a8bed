// What a skel does not get of the tree that it is made from, as build-skel and split-skel tell it.
#pragma once

#include <vector>

#include "cli/output.h"
#include "engine/skel/left_out.h"

namespace vskel::cli {

/// [{"path", "files", "bytes"}]
[[nodiscard]] Json left_out_json(const std::vector<LeftOut>& left_out);
/// "  left out /var/log: 12 files, 3.4 MiB", a line each.
void tell_left_out(Output& output, const std::vector<LeftOut>& left_out);

}  // namespace vskel::cli
