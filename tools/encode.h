// SPDX-License-Identifier: Apache-2.0
// limbeck encode: an arm's teacher run once over the training data, and what the arm needs of it in
// a file.
#pragma once

#include <ostream>
#include <string>

#include <limbeck/tools/run_command.h>

namespace limbeck {

struct EncodeArguments {
  RunArguments run;  ///< run.out is the file to write
  std::string arm;
  std::string weights;     ///< of the arm's source; empty: those the run file names
  std::int64_t top_k = 0;  ///< logits kept of each sample; 0: as many as the arm says, or all
  std::string dtype = "f32";
};

/// Writes the knowledge cache (tools/knowledge_cache.h) and prints what a sample takes in it beside
/// the source's layers and logits as they are. With whole logits in f32, training from it ends in
/// the same bits as with the source (tools/arm_plan.h computes both). Throws std::invalid_argument
/// for an arm whose data is augmented, as a cache has one view of each sample, or that
/// check_storable refuses; for several seeds where there are codes, whose matrices are of one;
/// without weights.
void encode_command(const EncodeArguments& arguments, std::ostream& out);

}  // namespace limbeck
