# Warnings are errors in this project's own code; Debian's headers are system headers.
add_library(vskel_warnings INTERFACE)
target_compile_options(vskel_warnings INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wformat=2 -Wnon-virtual-dtor -Wold-style-cast -Wimplicit-fallthrough -Werror)
