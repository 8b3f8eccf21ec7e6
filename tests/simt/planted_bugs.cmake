# Proof that the race build catches bugs: each planted_bug() below changes one line of the project,
# and a test passes when the file's own tests fail on it. A line that is no longer there stops the
# build.

# planted_bug(name test file before after [unit]): `file`, of kernels/ where it names no folder, seen
# through test's tests. A header is seen in the kernels of `unit`, test if not given.
function(planted_bug name test file before after)
  set(unit ${file})
  set(schedules 8)  # to see that streams are not ordered; one shows that threads are not
  if(NOT file MATCHES "/")
    set(unit kernels/${test}.cu)
    if(ARGN)
      set(unit kernels/${ARGN}.cu)
    endif()
    set(file kernels/${file})
    set(schedules 1)
  endif()
  set(folder ${PROJECT_BINARY_DIR}/planted_bugs/${name})
  set(patched ${folder}/limbeck/${file})
  file(CONFIGURE OUTPUT ${folder}/before CONTENT "${before}" @ONLY)
  file(CONFIGURE OUTPUT ${folder}/after CONTENT "${after}" @ONLY)
  add_custom_command(OUTPUT ${patched}
    COMMAND ${CMAKE_COMMAND} -D FROM=${PROJECT_SOURCE_DIR}/${file} -D TO=${patched}
      -D FOLDER=${folder} -P ${PROJECT_SOURCE_DIR}/tests/simt/plant_bug.cmake
    DEPENDS ${PROJECT_SOURCE_DIR}/${file} ${folder}/before ${folder}/after
      ${PROJECT_SOURCE_DIR}/tests/simt/plant_bug.cmake)
  # The file as a source of this target alone; a patched header is found before the real one.
  set(source ${folder}/patched.cu)
  file(WRITE ${source}.new "#include <limbeck/${unit}>\n")
  file(COPY_FILE ${source}.new ${source} ONLY_IF_DIFFERENT)
  set_source_files_properties(${source} PROPERTIES LANGUAGE CXX OBJECT_DEPENDS ${patched}
    COMPILE_OPTIONS "-x;c++;${LIMBECK_SIMT_FLAGS};-w")
  add_executable(planted_${name} ${source} $<TARGET_OBJECTS:${test}_test>
    $<TARGET_OBJECTS:limbeck_test_main>)
  target_include_directories(planted_${name} BEFORE PRIVATE ${folder})
  target_link_libraries(planted_${name} PRIVATE limbeck_kernels limbeck_options GTest::gtest)
  add_test(NAME planted_bug.${name}
    COMMAND planted_${name} --gtest_filter=*cuda*:Graph*-*cuda_f16* --gtest_fail_fast --gtest_brief=1)
  set_tests_properties(planted_bug.${name} PROPERTIES
    WILL_FAIL TRUE TIMEOUT 120 LABELS kernels ENVIRONMENT LIMBECK_SIMT_SCHEDULES=${schedules})
  add_dependencies(kernel_tests planted_${name})
endfunction()

# Barriers and who does what
planted_bug(no_barrier_before_reuse kd_loss warp.cuh
  "sync_block();  // an earlier call's partials have been read" "")
planted_bug(no_barrier_after_write argmax warp.cuh
  "= value[k];\n  sync_block();" "= value[k];")
planted_bug(barrier_for_some argmax warp.cuh
  "= value[k];\n  sync_block();" "= value[k];\n  if (lane() == 0) sync_block();")
planted_bug(every_lane_writes argmax warp.cuh "if (lane() == 0)" "if (true)")
planted_bug(no_barrier_in_column_sums reduce reduce.cu "gpu::sync_block();\n  if" "if")
planted_bug(return_before_barrier reduce reduce.cu
  "= sum;\n  gpu::sync_block();" "= sum;\n  if (c >= m.C) return;\n  gpu::sync_block();")
planted_bug(unwritten_partial reduce reduce.cu
  "partial[threadIdx.y][threadIdx.x] = sum;"
  "if (threadIdx.y > 0) partial[threadIdx.y][threadIdx.x] = sum;")
planted_bug(every_thread_writes_loss kd_loss kd_loss.cu "if (!rows.leader()) return;" "")
planted_bug(every_thread_writes_scale kd_loss_rows mean_scale.cuh
  "if (threadIdx.x == 0) *scale" "*scale" kd_loss)
# Warp functions
planted_bug(half_a_warp_reduced argmax warp.cuh "distance = kWarp / 2" "distance = kWarp / 4")
planted_bug(half_a_mask log_softmax warp.cuh
  "shuffle_xor(value[k], distance)" "shuffle_xor(value[k], distance, 0xffffu)")
planted_bug(no_warp_sync_before_write cross_entropy rows.cuh "if constexpr (kOneWarp) sync_warp();" "")
planted_bug(one_lane_returns kd_loss_mix rows.cuh
  "if (row() < args.rows) fn" "if (row() < args.rows && threadIdx.x != 5) fn")
# Bounds
planted_bug(one_partial_too_many argmax warp.cuh "w < kThreads / kWarp" "w <= kThreads / kWarp")
planted_bug(lanes_read_beyond_row log_softmax rows.cuh "z[k][j] = pack_.holds(j)" "z[k][j] = true")
planted_bug(lanes_write_beyond_row log_softmax rows.cuh "if (!pack_.holds(j)) continue;" "")
planted_bug(rows_beyond_matrix argmax argmax.cu "if (row >= args.rows) return;" "")
planted_bug(no_way_to_alignment log_softmax rows.cuh "(16 - beyond) % 16 / sizeof(T)" "0 * beyond")
planted_bug(vectors_beyond_row log_softmax rows.cuh
  "(columns_ - head_) / kLanes<T>" "(columns_ - head_ + kLanes<T> - 1) / kLanes<T>")
planted_bug(vectors_beyond_tensor elementwise pointwise.cuh "first + kLanes<T> <= n" "first < n")
planted_bug(last_element_plus_one elementwise pointwise.cuh "&& i < n; ++i" "&& i <= n; ++i")
planted_bug(misaligned_vectors elementwise pointwise.cuh "if (aligned && first" "if (first")
planted_bug(block_of_wrong_tensor adamw multi_tensor.cuh "[t + 1] <= blockIdx.x" "[t + 1] < blockIdx.x")
planted_bug(optimiser_goes_too_far sgd sgd.cu "if (i >= e.n) break;" "if (i > e.n) break;")
planted_bug(piece_beyond_tensor reduce reduce.cu
  "const std::int64_t end = begin + kPiece < in.n ? begin + kPiece : in.n;"
  "const std::int64_t end = begin + kPiece;")
planted_bug(index_not_checked gather gather.cu "0 <= n && n < rows.count" "true")
planted_bug(negative_element dropout dropout.cu "if (i >= 0 && i < n)" "if (i < n)")
planted_bug(window_beyond_image pool2d pool2d.cu "end < n ? end : n" "end")
planted_bug(window_forgotten pool2d pool2d.cu "(first + g.stride - 1) / g.stride" "first / g.stride + 1")
# What compares models with each other
planted_bug(columns_summed_too_early likelihood_loss likelihood_loss.cu
  "gpu::sync_block();\n  if (threadIdx.y != 0 || c" "if (threadIdx.y != 0 || c")
planted_bug(absent_column_reads likelihood_loss likelihood_loss.cu
  "if (present) residual" "residual")
planted_bug(rows_beyond_gram gram_compare gram_compare.cu "if (row >= args.rows) return;" "")
planted_bug(kernels_summed_too_early kernel_mmd kernel_mmd.cu
  "gpu::sync_block();\n  if (threadIdx.x >= 2)" "if (threadIdx.x >= 2)")
planted_bug(every_thread_writes_norm unit_rows unit_rows.cu "if (rows.leader()) norm" "norm")
planted_bug(terms_not_summed similarity_kl similarity_kl.cu "rows.reduce(loss, gpu::Sum{});" "")
planted_bug(maxima_overwritten balanced_labels balanced_labels.cu
  "gpu::sync_block();  // all have read the maxima" "")
planted_bug(threads_disagree_on_slope peer_target peer_target.cu
  "gpu::block_reduce<kThreads>(total, gpu::Sum{});" "gpu::warp_reduce(total, gpu::Sum{});")
planted_bug(partner_not_checked mix_images mix_images.cu
  " && 0 <= partner && partner < batch.count" "")
planted_bug(columns_read_too_early unit_columns unit_columns.cu
  "gpu::sync_block();\n  sum = 0;" "sum = 0;")
planted_bug(squares_beyond_columns unit_columns unit_columns.cu "x.column() < x.C && p < x.P" "p < x.P")
planted_bug(every_thread_writes_squares row_squares row_squares.cu "if (rows.leader()) q" "q")
planted_bug(gates_beyond_peers gated_sum gated_sum.cu "if (i < peers.count) out" "out")
planted_bug(rows_beyond_pairs pair_squares pair_squares.cu
  "if (i <= j) squares" "squares")
planted_bug(angles_summed_too_early relational_loss relational_loss.cu
  "gpu::sync_block();\n  if (threadIdx.x != 0" "if (threadIdx.x != 0")
# Bulk copies and clusters
planted_bug(copies_not_waited_for kd_loss_rows cluster_rows.cuh
  "wait_barrier(ready[s], turn / kStages % 2);" "" kd_loss_mix)
planted_bug(phase_of_another_turn kd_loss_rows cluster_rows.cuh
  "turn / kStages % 2" "0" kd_loss_mix)
planted_bug(too_few_bytes_expected kd_loss_rows cluster_rows.cuh
  "arrive_expecting(ready, kInputs * bytes)" "arrive_expecting(ready, bytes)" kd_loss_mix)
planted_bug(stage_refilled_too_early kd_loss_rows cluster_rows.cuh
  "sync_block();  // the stage has been read" "" kd_loss_mix)
planted_bug(copies_overtake_reads kd_loss_rows cluster_rows.cuh "fence_copies();" "" kd_loss_mix)
planted_bug(no_cluster_barrier kd_loss_rows warp.cuh "sync_cluster();" "" kd_loss_mix)
planted_bug(blocks_not_started kd_loss_rows cluster_rows.cuh
  "sync_cluster();  // the barriers" "sync_block();  // the barriers" kd_loss_mix)
# Memory of the wrong kind
planted_bug(host_pointer argmax argmax.cu
  "a.data<std::int32_t>(), b.data<std::int32_t>(), a.numel());"
  "std::vector<std::int32_t>(a.numel()).data(), b.data<std::int32_t>(), a.numel());")
planted_bug(temporary_gone_before_launch kd_loss_rows kd_loss.cu
  "gpu::mean_scale(counted," "gpu::mean_scale(*std::make_unique<Tensor>()," kd_loss)
planted_bug(graph_without_its_memory graph core/pool.cpp
  "heir.region != 0 || reuses_" "reuses_")
# What a library is told
planted_bug(images_in_wrong_order conv2d kernels/cudnn.cpp
  "std::array{0, 3, 1, 2}" "std::array{0, 1, 2, 3}")
planted_bug(weights_in_wrong_order conv2d kernels/cudnn.cpp "Layout::nhwc" "Layout::nchw")
planted_bug(window_moves_one_way conv2d kernels/cudnn.cpp ".stride = {stride, stride}" ".stride = {stride, 1}")
planted_bug(weight_gradient_not_added conv2d kernels/cudnn.cpp "out == Out::add ? 1.0f : 0.0f" "0.0f")
planted_bug(tf32_in_exact_math conv2d kernels/cudnn.cpp
  "dtype != DType::f32 || math_mode() == MathMode::fast" "true")
planted_bug(no_workspace conv2d kernels/cudnn.cpp "call.workspace = workspace.get();" "")
planted_bug(columns_dealt_to_long_rows joined_linear deal_columns.cuh
  "row * width + column - first]" "row * columns + column - first]")
planted_bug(columns_dealt_beyond_the_end joined_conv2d deal_columns.cuh "if (i >= n) return;" "")
# What cuBLASLt is told
planted_bug(rows_as_leading_dimension matmul kernels/cublas.cpp
  "t.dim(0), t.dim(1)}" "t.dim(0), t.dim(0)}")
planted_bug(wrong_factor_transposed matmul kernels/cublas.cpp
  "trans_b == Trans::yes" "trans_a == Trans::yes")
planted_bug(product_not_added matmul kernels/cublas.cpp "out == Out::add ? 1 : 0" "0")
planted_bug(product_tf32_in_exact_math matmul kernels/cublas.cpp
  " && math_mode() == MathMode::fast" "")
planted_bug(product_without_workspace matmul kernels/cublas.cpp "p.workspace = workspace.get();" "")
planted_bug(bias_not_told matmul kernels/cublas.cpp "p.bias = bias.raw();" "p.bias = nullptr;")
# Streams
planted_bug(branch_does_not_wait stream core/stream.cpp "fork_.wait();" "")
planted_bug(branch_is_not_waited_for stream core/stream.cpp "done_.wait();" "")
planted_bug(branch_is_done_too_early stream core/stream.cpp
  "body();\n  done_.record();" "done_.record();\n  body();")
planted_bug(branches_share_memory graph core/pool.cpp
  "stream == streams_.end() ? 0 : stream->second" "0")
