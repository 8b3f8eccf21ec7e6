// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/synthetic_digits.h>

#include <algorithm>
#include <cmath>

#include <limbeck/core/error.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/philox.h>
#include <limbeck/tools/digit_skeletons.h>

namespace limbeck {
namespace {

constexpr int kSide = 28;
using Plane = std::array<float, kSide * kSide>;

std::size_t pixel(int x, int y) {
  return static_cast<std::size_t>(y) * kSide + static_cast<std::size_t>(x);
}

/// The random numbers of one sample, in the order they are asked for.
class Draws {
 public:
  Draws(std::uint64_t seed, std::uint32_t sample) : stream_{seed, 0, sample, RngPurpose::data} {}
  std::uint32_t word() {
    if (at_ % 4 == 0) block_ = philox_block(stream_, at_ / 4);
    const std::uint32_t words[] = {block_.x, block_.y, block_.z, block_.w};
    return words[at_++ % 4];
  }
  int below(int n) {
    return static_cast<int>(std::uint64_t{word()} * static_cast<unsigned>(n) >> 32);
  }
  float uniform(float low, float high) { return low + (high - low) * uniform_from_word(word()); }
  /// Nearly normal, mean 0 and deviation 1: the sum of a word's four bytes.
  float normal() {
    const std::uint32_t w = word();
    const std::uint32_t sum = (w & 255u) + (w >> 8 & 255u) + (w >> 16 & 255u) + (w >> 24);
    return (static_cast<float>(sum) - 510.0f) * (1.0f / 147.8f);
  }

 private:
  RngStream stream_;
  std::uint32_t at_ = 0;
  Philox4 block_{};
};

/// x' = centre + rotation shear scale (x - 1/2), then a smooth wobble.
class Warp {
 public:
  explicit Warp(Draws& draws) {
    const float t = draws.uniform(-0.15f, 0.15f);  // tan of half the angle: up to 17 degrees
    const float cosine = (1 - t * t) / (1 + t * t), sine = 2 * t / (1 + t * t);
    const float width = draws.uniform(12.0f, 18.0f), height = draws.uniform(16.0f, 21.0f);
    const float shear = draws.uniform(-0.35f, 0.35f);
    xx_ = cosine * width, xy_ = (cosine * shear - sine) * height;
    yx_ = sine * width, yy_ = (sine * shear + cosine) * height;
    x0_ = 13.5f + draws.uniform(-2.0f, 2.0f), y0_ = 13.5f + draws.uniform(-2.0f, 2.0f);
    for (Point& p : wobble_) p = {kWobble * draws.normal(), kWobble * draws.normal()};
  }
  Point operator()(Point p) const {
    const Point bend = wobble_at(p);
    const float u = p.x - 0.5f, v = p.y - 0.5f;
    return {x0_ + xx_ * u + xy_ * v + bend.x, y0_ + yx_ * u + yy_ * v + bend.y};
  }

 private:
  static constexpr float kWobble = 1.0f;  // pixels

  /// The quadratic through 3 x 3 random displacements.
  Point wobble_at(Point p) const {
    const auto weights = [](float t) {
      return std::array{(1 - t) * (1 - 2 * t), 4 * t * (1 - t), t * (2 * t - 1)};
    };
    const auto wx = weights(p.x), wy = weights(p.y);
    Point sum{0, 0};
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t j = 0; j < 3; ++j) {
        sum.x += wy[i] * wx[j] * wobble_[3 * i + j].x;
        sum.y += wy[i] * wx[j] * wobble_[3 * i + j].y;
      }
    return sum;
  }

  float xx_, xy_, yx_, yy_, x0_, y0_;
  std::array<Point, 9> wobble_;
};

/// Squared distance of every pixel to the nearest line drawn so far.
class Canvas {
 public:
  explicit Canvas(float reach) : reach_(reach) { distance2_.fill(reach * reach); }

  void line(Point a, Point b) {
    const float dx = b.x - a.x, dy = b.y - a.y;
    const float inverse = 1 / std::max(dx * dx + dy * dy, 1e-6f);
    const int x0 = first(std::min(a.x, b.x)), x1 = last(std::max(a.x, b.x));
    const int y0 = first(std::min(a.y, b.y)), y1 = last(std::max(a.y, b.y));
    for (int y = y0; y <= y1; ++y)
      for (int x = x0; x <= x1; ++x) {
        const float px = static_cast<float>(x) - a.x, py = static_cast<float>(y) - a.y;
        const float t = std::clamp((px * dx + py * dy) * inverse, 0.0f, 1.0f);
        const float ex = px - t * dx, ey = py - t * dy;
        float& d = distance2_[pixel(x, y)];
        d = std::min(d, ex * ex + ey * ey);
      }
  }

  /// 1 within `radius` of a line, falling to 0 over one pixel.
  Plane ink(float radius) const {
    Plane plane;
    for (std::size_t i = 0; i < plane.size(); ++i)
      plane[i] = std::clamp(radius + 0.5f - std::sqrt(distance2_[i]), 0.0f, 1.0f);
    return plane;
  }

 private:
  int first(float low) const { return static_cast<int>(std::max(low - reach_, 0.0f)); }
  int last(float high) const {
    return static_cast<int>(std::clamp(high + reach_, -1.0f, kSide - 1.0f));
  }

  float reach_;
  Plane distance2_;
};

/// Catmull-Rom: the curve through the points whose tangent at each joins its neighbours.
Point on_curve(const Stroke& s, int i, float t) {
  const auto at = [&](int k) {
    return s.points[static_cast<std::size_t>(std::clamp(k, 0, s.count - 1))];
  };
  const auto blend = [t](float a, float b, float c, float d) {
    return b + 0.5f * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
  };
  const Point a = at(i - 1), b = at(i), c = at(i + 1), d = at(i + 2);
  return {blend(a.x, b.x, c.x, d.x), blend(a.y, b.y, c.y, d.y)};
}

void draw_stroke(Canvas& canvas, const Stroke& stroke, const Warp& warp) {
  constexpr int kPieces = 4;  // straight pieces between two points of the skeleton
  Point from = warp(stroke.points[0]);
  for (int i = 0; i + 1 < stroke.count; ++i)
    for (int k = 1; k <= kPieces; ++k) {
      const Point to = warp(on_curve(stroke, i, static_cast<float>(k) / kPieces));
      canvas.line(from, to);
      from = to;
    }
}

/// Every point moved a little; ends that strokes share may part, as they do in handwriting.
Stroke shaken(const Stroke& stroke, Draws& draws) {
  constexpr float kShake = 0.03f;
  Stroke s = stroke;
  for (int i = 0; i < s.count; ++i) {
    Point& p = s.points[static_cast<std::size_t>(i)];
    p = {p.x + kShake * draws.normal(), p.y + kShake * draws.normal()};
  }
  return s;
}

/// A stray line anywhere, in one of three images.
void draw_stray(Canvas& canvas, Draws& draws) {
  const Point a{draws.uniform(0, 27), draws.uniform(0, 27)};
  const Point b{a.x + draws.uniform(-9, 9), a.y + draws.uniform(-9, 9)};
  if (draws.below(3) == 0) canvas.line(a, b);
}

/// Wipes out a small rectangle, in half of the images.
void hide_part(Plane& ink, Draws& draws) {
  const int x = draws.below(kSide), y = draws.below(kSide);
  const int width = 3 + draws.below(4), height = 3 + draws.below(4);
  if (draws.below(2) == 0) return;
  for (int i = y; i < std::min(y + height, kSide); ++i)
    for (int j = x; j < std::min(x + width, kSide); ++j) ink[pixel(j, i)] = 0;
}

void draw_sample(std::uint8_t* pixels, std::int32_t& label, Draws draws) {
  label = draws.below(10);
  const auto ways = skeletons_of(label);
  const Skeleton& skeleton =
      ways[static_cast<std::size_t>(draws.below(static_cast<int>(ways.size())))];
  const float radius = draws.uniform(0.5f, 1.7f);
  const Warp warp(draws);
  Canvas canvas(radius + 0.5f);
  for (int s = 0; s < skeleton.count; ++s)
    draw_stroke(canvas, shaken(skeleton.strokes[static_cast<std::size_t>(s)], draws), warp);
  draw_stray(canvas, draws);
  Plane ink = canvas.ink(radius);
  hide_part(ink, draws);

  const float white = draws.uniform(130, 255), noise = draws.uniform(4, 30);
  for (std::size_t i = 0; i < ink.size(); ++i) {
    const float grey = white * ink[i] + noise * draws.normal();
    pixels[i] = static_cast<std::uint8_t>(std::clamp(grey, 0.0f, 255.0f));
  }
}

}  // namespace

void draw_synthetic_digits(Tensor& images, Tensor& labels, std::uint64_t seed,
                           std::uint32_t first) {
  const std::int64_t N = labels.numel();
  LIMBECK_CHECK(images.shape() == (Shape{N, kSide, kSide, 1}) && labels.rank() == 1,
                "draw_synthetic_digits: images have shape ", images.shape(), ", labels ",
                labels.shape(), "; expected (N,28,28,1) and (N)");
  LIMBECK_CHECK(!images.device().is_cuda() && !labels.device().is_cuda(),
                "draw_synthetic_digits: images are on ", images.device(), ", labels on ",
                labels.device(), "; expected cpu");
  std::uint8_t* pixels = images.data<std::uint8_t>();
  std::int32_t* label = labels.data<std::int32_t>();
  parallel_ranges(N, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      draw_sample(pixels + i * kSide * kSide, label[i],
                  Draws(seed, first + static_cast<std::uint32_t>(i)));
  });
}

}  // namespace limbeck
