# Warnings are errors in this project's own code; Debian's headers are system headers.
add_library(vskel_warnings INTERFACE)
target_compile_options(vskel_warnings INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wformat=2 -Wnon-virtual-dtor -Wold-style-cast -Wimplicit-fallthrough -Werror
  # GCC 12 takes the value of a std::expected for uninitialized on the path where it holds the error.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
