// SPDX-License-Identifier: Apache-2.0
// Tests of the teacher made of labels.
#include <limbeck/distill/virtual_teacher.h>

#include <limbeck/distill/kd_loss.h>
#include <limbeck/kernels/softmax.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

constexpr std::int64_t kClasses = 100;  // of CIFAR-100, for which the paper chose a and tau

class VirtualTeacherTest : public DeviceTest {
 protected:
  Tensor labels(const std::vector<std::int32_t>& values) const {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device());
  }
  /// softmax(logits / tau) of one row, as doubles.
  std::vector<double> probabilities(const Tensor& logits, double tau) const {
    Tensor p = Tensor::empty_like(logits);
    softmax_forward(p, logits, tau);
    return to_doubles(p);
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(VirtualTeacherTest);

// a^(1/20) = 0.99949762, (0.01/99)^(1/20) = 0.63127..: their shares of the sum over 100 classes.
TEST_P(VirtualTeacherTest, PaperForm) {
  const Tensor z = virtual_teacher(labels({3, 99}), kClasses, {}, dtype());
  ASSERT_EQ(z.shape(), Shape({2, kClasses}));
  EXPECT_EQ(z.device(), device());
  std::vector<double> expected(2 * kClasses, 0.009942);
  expected[3] = expected[kClasses + 99] = 0.015741;
  // 1e-6 of 0.0157: the numbers have six decimals. A half's logit of -9.2 is off by 2^-9 9.2 / 20.
  expect_close(probabilities(z, 20), expected, dtype_size(dtype()) > 2 ? 1e-4 : 0.01);
}

TEST_P(VirtualTeacherTest, PaperFormAtTemperatureOneIsTheDistributionItself) {
  const Tensor z = virtual_teacher(labels({0}), 3, {.right = 0.5}, dtype());
  expect_close(probabilities(z, 1), {0.5, 0.25, 0.25}, std::max(tolerance(), 3e-7));
}

TEST_P(VirtualTeacherTest, ReleasedForm) {
  const Tensor z =
      virtual_teacher(labels({1}), kClasses, {.form = VirtualTeacherForm::released}, dtype());
  std::vector<double> expected(kClasses, 0.009995);
  expected[1] = 0.010502;
  expect_close(probabilities(z, 1), expected, dtype_size(dtype()) > 2 ? 1e-4 : 0.01);
}

TEST_P(VirtualTeacherTest, AnIgnoredRowKnowsNothing) {
  const std::vector<double> p = probabilities(virtual_teacher(labels({-100}), 4, {}, dtype()), 1);
  expect_close(p, {0.25, 0.25, 0.25, 0.25}, tolerance());
}

// KL(teacher || uniform) = 1.25e-5: the released form is label smoothing to four digits.
TEST(VirtualTeacher, ReleasedFormIsNearlyUniform) {
  const Tensor label = Tensor::zeros({1}, DType::i32);
  const Tensor z =
      virtual_teacher(label, kClasses, {.form = VirtualTeacherForm::released}, DType::f64);
  const KdLossOptions kl = {.tau = 1, .kd_weight = 1, .ce_weight = 0};
  const Variable student(Tensor::zeros({1, kClasses}, DType::f64));
  EXPECT_NEAR(kd_loss(student, z, {}, kl).value().item(), 1.25e-5, 0.01e-5);
}

// The loss against the paper's teacher is least at the teacher itself.
TEST(VirtualTeacher, AStudentThatAgreesHasNothingToLearn) {
  const Tensor label = Tensor::from(std::vector<std::int32_t>{2, 0}, {2});
  const Tensor z = virtual_teacher(label, 5, {.right = 0.9}, DType::f64);
  const Variable student(z.clone(), true);
  const Variable loss = kd_loss(student, z, {}, {.tau = 20, .kd_weight = 1, .ce_weight = 0});
  loss.backward();
  EXPECT_EQ(loss.value().item(), 0);
  expect_close(student.grad(), std::vector<double>(10, 0), 0);
}

TEST(VirtualTeacher, Rejections) {
  const Tensor label = Tensor::zeros({1}, DType::i32);
  const auto error = [&](std::int64_t V, const VirtualTeacherOptions& o, const std::string& what) {
    expect_error([&] { virtual_teacher(label, V, o); }, what);
  };
  error(1, {}, "virtual_teacher: V is 1; expected 2 classes or more");
  error(4, {.right = 0.25}, "right is 0.25; expected more than 1/V = 1/4 and less than 1");
  error(4, {.right = 1}, "right is 1; expected");
  error(4, {.tau = 0}, "tau is 0; expected > 0");
  expect_error([] { virtual_teacher(Tensor(), 4); }, "labels is undefined; expected (N)");
  expect_error([] { virtual_teacher(Tensor::full({1}, 4, DType::i32), 4); },
               "one_hot: label 0 is 4; expected 0 to 3");
}

}  // namespace
}  // namespace limbeck::testing
