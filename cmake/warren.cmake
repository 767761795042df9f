# Layers. Each folder of src/ is a static library whose headers are reachable only through its target, so that
# `#include "wire/ipv4.h"` compiles only where the including layer lists wire in DEPENDS: imports go downwards.

set(WARREN_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual
    -Wconversion -Wno-sign-conversion -Wextra-semi -Werror)

add_library(warren_options INTERFACE)
target_compile_options(warren_options INTERFACE ${WARREN_WARNINGS})
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # Clang builds the fuzzers, and warns about g++'s own headers.
  target_compile_options(warren_options INTERFACE -Wno-error)
endif()
target_compile_definitions(warren_options INTERFACE _GNU_SOURCE)
if(WARREN_SANITIZE)
  target_compile_options(warren_options INTERFACE -fsanitize=${WARREN_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(warren_options INTERFACE -fsanitize=${WARREN_SANITIZE})
endif()
if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  # Frame pointers cost little and let `warren bench --flamegraph` walk the stacks.
  target_compile_options(warren_options INTERFACE -fno-omit-frame-pointer)
endif()
if(WARREN_SANITIZE OR NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  # Line numbers are all that stacks need of what the debugger knows, and the rest is a quarter of the time to build.
  target_compile_options(warren_options INTERFACE -g1)
endif()

# The public headers, for every layer: <warren/packet.h>.
add_library(warren_public INTERFACE)
target_include_directories(warren_public INTERFACE ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(warren_public INTERFACE tl::expected)

# warren_layer(NAME SOURCES … [DEPENDS layer-or-library …] [BPF x.bpf.c …] [TESTS x_test.cc …] [FUZZERS x_fuzz.cc …]
#              [BENCHES x_bench.cc …] [LINUX_TESTS x_test.cc …] [THREAD_TESTS x_test.cc …])
# LINUX_TESTS need namespaces and devices; they get the label `root`. THREAD_TESTS get the label `threads`: they run under
# ThreadSanitizer too. Every gtest source becomes part of one binary per layer and kind; each fuzzer and benchmark is a
# program of its own. A fuzzer's seeds are the files in x_fuzz_seeds/ beside it. A kernel program x.bpf.c becomes a header
# that carries it, <x.skel.h>, for the sources and tests of the layer.
add_custom_target(thread_tests)
add_custom_target(fuzzers)
# The headers that the build makes: what clang-tidy needs beside the sources.
add_custom_target(generated_headers)

function(warren_layer name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;BPF;TESTS;LINUX_TESTS;THREAD_TESTS;FUZZERS;BENCHES" ${ARGN})
  set(headers ${PROJECT_BINARY_DIR}/layers/${name})
  file(MAKE_DIRECTORY ${headers})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${headers}/${name} SYMBOLIC)

  if(arg_SOURCES)
    add_library(warren_${name} STATIC ${arg_SOURCES})
    target_link_libraries(warren_${name} PRIVATE warren_options)
    set(scope PUBLIC)
  else()
    add_library(warren_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  # -iquote, so that "linux/netlink.h" is ours and <linux/netlink.h> the kernel's.
  target_compile_options(warren_${name} ${scope} "SHELL:-iquote ${headers}")
  target_link_libraries(warren_${name} ${scope} warren_public ${arg_DEPENDS})

  foreach(source IN LISTS arg_BPF)
    warren_bpf(${name} ${source})
  endforeach()

  if(BUILD_TESTING)
    warren_gtest(${name}_test "unit" ${name} ${arg_TESTS})
    warren_gtest(${name}_linux_test "root" ${name} ${arg_LINUX_TESTS})
    warren_gtest(${name}_thread_test "threads" ${name} ${arg_THREAD_TESTS})
    if(arg_THREAD_TESTS)
      add_dependencies(thread_tests ${name}_thread_test)
    endif()
    foreach(source IN LISTS arg_FUZZERS)
      warren_fuzzer(${name} ${source})
    endforeach()
    foreach(source IN LISTS arg_BENCHES)
      get_filename_component(program ${source} NAME_WE)
      add_executable(${program} ${source})
      target_link_libraries(${program} PRIVATE warren_${name} warren_options benchmark::benchmark_main)
    endforeach()
  endif()
endfunction()

# Compiled for BPF, and turned into a libbpf skeleton: x.bpf.c -> <x.skel.h>, struct x_bpf.
function(warren_bpf name source)
  find_program(WARREN_BPF_CLANG NAMES clang clang-19 clang-16 clang-14 REQUIRED)
  find_program(WARREN_BPFTOOL NAMES bpftool PATHS /usr/sbin REQUIRED)
  get_filename_component(program ${source} NAME_WE)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/skeletons)
  set(object ${folder}/${program}.bpf.o)
  add_custom_command(
    OUTPUT ${folder}/${program}.skel.h
    COMMAND ${CMAKE_COMMAND} -E make_directory ${folder}
    COMMAND ${WARREN_BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -Wall -Werror -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
            -MD -MF ${object}.d -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
    # What clang-tidy finds in there is not ours to mend.
    COMMAND ${CMAKE_COMMAND} -E echo "// NOLINTBEGIN" > ${folder}/${program}.skel.h
    COMMAND ${WARREN_BPFTOOL} gen skeleton ${object} name ${program}_bpf >> ${folder}/${program}.skel.h
    COMMAND ${CMAKE_COMMAND} -E echo "// NOLINTEND" >> ${folder}/${program}.skel.h
    DEPENDS ${source}
    DEPFILE ${object}.d
    VERBATIM)
  add_custom_target(${program}_skeleton DEPENDS ${folder}/${program}.skel.h)
  add_dependencies(generated_headers ${program}_skeleton)
  target_sources(warren_${name} PRIVATE ${folder}/${program}.skel.h)
  target_include_directories(warren_${name} SYSTEM PUBLIC ${folder})
endfunction()

# What every test includes is compiled once: warren_test_headers has no code of its own.
if(BUILD_TESTING)
  file(CONFIGURE OUTPUT test_headers.cc CONTENT "")
  add_library(warren_test_headers OBJECT ${CMAKE_CURRENT_BINARY_DIR}/test_headers.cc)
  target_link_libraries(warren_test_headers PRIVATE warren_options GTest::gmock)
  # As the programs that use them are compiled, or they could not.
  set_target_properties(warren_test_headers PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(warren_test_headers PRIVATE -fPIE)
  target_precompile_headers(warren_test_headers PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
endif()

function(warren_gtest program label name)
  if(NOT ARGN)
    return()
  endif()
  add_executable(${program} ${ARGN})
  target_link_libraries(${program} PRIVATE warren_${name} warren_options GTest::gmock GTest::gtest_main)
  target_precompile_headers(${program} REUSE_FROM warren_test_headers)
  # One label: gtest_discover_tests() would take the second for the next property. -R '^name\.' picks a layer.
  gtest_discover_tests(${program} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60 PROPERTIES LABELS ${label} TIMEOUT 120)
endfunction()

# A fuzzer defines LLVMFuzzerTestOneInput. Without libFuzzer it is linked with a driver that feeds it a bounded number
# of mutated seeds, so that every test run exercises the parsers under the sanitizers.
function(warren_fuzzer name source)
  get_filename_component(program ${source} NAME_WE)
  add_executable(${program} ${source})
  target_link_libraries(${program} PRIVATE warren_${name} warren_options)
  add_dependencies(fuzzers ${program})
  set(seeds)
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${program}_seeds)
    set(seeds ${CMAKE_CURRENT_SOURCE_DIR}/${program}_seeds)
  endif()
  if(WARREN_LIBFUZZER)
    target_compile_options(warren_${name} PRIVATE -fsanitize=fuzzer-no-link)
    target_compile_options(${program} PRIVATE -fsanitize=fuzzer)
    target_link_options(${program} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${program} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz_driver.cc)
    add_test(NAME ${name}.${program} COMMAND ${program} -runs=20000 ${seeds})
    set_tests_properties(${name}.${program} PROPERTIES LABELS fuzz TIMEOUT 300)
  endif()
endfunction()

include(GoogleTest)
