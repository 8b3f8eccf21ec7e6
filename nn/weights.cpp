// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/weights.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>

#include <limbeck/core/cast.h>

namespace limbeck {
namespace {

/// Parameters, then buffers as parameters of plain layout: all that a file holds.
std::vector<NamedParameter> stored(Module& module) {
  std::vector<NamedParameter> list = module.parameters();
  for (const NamedBuffer& b : module.buffers()) list.push_back({b.name, Variable(b.value)});
  return list;
}

/// A weight as `outer` blocks of (cells, channels) in memory and (channels, cells) in files.
struct Blocks {
  std::int64_t outer, cells, channels;
};

Blocks blocks_of(const NamedParameter& p) {
  const Shape& s = p.value.shape();
  switch (p.layout) {
    case Layout::plain:
      return {1, s.numel(), 1};
    case Layout::conv_ohwi:
      return {s[0], s[1] * s[2], s[3]};
    case Layout::linear_hwc:
      return {s[0], p.image[0] * p.image[1], p.image[2]};
  }
  throw std::invalid_argument("weights: unknown layout");
}

Shape file_shape(const NamedParameter& p) {
  const Shape& s = p.value.shape();
  return p.layout == Layout::conv_ohwi ? Shape{s[0], s[3], s[1], s[2]} : s;
}

/// The extents that are not 1: ViT's class token is (1,1,D) in files and (D) here.
std::vector<std::int64_t> wide_extents(const Shape& shape) {
  std::vector<std::int64_t> wide;
  std::copy_if(shape.begin(), shape.end(), std::back_inserter(wide),
               [](std::int64_t extent) { return extent != 1; });
  return wide;
}

/// dst_ji = src_ij in each of `outer` matrices (rows, cols); CPU.
Tensor transposed_blocks(const Tensor& src, const Shape& shape, std::int64_t outer,
                         std::int64_t rows, std::int64_t cols) {
  Tensor dst = Tensor::empty(shape, src.dtype());
  visit_dtype(src.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = src.data<T>();
    T* to = dst.data<T>();
    for (std::int64_t block = 0; block < outer; ++block, from += rows * cols, to += rows * cols)
      for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t j = 0; j < cols; ++j) to[j * rows + i] = from[i * cols + j];
  });
  return dst;
}

Tensor to_file_layout(const NamedParameter& p) {
  const Blocks b = blocks_of(p);
  return transposed_blocks(p.value.value().to(Device::cpu()), file_shape(p), b.outer, b.cells,
                           b.channels);
}

Tensor from_file_layout(const NamedParameter& p, const Tensor& stored) {
  const Blocks b = blocks_of(p);
  return transposed_blocks(stored, p.value.shape(), b.outer, b.channels, b.cells);
}

/// The first finite element that is infinite in `dtype`.
std::optional<double> first_too_large(const Tensor& t, DType dtype) {
  std::optional<double> found;
  if (t.dtype() == dtype) return found;
  const Tensor host = t.to(Device::cpu());
  visit_floating(host.dtype(), [&](auto src_tag) {
    visit_floating(dtype, [&](auto dst_tag) {
      using Dst = typename decltype(dst_tag)::type;
      const auto* x = host.data<typename decltype(src_tag)::type>();
      for (std::int64_t i = 0; i < host.numel() && !found; ++i) {
        const auto value = convert<double>(x[i]);
        if (std::isfinite(value) && !std::isfinite(convert<double>(convert<Dst>(x[i]))))
          found = value;
      }
    });
  });
  return found;
}

/// Why a stored tensor cannot fill a parameter; empty when it can.
std::string misfit(const NamedParameter& p, const Tensor& stored) {
  if (wide_extents(stored.shape()) != wide_extents(file_shape(p)))
    return detail::concat("; '", p.name, "' has shape ", stored.shape(), " in the file, ",
                          file_shape(p), " in the model");
  const DType dtype = p.value.value().dtype();
  if (!is_floating(dtype) && stored.dtype() != dtype)
    return detail::concat("; '", p.name, "' has dtype ", stored.dtype(), " in the file; expected ",
                          dtype);
  if (is_floating(dtype) && !is_floating(stored.dtype()))
    return detail::concat("; '", p.name, "' has dtype ", stored.dtype(),
                          " in the file; expected a floating dtype");
  if (const auto value = first_too_large(stored, dtype))
    return detail::concat("; '", p.name, "' holds ", *value, ", which is infinite in ", dtype);
  return "";
}

/// Whether it is PyTorch's count of a batch norm's batches, which not all files have.
bool is_counter(const std::string& name) { return name.ends_with("num_batches_tracked"); }

/// What keeps the file from filling the model, and what one has that the other has not.
struct Differences {
  std::string misfits, unmatched;
};

Differences differences(const std::vector<NamedParameter>& parameters,
                        const std::map<std::string, Tensor>& found) {
  Differences text;
  std::map<std::string, Tensor> unexpected = found;
  for (const NamedParameter& p : parameters) {
    const auto at = found.find(p.name);
    unexpected.erase(p.name);
    if (at != found.end())
      text.misfits += misfit(p, at->second);
    else if (!is_counter(p.name))
      text.unmatched += detail::concat("; missing '", p.name, "' ", file_shape(p));
  }
  for (const auto& [name, tensor] : unexpected)
    if (!is_counter(name))
      text.unmatched += detail::concat("; unexpected '", name, "' ", tensor.shape());
  return text;
}

}  // namespace

SafetensorsFile export_weights(Module& module, std::map<std::string, std::string> metadata) {
  SafetensorsFile file{{}, std::move(metadata)};
  for (const NamedParameter& p : stored(module))
    file.tensors.emplace_back(p.name, to_file_layout(p));
  return file;
}

SafetensorsFile export_gradients(Module& module) {
  SafetensorsFile file;
  for (NamedParameter& p : module.parameters()) {
    const Tensor gradient = p.value.grad();
    if (!gradient.defined()) continue;
    p.value = Variable(gradient);
    file.tensors.emplace_back(p.name, to_file_layout(p));
  }
  return file;
}

std::string import_weights(Module& module, const SafetensorsFile& file, Match match) {
  std::vector<NamedParameter> parameters = stored(module);
  const std::map<std::string, Tensor> found(file.tensors.begin(), file.tensors.end());
  const auto [misfits, unmatched] = differences(parameters, found);
  const std::string wrong = misfits + (match == Match::strict ? unmatched : "");
  LIMBECK_CHECK(wrong.empty(), "weights do not fit the model", wrong);
  const bool any = std::any_of(parameters.begin(), parameters.end(),
                               [&](const NamedParameter& p) { return found.contains(p.name); });
  LIMBECK_CHECK(any || parameters.empty(), "weights do not fit the model: not one tensor does",
                unmatched);
  for (NamedParameter& p : parameters) {
    const auto at = found.find(p.name);
    if (at == found.end()) continue;
    Tensor& value = p.value.value();
    const Tensor host = from_file_layout(p, at->second.to(Device::cpu()));
    value.copy_from(host.to(value.dtype()).to(value.device()));
  }
  return unmatched.empty() ? "" : unmatched.substr(2);
}

void save_weights(Module& module, const std::string& path,
                  std::map<std::string, std::string> metadata) {
  write_safetensors(path, export_weights(module, std::move(metadata)));
}

std::string load_weights(Module& module, const std::string& path, const LoadOptions& options) {
  const SafetensorsFile file = read_weight_files(path);
  try {
    return import_weights(module, rename_weights(file, options.names), options.match);
  } catch (const std::invalid_argument& e) {
    throw IoError(path + ": " + e.what());
  }
}

}  // namespace limbeck
