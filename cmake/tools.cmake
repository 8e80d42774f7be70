# tools/<name>.c and bench/<name>.c are one program each; they may use the hash weights, op rows and
# llama2.c's files of tests/support.
add_library(lar_hash_weights STATIC ${CMAKE_SOURCE_DIR}/tests/support/hash_checkpoint.c
    ${CMAKE_SOURCE_DIR}/tests/support/hash_weights.c ${CMAKE_SOURCE_DIR}/tests/support/llama2c.c
    ${CMAKE_SOURCE_DIR}/tests/support/op_rows.c)
target_include_directories(lar_hash_weights PUBLIC ${CMAKE_SOURCE_DIR}/tests)
target_link_libraries(lar_hash_weights PUBLIC lar_core)
foreach(dir tools bench)
    file(GLOB programs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.c)
    foreach(source ${programs})
        get_filename_component(name ${source} NAME_WE)
        add_executable(${dir}_${name} ${source})
        target_link_libraries(${dir}_${name} PRIVATE lar_hash_weights)
        target_compile_options(${dir}_${name} PRIVATE -ffp-contract=fast)
        set_target_properties(${dir}_${name} PROPERTIES OUTPUT_NAME ${name}
            RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/${dir})
    endforeach()
endforeach()
foreach(test ${LAR_LANGUAGE_TESTS}) # their models are written by it
    add_dependencies(${test} tools_random_gguf)
endforeach()
# examples/<name>.c use the library as any other program does: its header and nothing else.
file(GLOB examples CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/examples/*.c)
foreach(source ${examples})
    get_filename_component(name ${source} NAME_WE)
    add_executable(example_${name} ${source})
    target_link_libraries(example_${name} PRIVATE lar_shared)
    foreach(test ${LAR_API_TESTS}) # they run the examples
        add_dependencies(${test} example_${name})
    endforeach()
    set_target_properties(example_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY examples OUTPUT_NAME ${name})
endforeach()
