# tests/<dir>/<file>_test.c is one program and one ctest entry; tests/support is shared.
# tests/scripts/*_test.sh test the scripts of this tree. A test labelled "slow" (LAR_SLOW_TESTS) is
# left out under sanitizers and emulation.
find_path(CMOCKA_INCLUDE cmocka.h)
find_library(CMOCKA_LIBRARY cmocka)
if(NOT CMOCKA_INCLUDE OR NOT CMOCKA_LIBRARY)
    message(WARNING "cmocka is not installed: the unit tests are left out")
    return()
endif()

set(LAR_SLOW_TESTS "")
# An absurd allocation must return NULL under the sanitizers too: refusing it is what is tested.
set(LAR_TEST_ENVIRONMENT
    "ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1"
    "UBSAN_OPTIONS=print_stacktrace=1" "TSAN_OPTIONS=halt_on_error=1:allocator_may_return_null=1")

file(GLOB LAR_SUPPORT CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/support/*.c)
add_library(lar_test_support STATIC ${LAR_SUPPORT})
target_include_directories(lar_test_support PUBLIC ${CMAKE_SOURCE_DIR}/tests ${CMOCKA_INCLUDE})
target_link_libraries(lar_test_support PUBLIC lar_core ${CMOCKA_LIBRARY})
target_compile_definitions(lar_test_support PUBLIC TEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    TEST_BINARY_DIR="${CMAKE_BINARY_DIR}")

list(TRANSFORM rooms REPLACE "/src/" "/tests/" OUTPUT_VARIABLE tests)
list(TRANSFORM tests REPLACE "\\.c$" "_test.c")
file(GLOB LAR_TEST_SOURCES CONFIGURE_DEPENDS ${tests})
if(LAR_OPS_ONLY) # no libraries but cmocka: tests that read JSON are left out
    foreach(source ${LAR_TEST_SOURCES})
        file(STRINGS ${source} json REGEX "jansson.h" LIMIT_COUNT 1)
        if(json)
            list(REMOVE_ITEM LAR_TEST_SOURCES ${source})
        endif()
    endforeach()
endif()
foreach(source ${LAR_TEST_SOURCES})
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR}/tests ${source})
    string(REGEX REPLACE "_test\\.c$" "" name ${name})
    string(REPLACE "/" "_" target test_${name})
    add_executable(${target} ${source})
    target_link_libraries(${target} PRIVATE lar_test_support)
    if(name MATCHES "^cli/")
        target_link_libraries(${target} PRIVATE lar_cli)
    endif()
    if(TARGET lar)
        add_dependencies(${target} lar)
    endif()
    if(name MATCHES "^api/")
        list(APPEND LAR_API_TESTS ${target})
    endif()
    add_test(NAME ${name} COMMAND ${target})
    set_tests_properties(${name} PROPERTIES TIMEOUT 600 ENVIRONMENT "${LAR_TEST_ENVIRONMENT}")
    if(name IN_LIST LAR_SLOW_TESTS)
        set_tests_properties(${name} PROPERTIES LABELS slow)
    endif()
endforeach()

if(NOT LAR_OPS_ONLY AND NOT LAR_SANITIZE)
    file(GLOB scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/scripts/*_test.sh)
    foreach(script ${scripts})
        get_filename_component(name ${script} NAME_WE)
        string(REGEX REPLACE "_test$" "" name ${name})
        add_test(NAME scripts/${name} COMMAND sh ${script})
        set_tests_properties(scripts/${name} PROPERTIES WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
            ENVIRONMENT "LAR_BUILD_DIR=${CMAKE_BINARY_DIR}")
    endforeach()
endif()
