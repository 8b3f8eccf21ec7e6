// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/init.h>

#include <cmath>

#include <limbeck/core/math.h>

namespace limbeck {
namespace {

template <class Draw>
void fill_from(Tensor& t, const Draw& draw) {
  LIMBECK_CHECK(is_floating(t.dtype()), "init: dtype is ", t.dtype(),
                "; expected a floating dtype");
  Tensor values = Tensor::empty(t.shape(), DType::f64);
  double* v = values.data<double>();
  for (std::int64_t i = 0; i < t.numel(); ++i) v[i] = draw(static_cast<std::uint64_t>(i));
  t.copy_from(values.to(t.dtype()).to(t.device()));
}

float uniform(const RngStream& stream, std::uint64_t element) {
  return uniform_from_word(philox_word(stream, element));
}

struct Fans {
  double in, out;
};

// (O,I) and (O,KH,KW,C): the leading extent counts outputs, each fed by all the others.
Fans fans_of(const Shape& weight) {
  const double all = static_cast<double>(weight.numel());
  const double outputs = static_cast<double>(weight[0]);
  const double inputs = static_cast<double>(weight[-1]);
  return {all / outputs, all / inputs};
}

void fill_weight(Tensor& t, Init init, const RngStream& stream) {
  const Fans fans = fans_of(t.shape());
  switch (init) {
    case Init::torch_default:
      return fill_uniform(t, 1 / std::sqrt(fans.in), stream);
    case Init::kaiming_uniform:  // U(-b,b) has variance b^2 / 3
      return fill_uniform(t, std::sqrt(6 / fans.in), stream);
    case Init::kaiming_normal:
      return fill_normal(t, std::sqrt(2 / fans.in), stream);
    case Init::xavier_uniform:
      return fill_uniform(t, std::sqrt(6 / (fans.in + fans.out)), stream);
    case Init::xavier_normal:
      return fill_normal(t, std::sqrt(2 / (fans.in + fans.out)), stream);
  }
}

}  // namespace

void initialize(Module& module, Init init, std::uint64_t seed) {
  double fan_in = 1;  // of the weight before a bias
  std::uint32_t index = 0;
  for (NamedParameter& p : module.parameters()) {
    const RngStream stream = {seed, 0, index++, RngPurpose::init};
    Tensor& t = p.value.value();
    if (p.init == InitKind::normal) {
      fill_normal(t, p.stddev, stream);
      if (p.zero_row >= 0) t.rows(p.zero_row, p.zero_row + 1).fill(0);
    } else if (p.init != InitKind::drawn) {
      t.fill(p.init == InitKind::ones ? 1 : 0);
    } else if (init == Init::torch_default && p.fan_in > 0) {
      fill_uniform(t, 1 / std::sqrt(static_cast<double>(p.fan_in)), stream);
    } else if (t.rank() >= 2) {
      fan_in = fans_of(t.shape()).in;
      fill_weight(t, init, stream);
    } else if (init == Init::torch_default) {
      fill_uniform(t, 1 / std::sqrt(fan_in), stream);
    } else {
      t.fill(0);
    }
  }
}

void fill_uniform(Tensor& t, double bound, const RngStream& stream) {
  fill_from(t, [&](std::uint64_t i) { return bound * (2.0 * uniform(stream, i) - 1.0); });
}

void fill_normal(Tensor& t, double stddev, const RngStream& stream) {
  fill_from(t, [&](std::uint64_t i) {
    const float u = 1.0f - uniform(stream, i & ~std::uint64_t{1});  // in (0,1]
    const float turn = uniform(stream, i | 1);
    const float radius = math::sqrt(-2.0f * math::log(u));
    return stddev * radius * ((i & 1) ? math::sin_2pi(turn) : math::cos_2pi(turn));
  });
}

}  // namespace limbeck
