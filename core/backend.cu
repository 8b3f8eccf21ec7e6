// SPDX-License-Identifier: Apache-2.0
// The CUDA runtime behind core/backend.h: one compute stream per device.
#include <limbeck/core/backend.h>

#include <map>
#include <mutex>

#include <limbeck/core/cuda_check.h>

namespace limbeck::backend {
namespace {

cudaStream_t stream_of(int device) {
  static std::mutex mutex;
  static auto* streams = new std::map<int, cudaStream_t>();
  std::lock_guard lock(mutex);
  cudaStream_t& s = (*streams)[device];
  if (s == nullptr) LIMBECK_CUDA_CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  return s;
}

cudaStream_t selected_stream(int device) {
  select(device);
  return stream_of(device);
}

void copy(int device, void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind) {
  const cudaStream_t s = selected_stream(device);
  LIMBECK_CUDA_CHECK(cudaMemcpyAsync(dst, src, bytes, kind, s));
  // The host buffer may go away or be read as soon as we return.
  if (kind != cudaMemcpyDeviceToDevice) LIMBECK_CUDA_CHECK(cudaStreamSynchronize(s));
}

}  // namespace

void throw_cuda_error(cudaError_t status, const char* statement, const char* file, int line) {
  cudaGetLastError();  // clear it, so that the next call is not blamed
  throw CudaError(limbeck::detail::concat("CUDA: ", cudaGetErrorName(status), " (",
                                          cudaGetErrorString(status), ") in ", statement, " at ",
                                          file, ":", line));
}

cudaStream_t stream() {
  int device = 0;
  LIMBECK_CUDA_CHECK(cudaGetDevice(&device));
  return stream_of(device);
}

int device_count() {
  int n = 0;
  if (cudaGetDeviceCount(&n) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return n;
}

bool reuses_memory() { return true; }

std::string device_name(int device) {
  cudaDeviceProp properties{};
  LIMBECK_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  return properties.name;
}

void select(int device) { LIMBECK_CUDA_CHECK(cudaSetDevice(device)); }

void* allocate(int device, std::size_t bytes) {
  select(device);
  void* p = nullptr;
  LIMBECK_CUDA_CHECK(cudaMalloc(&p, bytes));
  return p;
}

void release(int device, void* p) {
  LIMBECK_CUDA_CHECK(cudaStreamSynchronize(selected_stream(device)));
  LIMBECK_CUDA_CHECK(cudaFree(p));
}

void copy_to_device(int device, void* dst, const void* src, std::size_t bytes) {
  copy(device, dst, src, bytes, cudaMemcpyHostToDevice);
}

void copy_to_host(int device, void* dst, const void* src, std::size_t bytes) {
  copy(device, dst, src, bytes, cudaMemcpyDeviceToHost);
}

void copy_on_device(int device, void* dst, const void* src, std::size_t bytes) {
  copy(device, dst, src, bytes, cudaMemcpyDeviceToDevice);
}

void set_bytes(int device, void* dst, int value, std::size_t bytes) {
  LIMBECK_CUDA_CHECK(cudaMemsetAsync(dst, value, bytes, selected_stream(device)));
}

void synchronize(int device) { LIMBECK_CUDA_CHECK(cudaStreamSynchronize(selected_stream(device))); }

}  // namespace limbeck::backend
