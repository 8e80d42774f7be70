# clang-tidy beside the compiler, so that Ninja runs it in parallel and only for what changed. Of the
# kernel bodies one instruction set is enough.
find_program(CLANG_TIDY NAMES clang-tidy-14 clang-tidy)
if(CLANG_TIDY)
    set_target_properties(${LAR_TARGETS} PROPERTIES C_CLANG_TIDY "${CLANG_TIDY};--quiet")
    if(TARGET kernels_generic)
        set_target_properties(kernels_generic PROPERTIES C_CLANG_TIDY "${CLANG_TIDY};--quiet")
    endif()
else()
    message(STATUS "skip: clang-tidy is not installed")
endif()
