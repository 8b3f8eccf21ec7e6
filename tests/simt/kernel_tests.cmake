# The target kernel_tests builds, and `ctest -L kernels` runs, what shows that the kernels are right
# and nothing else: all of them under every schedule (one in the race build, which needs no more),
# and the emulation's own tests. The kernels of f16 are those of bf16 but for a conversion, which has
# no schedule: they run once, and not in the race build.
add_custom_target(kernel_tests)
foreach(stem IN LISTS LIMBECK_OPS LIMBECK_DEVICE_TESTS LIMBECK_SIMT_TESTS ITEMS conformance)
  add_dependencies(kernel_tests ${stem}_test)
  set(schedules 8)
  set(filter --gtest_filter=*cuda*:Graph*-*cuda_f16*)
  if(stem STREQUAL conformance)
    set(filter)
  elseif(stem MATCHES "^simt")  # choose schedules themselves
    set(schedules 1)
    set(filter)
  elseif(LIMBECK_SIMT_RACE)
    set(schedules 1)
  endif()
  add_test(NAME kernels.${stem} COMMAND ${stem}_test ${filter} --gtest_brief=1)
  set_tests_properties(kernels.${stem} PROPERTIES LABELS kernels
    ENVIRONMENT LIMBECK_SIMT_SCHEDULES=${schedules})
  if(filter AND NOT LIMBECK_SIMT_RACE)
    add_test(NAME kernels.${stem}.f16 COMMAND ${stem}_test --gtest_filter=*cuda_f16* --gtest_brief=1)
    set_tests_properties(kernels.${stem}.f16 PROPERTIES LABELS kernels)
  endif()
endforeach()
if(LIMBECK_SIMT_RACE)
  include(tests/simt/planted_bugs.cmake)
  return()
endif()

# Proof that the tests' frame sees what it is there to see.
foreach(fault AnErrorIsLeftQueued BytesDependOnTheSchedule NothingIsLaunched)
  add_test(NAME must_fail.${fault} COMMAND simt_queue_test --gtest_also_run_disabled_tests
    --gtest_filter=*MustFail*.DISABLED_${fault}* --gtest_brief=1)
  set_tests_properties(must_fail.${fault} PROPERTIES
    WILL_FAIL TRUE LABELS kernels ENVIRONMENT LIMBECK_SIMT_SCHEDULES=8)
endforeach()
