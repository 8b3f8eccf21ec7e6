// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/safetensors.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include <limbeck/core/error.h>
#include <limbeck/core/file.h>

namespace limbeck {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

using Json = nlohmann::json;

constexpr std::pair<std::string_view, DType> kDTypes[] = {
    {"F32", DType::f32}, {"F64", DType::f64}, {"BF16", DType::bf16}, {"F16", DType::f16},
    {"I32", DType::i32}, {"I64", DType::i64}, {"U8", DType::u8}};

/// A tensor as the header describes it; begin and end count from the first byte after the header.
struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  std::uint64_t begin, end;
};

template <class... Parts>
[[noreturn]] void fail(const std::string& path, const Parts&... parts) {
  throw IoError(detail::concat(path, ": ", parts...));
}

/// The header's text; the data follows it.
std::string_view read_header(const std::string& path, const MappedFile& file) {
  std::uint64_t length = 0;
  if (file.size < 8)
    fail(path, "has ", file.size, " bytes; expected a safetensors file of at least 8");
  std::memcpy(&length, file.data.get(), 8);
  if (length > file.size - 8)
    fail(path, "header of ", length, " bytes in a file of ", file.size, "; expected at most ",
         file.size - 8);
  return {file.data.get() + 8, static_cast<std::size_t>(length)};
}

/// Parses strictly: nlohmann would let the last of two equal keys win.
Json parse_header(const std::string& path, std::string_view text) {
  std::vector<std::set<std::string>> keys;  // of the objects around the parser
  const auto watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second)
      fail(path, "header names '", value.get<std::string>(), "' twice; expected once");
    return true;
  };
  try {
    Json header = Json::parse(text, watch);
    if (!header.is_object()) fail(path, "header is not a JSON object");
    return header;
  } catch (const Json::exception& e) {
    fail(path, "malformed header: ", e.what());
  }
}

DType parse_file_dtype(const std::string& path, const std::string& name, const std::string& text) {
  for (const auto& [known, dtype] : kDTypes)
    if (known == text) return dtype;
  fail(path, "tensor '", name, "' has dtype ", text,
       "; expected F32, F64, BF16, F16, I32, I64 or U8");
}

Shape parse_file_shape(const Json& json) {
  std::vector<std::int64_t> dims;
  for (const Json& extent : json) {
    if (!extent.is_number_unsigned()) throw std::invalid_argument("extents must be integers >= 0");
    if (extent.get<std::uint64_t>() > INT64_MAX) throw std::invalid_argument("extent too large");
    dims.push_back(extent.get<std::int64_t>());
  }
  return Shape(std::span<const std::int64_t>(dims));
}

Entry parse_entry(const std::string& path, const std::string& name, const Json& json) {
  try {
    const Json& offsets = json.at("data_offsets");
    const Json& shape = json.at("shape");
    if (json.size() != 3 || !shape.is_array() || !offsets.is_array() || offsets.size() != 2 ||
        !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned())
      throw std::invalid_argument("expected dtype, shape and two data_offsets");
    return {name, parse_file_dtype(path, name, json.at("dtype").get<std::string>()),
            parse_file_shape(shape), offsets[0].get<std::uint64_t>(),
            offsets[1].get<std::uint64_t>()};
  } catch (const Json::exception& e) {
    fail(path, "malformed tensor '", name, "': ", e.what());
  } catch (const std::invalid_argument& e) {
    fail(path, "malformed tensor '", name, "': ", e.what());
  }
}

/// The tensors must fill the data exactly, each as large as its dtype and shape say.
void check_offsets(const std::string& path, std::vector<Entry>& entries, std::uint64_t data_size) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t at = 0;
  for (const Entry& e : entries) {
    if (e.begin > e.end || e.end > data_size)
      fail(path, "tensor '", e.name, "' has offsets [", e.begin, ",", e.end, ") in ", data_size,
           " bytes of data; expected them inside");
    if (e.begin != at)
      fail(path, "tensor '", e.name, "' starts at ", e.begin, "; expected ", at,
           e.begin < at ? " (it overlaps another)" : " (bytes of no tensor lie before it)");
    const std::uint64_t elements = static_cast<std::uint64_t>(e.shape.numel());
    if ((e.end - e.begin) % dtype_size(e.dtype) != 0 ||
        (e.end - e.begin) / dtype_size(e.dtype) != elements)
      fail(path, "tensor '", e.name, "' has ", e.end - e.begin, " bytes; expected ", e.dtype,
           e.shape, ", ", elements, " elements of ", dtype_size(e.dtype));
    at = e.end;
  }
  if (at != data_size)
    fail(path, "has ", data_size, " bytes of data, its tensors ", at, "; expected them equal");
}

/// The map itself where the file aligned the tensor, else a copy.
Tensor tensor_at(const MappedFile& file, std::size_t offset, const Entry& entry) {
  char* at = file.data.get() + offset;
  if (reinterpret_cast<std::uintptr_t>(at) % dtype_size(entry.dtype) == 0)
    return Tensor::wrap({file.data, at}, entry.shape, entry.dtype);
  Tensor copy = Tensor::empty(entry.shape, entry.dtype);
  std::memcpy(copy.raw(), at, copy.nbytes());
  return copy;
}

std::map<std::string, std::string> parse_metadata(const std::string& path, const Json& json) {
  try {
    return json.get<std::map<std::string, std::string>>();
  } catch (const Json::exception&) {
    fail(path, "malformed __metadata__; expected an object of strings");
  }
}

const char* file_dtype(DType dtype) {
  for (const auto& [name, known] : kDTypes)
    if (known == dtype) return name.data();
  throw std::invalid_argument("write_safetensors: unknown dtype");
}

/// On the CPU, widest dtype first and then by name, so that every tensor is aligned.
std::vector<std::pair<std::string, Tensor>> in_file_order(const SafetensorsFile& file) {
  std::vector<std::pair<std::string, Tensor>> sorted;
  for (const auto& [name, tensor] : file.tensors)
    sorted.emplace_back(name, tensor.to(Device::cpu()));
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    const std::size_t x = dtype_size(a.second.dtype()), y = dtype_size(b.second.dtype());
    return x != y ? x > y : a.first < b.first;
  });
  return sorted;
}

std::string header_of(const std::vector<std::pair<std::string, Tensor>>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    LIMBECK_CHECK(!header.contains(name) && name != "__metadata__",
                  "write_safetensors: tensor name '", name, "' is taken; expected unique names");
    const std::uint64_t end = at + tensor.nbytes();
    header[name] = {
        {"dtype", file_dtype(tensor.dtype())},
        {"shape", std::vector<std::int64_t>(tensor.shape().begin(), tensor.shape().end())},
        {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

SafetensorsFile read_safetensors(const std::string& path) {
  const MappedFile mapped = map_file(path);
  const std::string_view text = read_header(path, mapped);

  SafetensorsFile file;
  std::vector<Entry> entries;
  const Json header = parse_header(path, text);
  for (const auto& [name, json] : header.items()) {
    if (name == "__metadata__")
      file.metadata = parse_metadata(path, json);
    else
      entries.push_back(parse_entry(path, name, json));
  }
  check_offsets(path, entries, mapped.size - 8 - text.size());
  for (const Entry& e : entries)
    file.tensors.emplace_back(e.name, tensor_at(mapped, 8 + text.size() + e.begin, e));
  std::sort(file.tensors.begin(), file.tensors.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  return file;
}

void write_safetensors(const std::string& path, const SafetensorsFile& file) {
  const std::vector<std::pair<std::string, Tensor>> tensors = in_file_order(file);
  const std::string header = header_of(tensors, file.metadata);
  const std::uint64_t length = header.size();
  std::vector<std::string_view> parts = {{reinterpret_cast<const char*>(&length), 8}, header};
  for (const auto& [name, tensor] : tensors)
    parts.emplace_back(static_cast<const char*>(tensor.raw()), tensor.nbytes());
  write_file_atomically(path, parts);
}

}  // namespace limbeck
