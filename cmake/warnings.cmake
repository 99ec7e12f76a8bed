# Debian's headers are system headers; in this project's own code warnings are errors for those who work on it (the presets), not for those who only build
# it with a compiler that knows a new one.
option(VSKEL_WARNINGS_ARE_ERRORS "Fail the build on a warning" OFF)
add_library(vskel_warnings INTERFACE)
target_compile_options(vskel_warnings INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wformat=2 -Wnon-virtual-dtor -Wold-style-cast -Wimplicit-fallthrough $<$<BOOL:${VSKEL_WARNINGS_ARE_ERRORS}>:-Werror>
  # GCC 12 takes the value of a std::expected for uninitialized on the path where it holds the error, and sees "a" + string overlap itself (GCC bug 105329).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-restrict>)
