// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/onednn.h>

#include <omp.h>

#include <map>
#include <mutex>

#include <limbeck/core/pool.h>
#include <limbeck/kernels/onednn_primitive.h>

namespace limbeck::onednn {
namespace {

// OpenMP's thread count belongs to the thread that sets it, and to the embedding program.
class OneThread {
 public:
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = omp_get_max_threads();
};

}  // namespace

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::primitive_attr attributes(bool add, bool relu) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops ops;
  if (add) ops.append_sum(1.0f);
#if DNNL_VERSION_MAJOR >= 3
  if (relu) ops.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
#else
  if (relu) ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0, 0);
#endif
  attr.set_post_ops(ops);
  return attr;
}

std::shared_ptr<const Operation> cached(const Key& key,
                                        const std::function<std::shared_ptr<Operation>()>& make) {
  static std::mutex mutex;
  static std::map<Key, std::shared_ptr<const Operation>> operations;
  std::lock_guard lock(mutex);
  const auto found = operations.find(key);
  if (found != operations.end()) return found->second;
  if (operations.size() >= 1024) operations.clear();  // batches of ever new sizes
  const OneThread one_thread;
  return operations[key] = make();
}

void execute(const dnnl::primitive& primitive, const Arguments& arguments) {
  const OneThread one_thread;
  static thread_local dnnl::stream stream(engine());
  primitive.execute(stream, arguments);
  stream.wait();
}

void run(const Operation& operation, Arguments arguments) {
  const auto scratch = pool_allocate(Device::cpu(), operation.scratchpad.get_size());
  arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(operation.scratchpad, scratch.get()));
  execute(operation.primitive, arguments);
}

bool available() { return true; }

}  // namespace limbeck::onednn
