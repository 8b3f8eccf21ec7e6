// SPDX-License-Identifier: Apache-2.0
// Internal: the elements of a tensor that may be undefined.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

template <class T>
const T* data_or_null(const Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}
template <class T>
T* data_or_null(Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}

}  // namespace limbeck
