// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/npy.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include <limbeck/tools/data_file.h>

namespace limbeck {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

/// What the header says of the data.
struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
};

/// Reads the header's text, a Python dictionary of three entries:
/// {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& path) : rest_(text), path_(path) {}

  Header read() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::string key = word();
      expect(':');
      if (key == "descr")
        header.descr = descr();
      else if (key == "fortran_order")
        header.fortran_order = boolean();
      else if (key == "shape")
        header.shape = tuple();
      else
        data_error(path_, "the header has an entry \"", key,
                   "\"; expected descr, fortran_order and shape");
      if (accept('}')) break;
      expect(',');
    }
    skip_space();
    if (!rest_.empty()) malformed("the end");
    return header;
  }

 private:
  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \n"), rest_.size())); }
  bool accept(char c) {
    skip_space();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) malformed(std::string{'\'', c, '\''});
  }
  [[noreturn]] void malformed(const std::string& expected) {
    data_error(path_, "malformed header at \"", rest_.substr(0, 20), "\"; expected ", expected);
  }

  std::string word() {
    skip_space();
    const char quote = rest_.empty() ? ' ' : rest_[0];
    const std::size_t end =
        quote == '\'' || quote == '"' ? rest_.find(quote, 1) : std::string_view::npos;
    if (end == std::string_view::npos) malformed("a quoted word");
    std::string text(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }

  std::string descr() {
    skip_space();
    if (rest_.starts_with('['))
      data_error(path_, "holds records of several fields; expected plain numbers");
    return word();
  }

  bool boolean() {
    skip_space();
    for (const bool value : {false, true}) {
      const std::string_view name = value ? "True" : "False";
      if (!rest_.starts_with(name)) continue;
      rest_.remove_prefix(name.size());
      return value;
    }
    malformed("True or False");
  }

  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> extents;
    expect('(');
    while (!accept(')')) {
      extents.push_back(integer());
      if (accept(')')) break;
      expect(',');
    }
    return extents;
  }

  std::int64_t integer() {
    skip_space();
    std::int64_t value = 0;
    std::size_t digits = 0;
    for (; digits < rest_.size() && '0' <= rest_[digits] && rest_[digits] <= '9'; ++digits)
      if (digits < 18) value = 10 * value + (rest_[digits] - '0');
    if (digits < 1 || digits > 18) malformed("an extent of 1 to 18 digits");
    rest_.remove_prefix(digits);
    return value;
  }

  std::string_view rest_;
  const std::string& path_;
};

DType dtype_of_descr(const std::string& descr, const std::string& path) {
  if (descr.size() == 3 && descr[0] == '>')
    data_error(path, "holds ", descr, ", big-endian; expected little-endian");
  const std::pair<const char*, DType> known[] = {
      {"|u1", DType::u8},  {"<u1", DType::u8},  {"<i4", DType::i32}, {"<i8", DType::i64},
      {"<f2", DType::f16}, {"<f4", DType::f32}, {"<f8", DType::f64}};
  for (const auto& [name, dtype] : known)
    if (descr == name) return dtype;
  data_error(path, "holds ", descr, "; expected |u1, <i4, <i8, <f2, <f4 or <f8");
}

Shape shape_of(const std::vector<std::int64_t>& extents, const std::string& path) {
  if (extents.size() > kMaxDims)
    data_error(path, "has ", extents.size(), " dimensions; expected at most ", kMaxDims);
  std::int64_t elements = 8;  // bytes of the widest element, so that bytes fit as well
  for (const std::int64_t extent : extents)
    if (__builtin_mul_overflow(elements, std::max<std::int64_t>(extent, 1), &elements))
      data_error(path, "the header promises over 2^63 bytes");
  return Shape({extents.data(), extents.size()});
}

/// Bytes of `bytes` before the header's text, and that text.
struct Preamble {
  std::size_t start;
  std::string_view text;
};

Preamble read_preamble(std::string_view bytes, const std::string& path) {
  if (!bytes.starts_with(kMagic)) data_error(path, "is no .npy file");
  const auto byte = [&](std::size_t i) {
    return i < bytes.size() ? static_cast<std::uint8_t>(bytes[i]) : 0u;
  };
  const unsigned version = byte(6);
  if (version < 1 || version > 3) data_error(path, ".npy version ", version, "; expected 1 to 3");
  const std::size_t start = version == 1 ? 10 : 12;
  const std::size_t length =
      byte(8) | byte(9) << 8 | (version == 1 ? 0 : byte(10) << 16 | byte(11) << 24);
  if (bytes.size() < start + length)
    data_error(path, "truncated: ", bytes.size(), " bytes; expected a header of ", start + length);
  return {start, bytes.substr(start, length)};
}

}  // namespace

Tensor read_npy(const std::string& path) {
  const std::string bytes = read_data_file(path);
  const Preamble preamble = read_preamble(bytes, path);
  const Header header = HeaderReader(preamble.text, path).read();
  if (!header.descr || !header.fortran_order || !header.shape)
    data_error(path, "the header has no ",
               !header.descr           ? "descr"
               : !header.fortran_order ? "fortran_order"
                                       : "shape");
  const DType dtype = dtype_of_descr(*header.descr, path);
  const Shape shape = shape_of(*header.shape, path);
  if (*header.fortran_order && shape.rank() > 1)
    data_error(path, "is in Fortran order; expected C order (numpy.ascontiguousarray)");
  const auto need = static_cast<std::size_t>(shape.numel()) * dtype_size(dtype);
  const std::size_t data = preamble.start + preamble.text.size(), have = bytes.size() - data;
  if (have < need)
    data_error(path, "truncated: the header promises ", need, " bytes, ", have, " follow");
  if (have > need) data_error(path, have - need, " bytes after the end of the data");
  Tensor array = Tensor::empty(shape, dtype);
  if (need > 0) std::memcpy(array.raw(), bytes.data() + data, need);
  return array;
}

}  // namespace limbeck
