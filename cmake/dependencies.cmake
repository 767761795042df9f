# Libraries from Debian packages (scripts/packages.txt). A missing one is named with its package.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(tl-expected REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(GTest REQUIRED)
find_package(benchmark REQUIRED)
find_package(ZLIB REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)

function(warren_pkg_config target module package)
  pkg_check_modules(${target} IMPORTED_TARGET GLOBAL QUIET ${module})
  if(NOT ${target}_FOUND)
    message(FATAL_ERROR "${module} is missing: install the Debian package ${package} (or run scripts/setup build)")
  endif()
endfunction()

warren_pkg_config(uring liburing liburing-dev)
warren_pkg_config(mnl libmnl libmnl-dev)
warren_pkg_config(bpf libbpf libbpf-dev)
warren_pkg_config(tomlplusplus tomlplusplus libtomlplusplus-dev)

# Intel's Multi-Buffer library has neither a CMake nor a pkg-config package, and is only for x86-64.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  find_path(IPSEC_MB_INCLUDE_DIR intel-ipsec-mb.h)
  find_library(IPSEC_MB_LIBRARY IPSec_MB)
  if(NOT IPSEC_MB_INCLUDE_DIR OR NOT IPSEC_MB_LIBRARY)
    message(FATAL_ERROR "intel-ipsec-mb is missing: install the Debian package libipsec-mb-dev (or run scripts/setup build)")
  endif()
  add_library(ipsec_mb INTERFACE)
  target_include_directories(ipsec_mb SYSTEM INTERFACE ${IPSEC_MB_INCLUDE_DIR})
  target_compile_definitions(ipsec_mb INTERFACE WARREN_HAS_IPSEC_MB)
  target_link_libraries(ipsec_mb INTERFACE ${IPSEC_MB_LIBRARY})
endif()

# Asio is headers only, without a CMake package in Debian.
find_path(ASIO_INCLUDE_DIR asio.hpp REQUIRED)
add_library(asio INTERFACE)
target_include_directories(asio SYSTEM INTERFACE ${ASIO_INCLUDE_DIR})
# Debian's Asio does not know that clang has coroutines too; the fuzzers and clang-tidy use clang.
target_compile_definitions(asio INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED ASIO_HAS_CO_AWAIT=1
                           ASIO_HAS_STD_COROUTINE=1)
target_link_libraries(asio INTERFACE Threads::Threads)
# Asio has fences, which ThreadSanitizer does not model; it is not Asio that we test with it.
target_compile_options(asio INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
