# The emulated GPU: what takes the place of core/backend.cu and of the CUDA libraries.
set(LIMBECK_SIMT_SOURCES
  tests/simt/async_copy.cpp
  tests/simt/backend.cpp
  tests/simt/barrier.cpp
  tests/simt/bulk_copy.cpp
  tests/simt/fiber.cpp
  tests/simt/grid.cpp
  tests/simt/matrix.cpp
  tests/simt/memory.cpp
  tests/simt/model.cpp
  tests/simt/queue.cpp
  tests/simt/schedule.cpp
  tests/simt/shared.cpp
  tests/simt/stream.cpp
  tests/simt/warp.cpp)
set(LIMBECK_SIMT_LIBRARIES tests/simt/cublas.cpp tests/simt/cudnn.cpp tests/simt/library.cpp)
set(LIMBECK_SIMT_FLAGS -Wno-unknown-pragmas)  # for kernels
set(LIMBECK_SIMT_TESTS simt simt_async_copy simt_bulk_copy simt_cluster simt_misuse simt_mma)

# Sanitizers watch what runs on the emulated GPU here; the CPU twins have a sanitized build of their
# own (LIMBECK_GPU=off), and take most of the compiler's time in this one.
if(LIMBECK_SANITIZE)
  list(APPEND LIMBECK_SIMT_FLAGS -O1)
  foreach(twin IN LISTS LIMBECK_OPS ITEMS channel_statistics depthwise gemm onednn onednn_conv2d onednn_matmul)
    set_source_files_properties(kernels/${twin}.cpp PROPERTIES COMPILE_OPTIONS -fno-sanitize=all)
  endforeach()
endif()

option(LIMBECK_COVERAGE "Count the kernels' lines that run (with LIMBECK_GPU=simt)" OFF)
if(LIMBECK_COVERAGE)
  list(APPEND LIMBECK_SIMT_FLAGS -O0 --coverage)
  target_link_options(limbeck_options INTERFACE --coverage)
endif()

# The race build hooks every access a kernel makes. Half of the plain build's own tests are races.
option(LIMBECK_SIMT_RACE "Check the kernels for races (with LIMBECK_GPU=simt)" OFF)
if(LIMBECK_SIMT_RACE)
  list(APPEND LIMBECK_SIMT_SOURCES
    tests/simt/race.cpp
    tests/simt/shadow.cpp
    tests/simt/source_line.cpp
    tests/simt/tsan_hooks.cpp)
  list(APPEND LIMBECK_SIMT_FLAGS -O1 -g1 -fsanitize=thread)
  set(LIMBECK_SIMT_TESTS simt_async_race simt_bulk_race simt_cluster_race simt_race)
  foreach(stem IN LISTS LIMBECK_SIMT_TESTS)
    set_source_files_properties(tests/${stem}_test.cpp PROPERTIES
      COMPILE_OPTIONS "${LIMBECK_SIMT_FLAGS}")
  endforeach()
endif()
