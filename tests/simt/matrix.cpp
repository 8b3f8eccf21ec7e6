// SPDX-License-Identifier: Apache-2.0
// ldmatrix and mma, from the fragment layouts of the PTX ISA.
#include <limbeck/tests/simt/observer.h>
#include <limbeck/tests/simt/warp.h>

namespace limbeck::simt {
namespace {

using limbeck::detail::concat;

constexpr unsigned kWholeWarp = 0xffffffffu;

struct Rows {
  std::uint32_t* pair;
  const std::uint16_t* row;
};

struct Product {
  float* c;
  const std::uint32_t *a, *b;
  float (*to_float)(std::uint16_t);
};

std::uint16_t half_of(std::uint32_t pair, int upper) {
  return static_cast<std::uint16_t>(pair >> 16 * upper);
}

/// A and B gathered from the lanes, and one element of their product.
struct Matrices {
  float a[16][16], b[16][8];

  explicit Matrices(const Lanes& lanes) {
    for (int lane = 0; lane < 32; ++lane) {
      const Product& p = *static_cast<const Product*>(lanes.argument[lane]);
      const int g = lane / 4, t = lane % 4;
      for (int upper = 0; upper < 2; ++upper) {
        for (int i = 0; i < 4; ++i)
          a[g + i % 2 * 8][2 * t + i / 2 * 8 + upper] = p.to_float(half_of(p.a[i], upper));
        for (int i = 0; i < 2; ++i)
          b[2 * t + i * 8 + upper][g] = p.to_float(half_of(p.b[i], upper));
      }
    }
  }

  float add_product(float c, int row, int column) const {
    double sum = c;
    for (int k = 0; k < 16; ++k) sum += static_cast<double>(a[row][k]) * b[k][column];
    return static_cast<float>(sum);
  }
};

}  // namespace

void load_matrices(std::uint32_t* pair, const void* row, bool transposed, const Site& site) {
  const char* name = transposed ? "load_matrices_transposed" : "load_matrices";
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0)
    fail(site, concat(name, ": ", row, " is not 16-byte aligned"));
  check_shared(name, row, 16, site);
  observe(row, 16, Access::read, __builtin_return_address(0));
  const InRuntime guard;
  Rows mine{pair, static_cast<const std::uint16_t*>(row)};
  meet(name, kWholeWarp, &mine, site, [transposed](const Lanes& lanes) {
    const auto element = [&](int matrix, int r, int column) -> std::uint32_t {
      return static_cast<const Rows*>(lanes.argument[8 * matrix + r])->row[column];
    };
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i) {
        const int g = lane / 4, t = 2 * (lane % 4);
        static_cast<Rows*>(lanes.argument[lane])->pair[i] =
            transposed ? element(i, t, g) | element(i, t + 1, g) << 16
                       : element(i, g, t) | element(i, g, t + 1) << 16;
      }
  });
}

void mma(float* c, const std::uint32_t* a, const std::uint32_t* b, float (*to_float)(std::uint16_t),
         const Site& site) {
  const InRuntime guard;
  if (compute_capability() < 80) fail(site, "mma needs compute capability 8.0");
  Product mine{c, a, b, to_float};
  meet("mma", kWholeWarp, &mine, site, [](const Lanes& lanes) {
    const Matrices matrices(lanes);
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i) {
        float& value = static_cast<const Product*>(lanes.argument[lane])->c[i];
        value = matrices.add_product(value, lane / 4 + i / 2 * 8, 2 * (lane % 4) + i % 2);
      }
  });
}

}  // namespace limbeck::simt
