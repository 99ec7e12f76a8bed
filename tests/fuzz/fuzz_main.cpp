// libFuzzer's way to one target, which is named when this is compiled.

#include <cstddef>
#include <cstdint>

#include "engine/sys/kernel.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerInitialize(int* /*count*/, char*** /*arguments*/) {
  vskel::sys::engine_start();
  return 0;
}

/// A broken property leaves as an exception, which ends the program: libFuzzer keeps the input.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) noexcept {
  vskel::test::fuzz::VSKEL_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
