// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/mix_images.h>

#include <algorithm>
#include <vector>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>

namespace limbeck {
namespace {

void check_partners(const char* op, const Tensor& partners) {
  LIMBECK_CHECK(partners.defined() && partners.dtype() == DType::i32 && partners.rank() == 1, op,
                ": partners are ", partners.dtype(), partners.shape(), "; expected i32(B)");
}

void check_window(const ImageMixture& m, const Shape& x) {
  LIMBECK_CHECK(0 <= m.weight && m.weight <= 1, "mix_images: weight is ", m.weight,
                "; expected 0 to 1");
  LIMBECK_CHECK(0 <= m.top && m.top <= m.bottom && m.bottom <= x[1] && 0 <= m.left &&
                    m.left <= m.right && m.right <= x[2],
                "mix_images: the window is rows ", m.top, " to ", m.bottom, ", columns ", m.left,
                " to ", m.right, " of images ", x, "; expected it to be inside");
}

}  // namespace

void mix_images(Tensor& y, const Tensor& x, const Tensor& partners, const ImageMixture& mixture) {
  check_partners("mix_images", partners);
  LIMBECK_CHECK(x.rank() == 4 && is_floating(x.dtype()) && y.shape() == x.shape() &&
                    y.dtype() == x.dtype() && partners.dim(0) == x.dim(0),
                "mix_images: x is ", x.dtype(), x.shape(), ", y ", y.dtype(), y.shape(),
                ", partners ", partners.shape(),
                "; expected x and y (B,H,W,C) of one floating dtype, partners (B)");
  LIMBECK_CHECK(y.device() == x.device() && partners.device() == x.device(), "mix_images: y is on ",
                y.device(), ", x on ", x.device(), ", partners on ", partners.device(),
                "; expected one device");
  check_window(mixture, x.shape());
  LIMBECK_DISPATCH(x.device(), mix_images(y, x, partners, mixture));
}

void random_partners(Tensor& partners, const RngStream& stream) {
  check_partners("random_partners", partners);
  LIMBECK_DISPATCH(partners.device(), random_partners(partners, stream));
}

namespace cpu {
namespace {

constexpr std::int64_t kPiece = 32768;  // elements per task

template <class T, class F>
[[gnu::always_inline]] inline void mix_row(T* y, const T* x, const T* other, std::int64_t count,
                                           F weight, F rest) {
#pragma omp simd
  for (std::int64_t j = 0; j < count; ++j)
    y[j] = T(weight * static_cast<F>(x[j]) + rest * static_cast<F>(other[j]));
}

}  // namespace

void mix_images(Tensor& y, const Tensor& x, const Tensor& partners, const ImageMixture& m) {
  const std::int32_t* partner = partners.data<std::int32_t>();
  const std::int64_t B = x.dim(0), H = x.dim(1), row = x.dim(2) * x.dim(3);
  for (std::int64_t b = 0; b < B; ++b)
    LIMBECK_CHECK(0 <= partner[b] && partner[b] < B, "mix_images: partner ", partner[b],
                  " at position ", b, "; expected 0 <= partner < ", B);
  const std::int64_t left = m.left * x.dim(3), right = m.right * x.dim(3);
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const F weight = static_cast<F>(m.weight), rest = static_cast<F>(1 - m.weight);
    const T* from = x.data<T>();
    T* to = y.data<T>();
    const std::int64_t grain = std::max<std::int64_t>(1, kPiece / std::max<std::int64_t>(1, row));
    parallel_ranges(B * H, grain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t line = begin; line < end; ++line) {
        const std::int64_t b = line / H, h = line - b * H;
        const T* own = from + line * row;
        T* target = to + line * row;
        const bool inside = m.top <= h && h < m.bottom;
        const std::int64_t first = inside ? left : row, last = inside ? right : row;
        const T* other = from + (partner[b] * H + h) * row;
        std::copy_n(own, first, target);
        simd([=](auto) {
          mix_row(target + first, own + first, other + first, last - first, weight, rest);
        });
        std::copy_n(own + last, row - last, target + last);
      }
    });
  });
}

void random_partners(Tensor& partners, const RngStream& numbers) {
  const RngStream stream = numbers.resolved();
  struct Word {
    std::uint32_t value;
    std::int32_t place;
    bool operator<(const Word& other) const {
      return value != other.value ? value < other.value : place < other.place;
    }
  };
  std::vector<Word> words(static_cast<std::size_t>(partners.numel()));
  for (std::size_t i = 0; i < words.size(); ++i)
    words[i] = {philox_word(stream, i), static_cast<std::int32_t>(i)};
  std::sort(words.begin(), words.end());
  std::transform(words.begin(), words.end(), partners.data<std::int32_t>(),
                 [](const Word& word) { return word.place; });
}

}  // namespace cpu
}  // namespace limbeck
