// SPDX-License-Identifier: Apache-2.0
// Internal, race build: from a code address to the kernel's source line.
#pragma once

#include <string>

namespace limbeck::simt {

/// `relu.cu:12`, the innermost inlined frame outside the emulation, or the address when unknown.
/// `pc` is a return address.
std::string source_line(const void* pc);

/// Whether p lies in the program's own image, where literals and tables are.
bool is_constant(const void* p);

}  // namespace limbeck::simt
