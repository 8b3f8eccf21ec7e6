// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/image.h>

#include <algorithm>
#include <cmath>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

constexpr std::int64_t kChannels = 3;

/// The places of a line that one new place is a mean of.
struct Taps {
  std::int64_t first = 0;
  std::vector<float> weights;
};

/// n new places, each `step` old ones wide, in the middle of a line of `length`.
std::vector<Taps> taps_of(std::int64_t length, std::int64_t n, double step) {
  const double start = (static_cast<double>(length) - static_cast<double>(n) * step) / 2;
  const double reach = std::max(step, 1.0);
  std::vector<Taps> taps(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    const double centre = start + (static_cast<double>(i) + 0.5) * step - 0.5;
    const auto first =
        std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(centre - reach)));
    const auto last =
        std::min<std::int64_t>(length - 1, static_cast<std::int64_t>(std::floor(centre + reach)));
    Taps& tap = taps[static_cast<std::size_t>(i)];
    tap.first = first;
    double sum = 0;
    for (std::int64_t j = first; j <= last; ++j)
      sum += 1 - std::abs(static_cast<double>(j) - centre) / reach;
    for (std::int64_t j = first; j <= last; ++j)
      tap.weights.push_back(
          static_cast<float>((1 - std::abs(static_cast<double>(j) - centre) / reach) / sum));
  }
  return taps;
}

/// Rows of `image` at the new width: (height, width, 3).
std::vector<float> shrink_rows(const Image& image, const std::vector<Taps>& columns) {
  const auto width = static_cast<std::int64_t>(columns.size());
  std::vector<float> rows(static_cast<std::size_t>(image.height * width * kChannels));
  float* out = rows.data();
  for (std::int64_t h = 0; h < image.height; ++h) {
    const std::uint8_t* row = image.pixels.data() + h * image.width * kChannels;
    for (const Taps& tap : columns)
      for (std::int64_t c = 0; c < kChannels; ++c) {
        const std::uint8_t* pixel = row + tap.first * kChannels + c;
        float sum = 0;
        for (const float weight : tap.weights) {
          sum += weight * static_cast<float>(*pixel);
          pixel += kChannels;
        }
        *out++ = sum;
      }
  }
  return rows;
}

/// One new row: the mean of `rows`, each of `size` floats, rounded.
void mean_of_rows(std::uint8_t* out, const float* rows, std::int64_t size, const Taps& tap,
                  std::vector<float>& sum) {
  std::fill(sum.begin(), sum.end(), 0.0f);
  const float* row = rows + tap.first * size;
  for (const float weight : tap.weights) {
    for (std::int64_t j = 0; j < size; ++j) sum[static_cast<std::size_t>(j)] += weight * row[j];
    row += size;
  }
  for (std::int64_t j = 0; j < size; ++j)
    out[j] = static_cast<std::uint8_t>(std::clamp(sum[static_cast<std::size_t>(j)], 0.0f, 255.0f) +
                                       0.5f);
}

}  // namespace

Image resized(const Image& image, ImageSize size) {
  LIMBECK_CHECK(size.height >= 1 && size.width >= 1 && image.height >= 1 && image.width >= 1,
                "resized: ", image.height, "x", image.width, " to ", size.height, "x", size.width,
                "; expected extents of at least 1");
  if (size == ImageSize{image.height, image.width}) return image;
  const double step = std::min(static_cast<double>(image.height) / static_cast<double>(size.height),
                               static_cast<double>(image.width) / static_cast<double>(size.width));
  const std::vector<float> rows = shrink_rows(image, taps_of(image.width, size.width, step));
  const std::int64_t row = size.width * kChannels;
  Image small = {size.height, size.width, {}};
  small.pixels.resize(static_cast<std::size_t>(size.height * row));
  std::vector<float> sum(static_cast<std::size_t>(row));
  std::uint8_t* out = small.pixels.data();
  for (const Taps& tap : taps_of(image.height, size.height, step)) {
    mean_of_rows(out, rows.data(), row, tap, sum);
    out += row;
  }
  return small;
}

std::vector<std::uint8_t> to_grey(const Image& image) {
  std::vector<std::uint8_t> grey(image.pixels.size() / kChannels);
  const std::uint8_t* p = image.pixels.data();
  for (std::uint8_t& value : grey) {
    value = static_cast<std::uint8_t>((299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000);
    p += kChannels;
  }
  return grey;
}

}  // namespace limbeck
