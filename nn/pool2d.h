// SPDX-License-Identifier: Apache-2.0
// Pooling layers, images in NHWC.
#pragma once

#include <limbeck/kernels/pool2d.h>
#include <limbeck/nn/module.h>

namespace limbeck {

/// What both poolings share: x (N,H,W,C) to (N,OH,OW,C).
class Pool2d : public Module {
 public:
  explicit Pool2d(const Pool2dOptions& options);
  Shape output_shape(const Shape& input) const override;
  std::string describe() const override;

 protected:
  virtual const char* type() const = 0;
  Pool2dOptions options_;
};

class MaxPool2d : public Pool2d {
 public:
  using Pool2d::Pool2d;
  Variable forward(const Variable& x, Context& context) override;

 private:
  const char* type() const override { return "MaxPool2d"; }
};

class AvgPool2d : public Pool2d {
 public:
  using Pool2d::Pool2d;
  Variable forward(const Variable& x, Context& context) override;

 private:
  const char* type() const override { return "AvgPool2d"; }
};

}  // namespace limbeck
