# What a program that runs as root over hostile trees is built with; sanitizers bring their own checks instead.
add_library(vskel_hardening INTERFACE)
if(VSKEL_SANITIZE)
  target_compile_options(vskel_hardening INTERFACE -fsanitize=${VSKEL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(vskel_hardening INTERFACE -fsanitize=${VSKEL_SANITIZE})
else()
  target_compile_options(vskel_hardening INTERFACE
    -fstack-protector-strong -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero
    $<$<CONFIG:Release,RelWithDebInfo>:-D_FORTIFY_SOURCE=3>)
  target_compile_definitions(vskel_hardening INTERFACE _GLIBCXX_ASSERTIONS)
  target_link_options(vskel_hardening INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
