// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/tensor.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

std::vector<Device> devices() {
  std::vector<Device> list = {Device::cpu()};
  if (cuda_device_count() > 0) list.push_back(Device::cuda());
  return list;
}

TEST(Tensor, RoundTripOfEveryDtype) {
  for (Device device : devices())
    for (DType dtype :
         {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i32, DType::i64, DType::u8}) {
      const Tensor t = Tensor::from(std::vector<double>{0, 1, 2, 200}, {2, 2}).to(dtype).to(device);
      EXPECT_EQ(t.device(), device);
      EXPECT_EQ(t.nbytes(), 4 * dtype_size(dtype));
      EXPECT_EQ(to_doubles(t), (std::vector<double>{0, 1, 2, 200}));
      EXPECT_EQ(to_doubles(Tensor::full({3}, 7, dtype, device)), (std::vector<double>{7, 7, 7}));
      EXPECT_EQ(to_doubles(Tensor::zeros_like(t)), (std::vector<double>{0, 0, 0, 0}));
    }
}

TEST(Tensor, HandlesShareMemoryAndClonesDoNot) {
  for (Device device : devices()) {
    Tensor a = Tensor::full({2, 3}, 1, DType::f32, device);
    Tensor same = a;
    const Tensor copy = a.clone();
    same.fill(5);
    EXPECT_EQ(to_doubles(a), std::vector<double>(6, 5));
    EXPECT_EQ(to_doubles(copy), std::vector<double>(6, 1));
    EXPECT_EQ(a.to(device).raw(), a.raw());
    EXPECT_EQ(a.to(DType::f32).raw(), a.raw());
    a.copy_from(copy);
    EXPECT_EQ(to_doubles(same), std::vector<double>(6, 1));
  }
}

TEST(Tensor, ViewsShareMemoryAndKeepItAlive) {
  for (Device device : devices()) {
    Tensor view;
    {
      Tensor a = Tensor::from(std::vector<float>{0, 1, 2, 3, 4, 5}, {3, 2}, device);
      view = a.rows(1, 3).reshape({4});
      a.rows(1, 2).fill(9);
      EXPECT_EQ(a.rows(2, 2).numel(), 0);
    }
    EXPECT_EQ(to_doubles(view), (std::vector<double>{9, 9, 4, 5}));
  }
}

TEST(Tensor, EmptyOnesWork) {
  for (Device device : devices()) {
    const Tensor t = Tensor::zeros({0, 3}, DType::f32, device);
    EXPECT_EQ(t.numel(), 0);
    EXPECT_TRUE(t.clone().to_vector<float>().empty());
    EXPECT_EQ(t.rows(0, 0).shape(), Shape({0, 3}));
  }
  EXPECT_FALSE(Tensor().defined());
}

TEST(Tensor, ItemReadsTheOnlyElement) {
  for (Device device : devices()) {
    EXPECT_EQ(Tensor::full({}, 2.5, DType::bf16, device).item(), 2.5);
    EXPECT_EQ(Tensor::full({1, 1}, 3, DType::i64, device).item(), 3);
  }
}

TEST(Tensor, Rejections) {
  Tensor t = Tensor::zeros({2, 3});
  expect_error([&] { t.reshape({7}); }, "reshape: to (7) from (2,3)");
  expect_error([&] { t.rows(1, 3); }, "rows: [1,3) of (2,3); expected 0 <= begin <= end <= 2");
  expect_error([&] { t.rows(2, 1); }, "rows: [2,1) of (2,3)");
  expect_error([&] { Tensor::zeros({}).rows(0, 1); }, "rows: the tensor has rank 0");
  expect_error([&] { t.copy_from(Tensor::zeros({3, 2})); }, "copy_from: source is f32(3,2)");
  expect_error(
      [&] {
        t.copy_from(Tensor::zeros({2, 3}, DType::f64));
      },
      "copy_from: source is f64(2,3), destination f32(2,3)");
  expect_error([&] { t.data<double>(); }, "Tensor: dtype is f32; expected f64");
  expect_error([&] { t.to_vector<std::int32_t>(); }, "Tensor: dtype is f32; expected i32");
  expect_error([&] { t.item(); }, "item: shape (2,3); expected one element");
  expect_error(
      [] {
        Tensor::from(std::vector<float>{1, 2}, {3});
      },
      "Tensor::from: 2 values for shape (3); expected 3");
}

TEST(Tensor, WrapsMemoryOfSomebodyElse) {
  const auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4});
  {
    Tensor t = Tensor::wrap({owner, owner->data() + 2}, {2, 1}, DType::f32);
    EXPECT_EQ(owner.use_count(), 2);
    EXPECT_EQ(t.to_vector<float>(), (std::vector<float>{3, 4}));
    t.fill(7);
  }
  EXPECT_EQ(owner.use_count(), 1);
  EXPECT_EQ(*owner, (std::vector<float>{1, 2, 7, 7}));
  char* odd = reinterpret_cast<char*>(owner->data()) + 1;
  expect_error(
      [&] {
        Tensor::wrap({owner, odd}, {1}, DType::f32);
      },
      "expected memory aligned to 4 bytes");
}

}  // namespace
}  // namespace limbeck::testing
