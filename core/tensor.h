// SPDX-License-Identifier: Apache-2.0
// Tensor: a contiguous, row-major, reference-counted array on one device.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <limbeck/core/device.h>
#include <limbeck/core/dtype.h>
#include <limbeck/core/shape.h>

namespace limbeck {

/// A handle: copies share memory, and `const Tensor&` means "read only through this handle".
/// A default-constructed tensor is undefined: defined() is false and nothing else may be asked.
class Tensor {
 public:
  Tensor() = default;

  /// Uninitialised memory from the device's pool.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu());
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu());
  static Tensor full(const Shape& shape, double value, DType dtype = DType::f32,
                     Device device = Device::cpu());
  static Tensor empty_like(const Tensor& other);
  static Tensor zeros_like(const Tensor& other);
  /// Copies `values` (row-major). Throws std::invalid_argument when the count is not shape.numel().
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape,
                     Device device = Device::cpu()) {
    return from_bytes(values.data(), values.size(), shape, dtype_of<T>(), device);
  }
  /// CPU memory that somebody else allocated, not copied: its first element is at data.get(), which
  /// is aligned to the dtype. To keep an owner of another type alive: std::shared_ptr<void>(owner,
  /// pointer).
  static Tensor wrap(std::shared_ptr<void> data, const Shape& shape, DType dtype);

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  std::int64_t dim(int i) const { return shape_[i]; }
  std::int64_t numel() const { return shape_.numel(); }
  std::size_t nbytes() const { return static_cast<std::size_t>(numel()) * dtype_size(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }

  void* raw() { return data_; }
  const void* raw() const { return data_; }
  /// Typed pointer, to device memory if device().is_cuda(). Throws when T is not the dtype.
  template <class T>
  T* data() {
    check_dtype(dtype_of<T>());
    return static_cast<T*>(data_);
  }
  template <class T>
  const T* data() const {
    check_dtype(dtype_of<T>());
    return static_cast<const T*>(data_);
  }

  /// Views: same memory. reshape keeps the number of elements; rows takes [begin, end) of dim 0.
  Tensor reshape(const Shape& shape) const;
  Tensor rows(std::int64_t begin, std::int64_t end) const;

  Tensor clone() const;
  Tensor to(Device device) const;  ///< itself when already there, else a copy
  /// Itself when already so, else a converted copy on the same device: to a half by way of f32,
  /// each time to the nearest, ties to even.
  Tensor to(DType dtype) const;
  /// Writes all of *this from src: equal shapes and dtypes, any devices.
  void copy_from(const Tensor& src);
  void fill(double value);

  /// Elements on the host, in row-major order. Throws when T is not the dtype.
  template <class T>
  std::vector<T> to_vector() const {
    check_dtype(dtype_of<T>());
    std::vector<T> out(static_cast<std::size_t>(numel()));
    copy_to_host(out.data());
    return out;
  }
  /// The only element of a one-element tensor, as double.
  double item() const;

 private:
  static Tensor from_bytes(const void* values, std::size_t count, const Shape& shape, DType dtype,
                           Device device);
  void check_dtype(DType wanted) const;
  void copy_to_host(void* dst) const;

  std::shared_ptr<void> storage_;
  void* data_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::f32;
  Device device_;
};

}  // namespace limbeck
