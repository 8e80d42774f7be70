include(GNUInstallDirs)
# Where the program looks for the model that comes with it.
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/cli/model_path.c PROPERTIES COMPILE_DEFINITIONS
    "LAR_SOURCE_DIR=\"${CMAKE_SOURCE_DIR}\";LAR_DATA_DIR=\"${CMAKE_INSTALL_FULL_DATADIR}\"")
install(TARGETS lar RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES include/lar.h TYPE INCLUDE OPTIONAL)
install(FILES docs/lar.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 OPTIONAL)
install(FILES models/spark/spark.gguf DESTINATION ${CMAKE_INSTALL_DATADIR}/lar/models OPTIONAL)
