// SPDX-License-Identifier: Apache-2.0
// Parts of a batch.
#include <limbeck/distill/batch_source.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(PartOf, HasTheRowsOfEveryTensorAndTheWholesTargets) {
  Batch batch;
  batch.x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {3, 2});
  batch.labels = Tensor::from<std::int32_t>({7, 8, 9}, {3});
  batch.samples = Tensor::from<std::int32_t>({10, 11, 12}, {3});
  batch.lengths = Tensor::from<std::int32_t>({1, 2, 1}, {3});
  batch.other_labels = Tensor::from<std::int32_t>({4, 5, 6}, {3});
  batch.label_weight = 0.25;
  batch.targets = 3;
  const Batch part = part_of(batch, 1, 3);
  EXPECT_EQ(to_doubles(part.x), (std::vector<double>{3, 4, 5, 6}));
  EXPECT_EQ(part.labels.to_vector<std::int32_t>(), (std::vector<std::int32_t>{8, 9}));
  EXPECT_EQ(part.samples.to_vector<std::int32_t>(), (std::vector<std::int32_t>{11, 12}));
  EXPECT_EQ(part.lengths.to_vector<std::int32_t>(), (std::vector<std::int32_t>{2, 1}));
  EXPECT_EQ(part.other_labels.to_vector<std::int32_t>(), (std::vector<std::int32_t>{5, 6}));
  EXPECT_EQ(part.label_weight, 0.25);
  EXPECT_EQ(part.targets, 3);  // so that the losses of parts add up
}

TEST(PartOf, LeavesOutWhatIsNotThere) {
  Batch batch;
  batch.x = Tensor::zeros({2, 1});
  const Batch part = part_of(batch, 0, 1);
  EXPECT_FALSE(part.lengths.defined());
  EXPECT_FALSE(part.other_labels.defined());
}

}  // namespace
}  // namespace limbeck::testing
