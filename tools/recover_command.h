// SPDX-License-Identifier: Apache-2.0
// limbeck recover: the measurements that sparse recovery takes.
#pragma once

#include <ostream>
#include <string>

#include <limbeck/tools/machine.h>
#include <limbeck/tools/recovery_curve.h>

namespace limbeck {

struct RecoverArguments {
  RecoveryTrials trials;
  std::string matrix = "gaussian";  ///< a measurement_name
  std::string method = "omp";       ///< or fista
  std::vector<std::int64_t> sparsity = {4, 12, 20};
  std::vector<std::int64_t> measurements;  ///< empty: as many as it takes (tools/recovery_curve.h)
  std::string json;                        ///< file; empty: none
  MachineOptions machine;
};

/// Prints the percentage recovered for every number of measurements, and for every sparsity s the
/// number that recovers 99 %, as a multiple of s ln D and beside the asymptotic laws: 4 s ln D
/// (Tropp and Gilbert 2007) and 2 s ln(D - s) (Fletcher and Rangan 2009), as the latter's abstract
/// states both. The counts that Tropp and Gilbert tabulate are not among them: print no number that
/// was not checked against its source.
void recover_command(const RecoverArguments& arguments, std::ostream& out);

}  // namespace limbeck
