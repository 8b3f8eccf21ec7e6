// SPDX-License-Identifier: Apache-2.0
// Tests of saving and loading a model's weights.
#include <limbeck/nn/weights.h>

#include <limbeck/nn/model.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

ModelSpec conv_net() {
  return {{4, 6, 3},
          {{.type = "conv2d", .name = "conv", .out = 2, .kernel = 3, .padding = 1},
           {.type = "relu"},
           {.type = "linear", .name = "fc", .out = 5}}};
}

void expect_same_weights(Module& a, Module& b) {
  const auto x = a.parameters(), y = b.parameters();
  ASSERT_EQ(x.size(), y.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    EXPECT_TRUE(same_bytes(x[i].value.value(), y[i].value.value())) << x[i].name;
}

class WeightsTest : public DeviceTest {
 protected:
  TemporaryFolder folder_;
  std::string path() const { return folder_.file("w.safetensors"); }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(WeightsTest);

TEST_P(WeightsTest, WhatWasSavedIsLoaded) {
  const auto saved = build_model(conv_net(), 1, dtype(), device());
  const auto loaded = build_model(conv_net(), 2, dtype(), device());
  save_weights(*saved, path(), {{"made by", "a test"}});
  load_weights(*loaded, path());
  expect_same_weights(*saved, *loaded);
  EXPECT_EQ(read_safetensors(path()).metadata.at("made by"), "a test");
  Context context;  // and the weights are where the model computes
  const Variable x(make(random_values(72), {1, 4, 6, 3}));
  EXPECT_TRUE(same_bytes(saved->forward(x, context).value(), loaded->forward(x, context).value()));
}

// OHWI element (o,h,w,c) lies in the file at (o,c,h,w); the linear layer's column (h,w,c) at
// (c,h,w).
TEST(Weights, FilesKeepPyTorchsLayouts) {
  const auto model = build_model(conv_net(), 1);
  const SafetensorsFile file = export_weights(*model);
  const std::map<std::string, Tensor> stored(file.tensors.begin(), file.tensors.end());
  const auto p = model->parameters();
  const float* conv = p[0].value.value().data<float>();
  const float* fc = p[2].value.value().data<float>();
  const Tensor conv_file = stored.at("conv.weight"), fc_file = stored.at("fc.weight");
  EXPECT_EQ(conv_file.shape(), Shape({2, 3, 3, 3}));
  EXPECT_EQ(fc_file.shape(), Shape({5, 4 * 6 * 2}));
  for (int o = 0; o < 2; ++o)
    for (int c = 0; c < 3; ++c)
      for (int h = 0; h < 3; ++h)
        for (int w = 0; w < 3; ++w)
          EXPECT_EQ(conv_file.data<float>()[((o * 3 + c) * 3 + h) * 3 + w],
                    conv[((o * 3 + h) * 3 + w) * 3 + c]);
  for (int o = 0; o < 5; ++o)
    for (int c = 0; c < 2; ++c)
      for (int h = 0; h < 4; ++h)
        for (int w = 0; w < 6; ++w)
          EXPECT_EQ(fc_file.data<float>()[((o * 2 + c) * 4 + h) * 6 + w],
                    fc[((o * 4 + h) * 6 + w) * 2 + c]);
}

TEST(Weights, FloatingDtypesConvert) {
  const auto half = build_model(conv_net(), 1, DType::bf16), full = build_model(conv_net(), 2);
  import_weights(*full, export_weights(*half));
  const auto again = build_model(conv_net(), 3, DType::bf16);
  import_weights(*again, export_weights(*full));
  expect_same_weights(*half, *again);
}

TEST(Weights, AValueThatTheDtypeCannotHoldIsRefused) {
  const auto full = build_model(conv_net(), 1), half = build_model(conv_net(), 2, DType::f16);
  const auto untouched = build_model(conv_net(), 2, DType::f16);
  Tensor bias = full->parameters()[3].value.value();
  bias.data<float>()[2] = 65519;  // rounds to the largest
  import_weights(*half, export_weights(*full));
  EXPECT_EQ(to_doubles(half->parameters()[3].value.value())[2], 65504);
  import_weights(*half, export_weights(*untouched));
  bias.data<float>()[3] = -70000;
  bias.data<float>()[4] = INFINITY;  // was no number to begin with
  expect_error([&] { import_weights(*half, export_weights(*full)); },
               "weights do not fit the model; 'fc.bias' holds -70000, which is infinite in f16");
  expect_same_weights(*half, *untouched);
  import_weights(*build_model(conv_net(), 3, DType::bf16), export_weights(*full));
}

TEST(Weights, EveryMisfitIsNamedInOneLineAndNothingChanges) {
  const TemporaryFolder folder;
  const std::string path = folder.file("w.safetensors");
  const auto model = build_model(conv_net(), 1), untouched = build_model(conv_net(), 1);
  SafetensorsFile file = export_weights(*build_model(conv_net(), 2));
  for (auto& [name, tensor] : file.tensors) {
    if (name == "conv.weight") tensor = Tensor::zeros({2, 1, 3, 3});
    if (name == "fc.weight") name = "fc2.weight";
    if (name == "fc.bias") tensor = Tensor::zeros({5}, DType::i32);
  }
  write_safetensors(path, file);
  expect_error<IoError>(
      [&] { load_weights(*model, path); },
      path +
          ": weights do not fit the model; 'conv.weight' has shape (2,1,3,3) in the file, "
          "(2,3,3,3) in the model; 'fc.bias' has dtype i32 in the file; expected a floating dtype; "
          "missing 'fc.weight' (5,48); unexpected 'fc2.weight' (5,48)");
  expect_same_weights(*model, *untouched);
}

TEST(Weights, LenientLoadingReportsWhatDidNotMatch) {
  const auto model = build_model(conv_net(), 1), other = build_model(conv_net(), 2);
  SafetensorsFile file = export_weights(*other);
  for (auto& [name, tensor] : file.tensors)
    if (name == "fc.weight") name = "old.weight";
  file.tensors.emplace_back("bn.num_batches_tracked", Tensor::full({}, 3, DType::i64));
  EXPECT_EQ(import_weights(*model, file, Match::lenient),
            "missing 'fc.weight' (5,48); unexpected 'old.weight' (5,48)");
  const auto loaded = model->parameters(), expected = other->parameters();
  EXPECT_TRUE(same_bytes(loaded[0].value.value(), expected[0].value.value()));
  EXPECT_FALSE(same_bytes(loaded[2].value.value(), expected[2].value.value()));
  file.tensors[0].second = Tensor::zeros({1});  // what does not fit is refused all the same
  expect_error([&] { import_weights(*model, file, Match::lenient); }, "has shape (1) in the file");
}

TEST(Weights, OtherNamesAreTurnedIntoTheModels) {
  const TemporaryFolder folder;
  const auto model = build_model(conv_net(), 1), other = build_model(conv_net(), 2);
  SafetensorsFile file = export_weights(*other);
  for (auto& [name, tensor] : file.tensors) name = "net." + name;
  write_safetensors(folder.file("model.safetensors"), file);
  load_weights(*model, folder.file(""), {.names = {{.match = "net.(.*)", .to = "$1"}}});
  expect_same_weights(*model, *other);
}

// A model's buffers are stored and loaded as its parameters are.
TEST(Weights, BuffersTravelWithTheWeights) {
  struct Counter : Module {
    Tensor mean = Tensor::zeros({2});
    Variable forward(const Variable& x, Context&) override { return x; }
    Shape output_shape(const Shape& input) const override { return input; }
    std::vector<NamedBuffer> buffers() override { return {{"running_mean", mean}}; }
    std::string describe() const override { return "Counter"; }
  };
  Counter saved, loaded;
  saved.mean.fill(3);
  import_weights(loaded, export_weights(saved));
  EXPECT_EQ(to_doubles(loaded.mean), (std::vector<double>{3, 3}));
}

TEST(Weights, AMissingFileIsNamed) {
  const auto model = build_model(conv_net(), 1);
  expect_error<IoError>([&] { load_weights(*model, "/nowhere/w.safetensors"); },
                        "/nowhere/w.safetensors: cannot open");
}

}  // namespace
}  // namespace limbeck::testing
