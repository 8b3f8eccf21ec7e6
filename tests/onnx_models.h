// SPDX-License-Identifier: Apache-2.0
// Small models that tools/convert exports to ONNX, compared with what limbeck makes of the same
// input where onnxruntime is installed, and by their nodes where NumPy alone is.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include <sys/wait.h>

#include <limbeck/nn/model.h>
#include <limbeck/tests/fixture.h>
#include <limbeck/tests/temporary_folder.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_json.h>

namespace limbeck::testing {

/// What a sample is of: its shape with the number of them first, and for tokens how many there are.
struct OnnxInput {
  Shape shape;
  std::int32_t vocabulary = 0;
  std::vector<std::int32_t> lengths = {};
};

class OnnxTest : public ::testing::Test {
 protected:
  /// Writes a case: `model` with weights that all matter, an input and limbeck's output for it.
  void write(const std::string& name, const nlohmann::json& model, const OnnxInput& input) {
    const ModelSpec spec = read_model_with_input(model, name);
    const auto module = build_model(spec, 1);
    perturb(*module);
    SafetensorsFile weights = export_weights(*module, {{"model", write_model(spec).dump()}});
    for (auto& [key, tensor] : weights.tensors)
      if (is_floating(tensor.dtype())) tensor = tensor.to(stored_);
    import_weights(*module, weights);
    write_safetensors(weights_file(name), weights);
    const Variable x(sample_of(input));
    Context context;
    SafetensorsFile sample;
    if (!input.lengths.empty()) {
      context.lengths =
          Tensor::from(input.lengths, {static_cast<std::int64_t>(input.lengths.size())});
      sample.tensors.emplace_back("lengths", context.lengths);
    }
    const Variable y = module->forward(x, context);
    sample.tensors.emplace_back("x", as_onnx(x.value()));
    sample.tensors.emplace_back("y", as_onnx(y.value()));
    write_safetensors(folder_.file(name + ".sample.safetensors"), sample);
  }

  std::string weights_file(const std::string& name) const {
    return folder_.file(name + ".weights.safetensors");
  }

  /// Exports all cases; false, with the reason, where nothing can.
  bool export_all(std::string& why) {
    const std::string command = python() + " " + LIMBECK_SOURCE_DIR "/tests/onnx_check.py '" +
                                folder_.file("") + "' > '" + folder_.file("log") + "' 2>&1";
    const int status = std::system(command.c_str());
    if (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127) {
      why = python() + " has no NumPy";
      return false;
    }
    EXPECT_EQ(status, 0) << read_text(folder_.file("log"));
    if (status == 0) {
      const auto found = nlohmann::json::parse(read_text(folder_.file("results.json")));
      results_ = found.at("cases");
      types_ = found.at("types").get<std::vector<std::string>>();
    }
    return true;
  }

  /// Every case is exported, is well-formed and, where it ran, gives limbeck's output within 1e-4
  /// of the largest: both sum in f32, each in an order of its own.
  void expect_same() {
    std::string why;
    if (!export_all(why)) GTEST_SKIP() << why;
    bool ran = false;
    for (const auto& [name, result] : results_.items()) {
      ran |= result.contains("error");
      EXPECT_FALSE(result.contains("refused")) << name << ": " << result.dump();
      EXPECT_EQ(result.value("broken", ""), "") << name;
      EXPECT_LT(result.value("error", 0.0), 1e-4) << name;
    }
    if (!ran) std::cout << "without onnx and onnxruntime: only the graphs were checked\n";
  }

  /// After expect_same(): the nodes of a case, in order.
  void expect_ops(const std::string& name, const std::string& expected) {
    if (IsSkipped()) return;
    EXPECT_EQ(results_.at(name).value("ops", ""), expected) << name;
  }
  /// After export_all().
  std::string refusal(const std::string& name) const {
    return results_.at(name).value("refused", "");
  }
  const std::vector<std::string>& exported_types() const { return types_; }

  DType stored_ = DType::f32;  ///< of the weights in files written from then on

 private:
  /// As tools/peers/parity.sh finds it, else the one of the path.
  static std::string python() {
    const char* venv = std::getenv("LIMBECK_PEERS");
    const std::string found =
        std::string(venv ? venv : LIMBECK_SOURCE_DIR "/.venv-peers") + "/bin/python";
    return std::filesystem::exists(found) ? found : "python3";
  }

  /// No parameter stays at 0 or 1; running variances stay positive.
  static void perturb(Module& module) {
    std::uint64_t seed = 0;
    const auto move = [&seed](Tensor& t, double scale) {
      std::vector<double> values = to_doubles(t);
      const std::vector<double> by = random_values(t.numel(), scale, ++seed);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += by[i];
      t.copy_from(Tensor::from(values, t.shape()).to(t.dtype()));
    };
    for (NamedParameter& p : module.parameters()) move(p.value.value(), 0.3);
    for (NamedBuffer& b : module.buffers())
      if (is_floating(b.value.dtype())) move(b.value, 0.7);
  }

  static Tensor sample_of(const OnnxInput& input) {
    const std::vector<double> values = random_values(input.shape.numel(), 1, 77);
    if (input.vocabulary == 0) return Tensor::from(values, input.shape).to(DType::f32);
    std::vector<std::int32_t> ids;
    for (const double v : values)
      ids.push_back(static_cast<std::int32_t>((v + 1) / 2 * input.vocabulary));
    return Tensor::from(ids, input.shape);
  }

  static Tensor as_onnx(const Tensor& t) { return t.rank() == 4 ? swap_channels(t, false) : t; }

  TemporaryFolder folder_;
  std::vector<std::string> types_;
  nlohmann::json results_ = nlohmann::json::object();
};

}  // namespace limbeck::testing
