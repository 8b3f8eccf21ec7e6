# The emulated GPU: what takes the place of core/backend.cu and of the CUDA libraries.
set(LIMBECK_SIMT_SOURCES
  tests/simt/backend.cpp
  tests/simt/fiber.cpp
  tests/simt/grid.cpp
  tests/simt/memory.cpp
  tests/simt/rendezvous.cpp
  tests/simt/schedule.cpp
  tests/simt/shared.cpp)
set(LIMBECK_SIMT_LIBRARIES tests/simt/cublas.cpp tests/simt/cudnn.cpp)
