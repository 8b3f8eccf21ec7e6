// SPDX-License-Identifier: Apache-2.0
// Tests of content digests.
#include <limbeck/tools/digest.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

std::string digest_of(const Tensor& tensor) {
  Digest digest;
  digest.add(tensor);
  return digest.hex();
}

TEST(Digest, KnownAnswer) {
  Digest digest;  // XXH3-128 of nothing, from the xxHash specification
  EXPECT_EQ(digest.hex(), "99aa06d3014798d86001c324468d497f");
}

TEST(Digest, PartsAddUpToTheWhole) {
  Digest whole, parts;
  whole.add("limbeck");
  for (std::string_view part : {"lim", "", "beck"}) parts.add(part);
  EXPECT_EQ(parts.hex(), whole.hex());
}

TEST(Digest, TellsContentsShapesAndTypesApart) {
  const Tensor a = Tensor::zeros({2, 3});
  EXPECT_EQ(digest_of(a), digest_of(a.clone()));
  EXPECT_NE(digest_of(a), digest_of(a.reshape({3, 2})));
  EXPECT_NE(digest_of(a), digest_of(Tensor::zeros({2, 3}, DType::i32)));
  EXPECT_NE(digest_of(a), digest_of(Tensor::full({2, 3}, -0.0)));
}

}  // namespace
}  // namespace limbeck::testing
