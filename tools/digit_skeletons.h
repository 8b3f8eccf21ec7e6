// SPDX-License-Identifier: Apache-2.0
// The shapes of the ten digits as strokes, drawn by hand for limbeck.
#pragma once

#include <array>
#include <span>

namespace limbeck {

/// A point of the unit square, y downwards.
struct Point {
  float x, y;
};

/// A smooth curve through `count` points; two strokes that share an end make a corner there.
struct Stroke {
  int count;
  std::array<Point, 13> points;
};

/// One way of writing a digit.
struct Skeleton {
  int digit;
  int count;
  std::array<Stroke, 3> strokes;
};

// clang-format off
inline constexpr Skeleton kSkeletons[] = {
  {0, 1, {{{9, {{{.5f, 0}, {.24f, .15f}, {.15f, .5f}, {.24f, .85f}, {.5f, 1}, {.76f, .85f}, {.85f, .5f}, {.76f, .15f}, {.5f, 0}}}}}}},
  {0, 1, {{{9, {{{.62f, .04f}, {.36f, .08f}, {.2f, .42f}, {.24f, .82f}, {.46f, 1}, {.72f, .86f}, {.82f, .45f}, {.72f, .1f}, {.5f, .1f}}}}}}},
  {1, 1, {{{2, {{{.5f, 0}, {.5f, 1}}}}}}},
  {1, 2, {{{2, {{{.32f, .22f}, {.54f, 0}}}}, {2, {{{.54f, 0}, {.54f, 1}}}}}}},
  {1, 3, {{{2, {{{.32f, .2f}, {.52f, 0}}}}, {2, {{{.52f, 0}, {.52f, 1}}}}, {2, {{{.28f, 1}, {.76f, 1}}}}}}},
  {2, 2, {{{7, {{{.2f, .25f}, {.34f, .05f}, {.56f, 0}, {.78f, .14f}, {.74f, .42f}, {.46f, .72f}, {.18f, 1}}}}, {2, {{{.18f, 1}, {.85f, 1}}}}}}},
  {2, 1, {{{10, {{{.2f, .2f}, {.42f, .01f}, {.72f, .1f}, {.7f, .42f}, {.42f, .8f}, {.22f, .98f}, {.16f, .86f}, {.34f, .8f}, {.58f, .94f}, {.86f, .96f}}}}}}},
  {3, 2, {{{5, {{{.2f, .12f}, {.46f, 0}, {.74f, .12f}, {.7f, .36f}, {.44f, .47f}}}}, {5, {{{.44f, .47f}, {.76f, .58f}, {.8f, .84f}, {.52f, 1}, {.18f, .88f}}}}}}},
  {3, 3, {{{2, {{{.2f, 0}, {.8f, 0}}}}, {2, {{{.8f, 0}, {.44f, .4f}}}}, {5, {{{.44f, .4f}, {.76f, .52f}, {.8f, .82f}, {.52f, 1}, {.18f, .9f}}}}}}},
  {4, 3, {{{3, {{{.34f, 0}, {.26f, .3f}, {.14f, .58f}}}}, {2, {{{.14f, .58f}, {.88f, .56f}}}}, {2, {{{.68f, .08f}, {.64f, 1}}}}}}},
  {4, 3, {{{2, {{{.66f, 0}, {.12f, .66f}}}}, {2, {{{.12f, .66f}, {.9f, .66f}}}}, {2, {{{.66f, 0}, {.66f, 1}}}}}}},
  {5, 3, {{{2, {{{.8f, 0}, {.28f, 0}}}}, {2, {{{.28f, 0}, {.22f, .44f}}}}, {6, {{{.22f, .44f}, {.5f, .37f}, {.78f, .5f}, {.8f, .8f}, {.52f, 1}, {.18f, .9f}}}}}}},
  {5, 2, {{{4, {{{.82f, .04f}, {.4f, .06f}, {.26f, .26f}, {.3f, .44f}}}}, {5, {{{.3f, .44f}, {.62f, .46f}, {.78f, .72f}, {.56f, .98f}, {.2f, .94f}}}}}}},
  {6, 1, {{{9, {{{.7f, .02f}, {.4f, .2f}, {.2f, .55f}, {.25f, .88f}, {.5f, 1}, {.76f, .86f}, {.75f, .6f}, {.5f, .5f}, {.23f, .68f}}}}}}},
  {6, 1, {{{8, {{{.42f, 0}, {.24f, .4f}, {.22f, .8f}, {.48f, 1}, {.78f, .88f}, {.74f, .64f}, {.48f, .6f}, {.24f, .78f}}}}}}},
  {7, 2, {{{2, {{{.15f, 0}, {.85f, 0}}}}, {3, {{{.85f, 0}, {.56f, .5f}, {.4f, 1}}}}}}},
  {7, 3, {{{2, {{{.15f, .02f}, {.82f, 0}}}}, {3, {{{.82f, 0}, {.6f, .48f}, {.46f, 1}}}}, {2, {{{.36f, .5f}, {.78f, .48f}}}}}}},
  {8, 1, {{{13, {{{.5f, .47f}, {.22f, .3f}, {.25f, .08f}, {.5f, 0}, {.75f, .08f}, {.78f, .3f}, {.5f, .47f}, {.18f, .66f}, {.2f, .92f}, {.5f, 1}, {.8f, .92f}, {.82f, .66f}, {.5f, .47f}}}}}}},
  {8, 1, {{{11, {{{.78f, .12f}, {.5f, 0}, {.24f, .14f}, {.34f, .4f}, {.68f, .6f}, {.76f, .86f}, {.48f, 1}, {.22f, .86f}, {.32f, .6f}, {.66f, .38f}, {.76f, .1f}}}}}}},
  {9, 2, {{{7, {{{.76f, .26f}, {.62f, .03f}, {.36f, .03f}, {.2f, .24f}, {.32f, .46f}, {.6f, .44f}, {.76f, .26f}}}}, {3, {{{.76f, .26f}, {.74f, .62f}, {.62f, 1}}}}}}},
  {9, 2, {{{7, {{{.76f, .24f}, {.58f, .02f}, {.32f, .06f}, {.22f, .3f}, {.36f, .48f}, {.62f, .44f}, {.76f, .24f}}}}, {4, {{{.76f, .24f}, {.8f, .66f}, {.6f, .98f}, {.24f, .92f}}}}}}},
};
// clang-format on

/// The ways of writing one digit; kSkeletons is sorted by digit.
constexpr std::span<const Skeleton> skeletons_of(int digit) {
  std::size_t begin = 0;
  while (kSkeletons[begin].digit != digit) ++begin;
  std::size_t end = begin;
  while (end < std::size(kSkeletons) && kSkeletons[end].digit == digit) ++end;
  return {kSkeletons + begin, end - begin};
}

}  // namespace limbeck
