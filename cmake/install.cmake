# What `cmake --install` puts where, below the prefix and DESTDIR: the program, its manual page, what
# shells complete by, the library with its header and pkg-config file, and Spark, which the program finds relative to itself.
include(GNUInstallDirs)
# Where the program looks for the model that comes with it.
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/cli/model_path.c PROPERTIES COMPILE_DEFINITIONS
    "LAR_SOURCE_DIR=\"${CMAKE_SOURCE_DIR}\";LAR_DATA_DIR=\"${CMAKE_INSTALL_FULL_DATADIR}\"")
install(TARGETS lar RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS lar_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/lar.h TYPE INCLUDE)
file(RELATIVE_PATH LAR_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_SOURCE_DIR}/cmake/lar.pc.in ${CMAKE_BINARY_DIR}/lar.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/lar.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES docs/lar.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES models/spark/spark.gguf DESTINATION ${CMAKE_INSTALL_DATADIR}/lar/models OPTIONAL)

# The scripts that the program writes about itself, under the names that each shell looks for.
foreach(completion bash:bash-completion/completions/lar zsh:zsh/site-functions/_lar
                   fish:fish/vendor_completions.d/lar.fish)
    string(REPLACE ":" ";" completion ${completion})
    list(GET completion 0 shell)
    list(GET completion 1 place)
    set(file ${CMAKE_BINARY_DIR}/completions/${place})
    get_filename_component(file_dir ${file} DIRECTORY)
    get_filename_component(place_dir ${place} DIRECTORY)
    file(MAKE_DIRECTORY ${file_dir})
    add_custom_command(OUTPUT ${file} COMMAND lar help --completions ${shell} > ${file}
        DEPENDS lar VERBATIM)
    install(FILES ${file} DESTINATION ${CMAKE_INSTALL_DATADIR}/${place_dir})
    list(APPEND LAR_COMPLETIONS ${file})
endforeach()
add_custom_target(completions ALL DEPENDS ${LAR_COMPLETIONS})
