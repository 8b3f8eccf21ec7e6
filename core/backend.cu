// SPDX-License-Identifier: Apache-2.0
// The CUDA runtime behind core/backend.h: one compute stream per device, and those that are
// created. Stream, Event and Graph are CUDA's own handles under the names core uses.
#include <limbeck/core/backend.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define LIMBECK_HAS_NVTX 1
#else
#define LIMBECK_HAS_NVTX 0
#endif

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

thread_local std::map<int, cudaStream_t> selected;  // by device; none or null: its compute stream

cudaStream_t cuda(Stream* s) { return reinterpret_cast<cudaStream_t>(s); }
cudaEvent_t cuda(Event* e) { return reinterpret_cast<cudaEvent_t>(e); }
cudaGraphExec_t cuda(Graph* g) { return reinterpret_cast<cudaGraphExec_t>(g); }

/// The device's selected stream; makes the device current.
cudaStream_t enter(int device) {
  select(device);
  return stream();
}

void copy(int device, void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind) {
  const cudaStream_t s = enter(device);
  LIMBECK_CUDA_CHECK(cudaMemcpyAsync(dst, src, bytes, kind, s));
  // The host buffer may go away or be read as soon as we return.
  if (kind != cudaMemcpyDeviceToDevice) LIMBECK_CUDA_CHECK(cudaStreamSynchronize(s));
}

template <class Word>
__global__ void fill_kernel(Word* p, Word word, std::size_t count) {
  const std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) p[i] = word;
}

/// Elements whose bytes are the first of `bits`.
template <class Word>
void fill_with(void* dst, std::uint64_t bits, std::size_t count, cudaStream_t s) {
  Word word;
  std::memcpy(&word, &bits, sizeof(Word));
  constexpr unsigned kThreads = 256;
  const auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  fill_kernel<<<blocks, kThreads, 0, s>>>(static_cast<Word*>(dst), word, count);
  LIMBECK_CUDA_CHECK(cudaGetLastError());
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
  const auto found = selected.find(device);
  return found != selected.end() && found->second ? found->second : stream_of(device);
}

void allow_dynamic_shared(const void* kernel, std::size_t bytes) {
  static std::mutex mutex;
  static auto* allowed = new std::map<std::pair<int, const void*>, std::size_t>();
  int device = 0;
  LIMBECK_CUDA_CHECK(cudaGetDevice(&device));
  std::lock_guard lock(mutex);
  std::size_t& most = (*allowed)[{device, kernel}];
  if (bytes <= most) return;
  LIMBECK_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          static_cast<int>(bytes)));
  most = bytes;
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
  // Memory may be taken while this thread captures: it is not part of the graph.
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  LIMBECK_CUDA_CHECK(cudaThreadExchangeStreamCaptureMode(&mode));
  void* p = nullptr;
  const cudaError_t status = cudaMalloc(&p, bytes);
  LIMBECK_CUDA_CHECK(cudaThreadExchangeStreamCaptureMode(&mode));
  LIMBECK_CUDA_CHECK(status);
  return p;
}

void release(int device, void* p) {
  synchronize(device);
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

void fill(int device, void* dst, const void* element, std::size_t size, std::size_t count) {
  const cudaStream_t s = enter(device);
  if (count == 0) return;
  std::uint64_t bits = 0;
  std::memcpy(&bits, element, size);
  if (bits == 0)
    LIMBECK_CUDA_CHECK(cudaMemsetAsync(dst, 0, size * count, s));
  else if (size == 1)
    fill_with<std::uint8_t>(dst, bits, count, s);
  else if (size == 2)
    fill_with<std::uint16_t>(dst, bits, count, s);
  else if (size == 4)
    fill_with<std::uint32_t>(dst, bits, count, s);
  else
    fill_with<std::uint64_t>(dst, bits, count, s);
}

void synchronize(int device) {
  select(device);
  LIMBECK_CUDA_CHECK(cudaDeviceSynchronize());
}

void begin_range([[maybe_unused]] const char* name) noexcept {
#if LIMBECK_HAS_NVTX
  nvtxRangePushA(name);
#endif
}

void end_range() noexcept {
#if LIMBECK_HAS_NVTX
  nvtxRangePop();
#endif
}

Stream* create_stream(int device) {
  select(device);
  cudaStream_t s = nullptr;
  LIMBECK_CUDA_CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  return reinterpret_cast<Stream*>(s);
}

void destroy_stream(int device, Stream* stream) noexcept {
  cudaSetDevice(device);
  cudaStreamSynchronize(cuda(stream));  // an error stays, and comes out of the next call
  cudaStreamDestroy(cuda(stream));
}

Stream* selected_stream(int device) { return reinterpret_cast<Stream*>(selected[device]); }
void select_stream(int device, Stream* stream) { selected[device] = cuda(stream); }

Event* create_event(int device) {
  select(device);
  cudaEvent_t e = nullptr;
  LIMBECK_CUDA_CHECK(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
  return reinterpret_cast<Event*>(e);
}

void destroy_event(int, Event* event) noexcept { cudaEventDestroy(cuda(event)); }

void record_event(int device, Event* event) {
  LIMBECK_CUDA_CHECK(cudaEventRecord(cuda(event), enter(device)));
}

void wait_event(int device, Event* event) {
  LIMBECK_CUDA_CHECK(cudaStreamWaitEvent(enter(device), cuda(event), 0));
}

void begin_capture(int device) {
  LIMBECK_CUDA_CHECK(cudaStreamBeginCapture(enter(device), cudaStreamCaptureModeThreadLocal));
}

Graph* end_capture(int device) {
  cudaGraph_t graph = nullptr;
  LIMBECK_CUDA_CHECK(cudaStreamEndCapture(enter(device), &graph));
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiateWithFlags(&executable, graph, 0);
  cudaGraphDestroy(graph);
  LIMBECK_CUDA_CHECK(status);
  return reinterpret_cast<Graph*>(executable);
}

void abandon_capture(int device) noexcept {
  cudaGraph_t graph = nullptr;
  if (cudaStreamEndCapture(enter(device), &graph) == cudaSuccess) cudaGraphDestroy(graph);
  cudaGetLastError();  // the capture's own error is on its way already
}

void launch_graph(int device, Graph* graph) {
  LIMBECK_CUDA_CHECK(cudaGraphLaunch(cuda(graph), enter(device)));
}

void destroy_graph(int device, Graph* graph) noexcept {
  cudaSetDevice(device);
  cudaDeviceSynchronize();  // its memory goes next
  cudaGraphExecDestroy(cuda(graph));
}

}  // namespace limbeck::backend
