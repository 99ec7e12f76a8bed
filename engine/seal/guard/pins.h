// Where the guard's map and programs are pinned. For this folder.
#pragma once

namespace vskel::pins {

inline constexpr const char* kBpffs = "/sys/fs/bpf";
inline constexpr const char* kSealed = "/sys/fs/bpf/vskel/sealed";
inline constexpr const char* kRefusals = "/sys/fs/bpf/vskel/refusals";

}  // namespace vskel::pins
