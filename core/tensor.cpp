// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/tensor.h>

#include <cstring>

#include <limbeck/core/backend.h>
#include <limbeck/core/cast.h>
#include <limbeck/core/device_work.h>
#include <limbeck/core/dispatch.h>
#include <limbeck/core/pool.h>

namespace limbeck {
namespace {

void copy_bytes(Device dst_device, void* dst, Device src_device, const void* src, std::size_t n) {
  if (n == 0) return;
  if (dst_device.is_cuda() || src_device.is_cuda()) {
    detail::count_queued();
    if (dst_device.is_cuda() != src_device.is_cuda()) detail::count_wait();
  }
  if (dst_device.is_cuda() && src_device.is_cuda()) {
    LIMBECK_CHECK(dst_device == src_device, "copy: from ", src_device, " to ", dst_device,
                  "; expected one GPU");
    backend::copy_on_device(dst_device.index(), dst, src, n);
  } else if (dst_device.is_cuda()) {
    backend::copy_to_device(dst_device.index(), dst, src, n);
  } else if (src_device.is_cuda()) {
    backend::copy_to_host(src_device.index(), dst, src, n);
  } else {
    std::memmove(dst, src, n);
  }
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.device_ = device;
  t.storage_ = pool_allocate(device, t.nbytes());
  t.data_ = t.storage_.get();
  return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  return full(shape, 0, dtype, device);
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  t.fill(value);
  return t;
}

Tensor Tensor::empty_like(const Tensor& other) {
  return empty(other.shape(), other.dtype(), other.device());
}

Tensor Tensor::zeros_like(const Tensor& other) {
  return zeros(other.shape(), other.dtype(), other.device());
}

Tensor Tensor::wrap(std::shared_ptr<void> data, const Shape& shape, DType dtype) {
  LIMBECK_CHECK(data && reinterpret_cast<std::uintptr_t>(data.get()) % dtype_size(dtype) == 0,
                "wrap: data at ", data.get(), "; expected memory aligned to ", dtype_size(dtype),
                " bytes");
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.data_ = data.get();
  t.storage_ = std::move(data);
  return t;
}

Tensor Tensor::reshape(const Shape& shape) const {
  LIMBECK_CHECK(shape.numel() == numel(), "reshape: to ", shape, " from ", shape_,
                "; expected the same number of elements");
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end) const {
  LIMBECK_CHECK(rank() >= 1, "rows: the tensor has rank 0; expected rank >= 1");
  LIMBECK_CHECK(0 <= begin && begin <= end && end <= dim(0), "rows: [", begin, ",", end, ") of ",
                shape_, "; expected 0 <= begin <= end <= ", dim(0));
  std::array<std::int64_t, kMaxDims> dims{};
  std::copy(shape_.begin(), shape_.end(), dims.begin());
  const std::int64_t row_elements = dim(0) == 0 ? 0 : numel() / dim(0);
  dims[0] = end - begin;
  Tensor t = *this;
  t.shape_ = Shape(std::span<const std::int64_t>(dims.data(), static_cast<std::size_t>(rank())));
  t.data_ = static_cast<char*>(data_) +
            static_cast<std::size_t>(begin * row_elements) * dtype_size(dtype_);
  return t;
}

Tensor Tensor::clone() const {
  Tensor t = empty_like(*this);
  t.copy_from(*this);
  return t;
}

Tensor Tensor::to(Device device) const {
  if (device == device_) return *this;
  Tensor t = empty(shape_, dtype_, device);
  t.copy_from(*this);
  return t;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor t = empty(shape_, dtype, device_);
  LIMBECK_DISPATCH(device_, cast(t, *this));
  return t;
}

void Tensor::copy_from(const Tensor& src) {
  LIMBECK_CHECK(src.shape_ == shape_ && src.dtype_ == dtype_, "copy_from: source is ", src.dtype_,
                src.shape_, ", destination ", dtype_, shape_, "; expected equal shapes and dtypes");
  copy_bytes(device_, data_, src.device_, src.data_, nbytes());
}

void Tensor::fill(double value) {
  visit_dtype(dtype_, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T element = convert<T>(value);
    if (!device_.is_cuda()) {
      std::fill_n(data<T>(), numel(), element);
      return;
    }
    detail::count_queued();
    backend::fill(device_.index(), data_, &element, sizeof(T), static_cast<std::size_t>(numel()));
  });
}

double Tensor::item() const {
  LIMBECK_CHECK(numel() == 1, "item: shape ", shape_, "; expected one element");
  return visit_dtype(dtype_, [&](auto tag) {
    typename decltype(tag)::type x{};
    copy_to_host(&x);
    return convert<double>(x);
  });
}

Tensor Tensor::from_bytes(const void* values, std::size_t count, const Shape& shape, DType dtype,
                          Device device) {
  LIMBECK_CHECK(static_cast<std::int64_t>(count) == shape.numel(), "Tensor::from: ", count,
                " values for shape ", shape, "; expected ", shape.numel());
  Tensor t = empty(shape, dtype, device);
  copy_bytes(device, t.data_, Device::cpu(), values, t.nbytes());
  return t;
}

void Tensor::check_dtype(DType wanted) const {
  LIMBECK_CHECK(dtype_ == wanted, "Tensor: dtype is ", dtype_, "; expected ", wanted);
}

void Tensor::copy_to_host(void* dst) const {
  copy_bytes(Device::cpu(), dst, device_, data_, nbytes());
}

}  // namespace limbeck
