# libwarren: the layers that the public headers need, as one shared library, with what CMake and pkg-config users need.
include(CMakePackageConfigHelpers)

set(objects)
foreach(layer IN ITEMS core wire offload linux io)
  list(APPEND objects $<TARGET_OBJECTS:warren_${layer}>)
endforeach()
add_library(libwarren SHARED ${objects})
set_target_properties(libwarren PROPERTIES OUTPUT_NAME warren EXPORT_NAME warren VERSION ${PROJECT_VERSION}
                      SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE CXX)
target_link_libraries(libwarren PRIVATE warren_options fmt::fmt PkgConfig::uring PkgConfig::mnl Threads::Threads)
target_link_libraries(libwarren PUBLIC tl::expected)
target_compile_features(libwarren INTERFACE cxx_std_20)
target_include_directories(libwarren INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
add_library(warren::warren ALIAS libwarren)

install(TARGETS libwarren EXPORT warren LIBRARY)
install(DIRECTORY include/warren DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT warren NAMESPACE warren:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/warren)
configure_package_config_file(packaging/warrenConfig.cmake.in ${PROJECT_BINARY_DIR}/warrenConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/warren)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/warrenConfigVersion.cmake COMPATIBILITY SameMinorVersion)
configure_file(packaging/warren.pc.in ${PROJECT_BINARY_DIR}/warren.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/warrenConfig.cmake ${PROJECT_BINARY_DIR}/warrenConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/warren)
install(FILES ${PROJECT_BINARY_DIR}/warren.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
