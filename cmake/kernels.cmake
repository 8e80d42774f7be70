# The kernel bodies src/cpu/k_*.c are compiled once per instruction set; each set's objects export
# one table, `kernels_<isa>` (src/cpu/kernels.h). Which one runs is chosen at start.
file(GLOB LAR_KERNEL_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/cpu/k_*.c)
set(LAR_KERNEL_OBJECTS "")
set(LAR_KERNEL_ISAS "")

# Products and sums may be fused, but nothing is reassociated: results stay the same on every build.
# Under a sanitizer these take minutes of optimising for tests of a second.
if(LAR_SANITIZE)
    set_source_files_properties(${CMAKE_SOURCE_DIR}/src/cpu/k_int8.c ${CMAKE_SOURCE_DIR}/src/cpu/k_dot.c
        PROPERTIES COMPILE_OPTIONS -O1)
endif()
# GCC 12 aligns AddressSanitizer's fake stack frames to less than a 64-byte vector needs, and aligned
# stores to them fault (GCC PR 110027): no fake frames in the kernels.
if(LAR_SANITIZE MATCHES "address" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    list(APPEND LAR_KERNEL_FLAGS --param=asan-use-after-return=0)
endif()

function(lar_kernels isa)
    add_library(kernels_${isa} OBJECT ${LAR_KERNEL_SOURCES})
    target_include_directories(kernels_${isa} PRIVATE ${CMAKE_SOURCE_DIR}/src)
    target_compile_definitions(kernels_${isa} PRIVATE LAR_ISA=${isa})
    target_compile_options(kernels_${isa} PRIVATE ${LAR_KERNEL_FLAGS} ${ARGN})
    set(LAR_KERNEL_OBJECTS ${LAR_KERNEL_OBJECTS} $<TARGET_OBJECTS:kernels_${isa}> PARENT_SCOPE)
    set(LAR_KERNEL_ISAS ${LAR_KERNEL_ISAS} ${isa} PARENT_SCOPE)
endfunction()

if(LAR_KERNEL_SOURCES)
    lar_kernels(generic)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
        set(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c -mavx2)
        lar_kernels(avx2 -mavx2 -mfma -mf16c)
        lar_kernels(avx512 ${avx512})
        lar_kernels(avx512bf16 ${avx512} -mavx512bf16)
        lar_kernels(amx ${avx512} -mavx512bf16 -mamx-tile -mamx-bf16)
    elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
        lar_kernels(neon)
    endif()
endif()

# Tells src/cpu which tables exist in this build.
function(lar_link_kernels target)
    foreach(isa ${LAR_KERNEL_ISAS})
        target_compile_definitions(${target} PRIVATE LAR_HAVE_${isa})
    endforeach()
endfunction()
