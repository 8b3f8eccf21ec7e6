// SPDX-License-Identifier: Apache-2.0
// Tests of limbeck compare: its numbers, on images and on text, and what it refuses.
#include <limbeck/distill/evaluate.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/small_comparison.h>
#include <limbeck/tools/inspect.h>
#include <limbeck/tools/token_file.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

TEST(Compare, TheReportIsWhatTheMeasuresSay) {
  const SmallComparison small;
  const std::string shown = small.run();
  const json report = small.report();
  const TestSamples samples(data_config(small.arguments.data, ""), Device::cpu());
  const Comparison found = compare_models(small.arguments, samples, Device::cpu());
  EXPECT_EQ(report, comparison_json(found, samples));  // the command twice: the same
  const LoadedModel student = load_model(small.arguments.student, {28, 28, 1}, Device::cpu());
  const LoadedModel teacher = load_model(small.arguments.teacher, {28, 28, 1}, Device::cpu());
  const Tensor s = predict(*student.module, *samples.source(student.input));
  const Tensor t = predict(*teacher.module, *samples.source(teacher.input));
  const TrainTest data = load_dataset("synthetic-digits", {1, 60, 0});
  const Metrics metrics = measure(s, data.test.labels);
  const Fidelity fidelity = measure_fidelity(s, t, data.test.labels);
  EXPECT_EQ(report["student"]["errors"], metrics.errors);
  EXPECT_EQ(report["student"]["nll"], metrics.nll);
  EXPECT_EQ(report["teacher"]["parameters"], 784 * 12 + 12 + 12 * 10 + 10);
  EXPECT_EQ(report["fidelity"]["agreement"], fidelity.agreement);
  EXPECT_EQ(report["kl"]["forward"]["mean"], fidelity.forward_kl);
  EXPECT_EQ(report["confusion"]["student"].size(), 10u);
  EXPECT_EQ(report["classes"].size(), 10u);
  EXPECT_EQ(report["layers"]["student"][0]["name"], "fc1");
  EXPECT_EQ(report["layers"]["cka"].size(), 3u);
  EXPECT_EQ(report["layers"]["samples"], 60);
  ASSERT_EQ(report["samples"].size(), 2u);
  EXPECT_EQ(report["samples"][1]["index"], 14);
  EXPECT_EQ(report["samples"][1]["label"], data.test.labels.data<std::int32_t>()[14]);
  EXPECT_EQ(report["samples"][0]["image_width"], 28);
  for (const json& sample : report["samples"]) {
    const auto label = sample["label"].get<std::int32_t>();
    const Tensor row_s = s.rows(sample["index"], sample["index"].get<std::int64_t>() + 1);
    const Tensor row_t = t.rows(sample["index"], sample["index"].get<std::int64_t>() + 1);
    const std::vector<ClassView> views =
        top_classes(row_s.reshape({10}), row_t.reshape({10}), 4, 5, label);
    ASSERT_EQ(sample["classes"].size(), views.size());
    for (std::size_t c = 0; c < views.size(); ++c) {
      EXPECT_EQ(sample["classes"][c]["class"], views[c].label);
      EXPECT_EQ(sample["classes"][c]["student"], views[c].student);
      EXPECT_EQ(sample["classes"][c]["teacher"], views[c].teacher);
    }
  }
  EXPECT_EQ(report["ledger"]["channels"].size(), 12u);
  EXPECT_EQ(report["ledger"]["measured"], 30);
  EXPECT_EQ(report["recovery"]["features"], 12);
  EXPECT_EQ(report["recovery"]["measurements"], 3);
  EXPECT_TRUE(report["recovery"]["agreement"].is_number());  // fc2 reads act alone
  for (const char* part : {"student", "agreement", "KL(teacher||student)", "confusions:", "NCKD",
                           "most like the teacher's", "sample 14", "(label)"})
    EXPECT_NE(shown.find(part), std::string::npos) << part << " in\n" << shown;
}

TEST(Compare, ATwinHasEverything) {
  SmallComparison small;
  small.arguments.teacher = small.arguments.student;
  small.run();
  const json report = small.report();
  EXPECT_EQ(report["fidelity"]["agreement"], 1);
  EXPECT_EQ(report["kl"]["forward"]["max"], 0);
  EXPECT_EQ(report["dark_knowledge"]["nckd"], 0);
  EXPECT_NEAR(report["confusion"]["correlation"].get<double>(), 1, 1e-12);
  EXPECT_EQ(report["ledger"]["crossed"], report["ledger"]["count"]);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(report["layers"]["cka"][i][i].get<double>(), 1, 1e-12);
}

/// Equal but for the rounding of f32 in another order.
void expect_near(const json& a, const json& b, const std::string& path) {
  if (b.is_number_float()) {
    EXPECT_NEAR(a.get<double>(), b.get<double>(), 1e-3 * (std::abs(b.get<double>()) + 1e-2))
        << path;
  } else if (b.is_structured()) {
    ASSERT_EQ(a.size(), b.size()) << path;
    for (const auto& [key, value] : b.items())
      expect_near(b.is_array() ? a.at(std::stoul(key)) : a.at(key), value, path + "/" + key);
  } else {
    EXPECT_EQ(a, b) << path;
  }
}

TEST(Compare, OnAGpuTheSame) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
  SmallComparison small;
  small.arguments.data.synthetic.test_samples = 20;
  small.run();
  const json here = small.report();
  small.arguments.machine.device = "cuda:0";
  small.run();
  expect_near(small.report(), here, "");
}

TEST(Compare, LayersAreChosen) {
  SmallComparison small;
  small.arguments.layers = "fc.";
  small.arguments.teacher_layers = "act";
  for (const char* kind : {"linear", "rbf"}) {
    small.arguments.cka = kind;
    small.run();
    EXPECT_EQ(small.report()["layers"]["kind"], kind);
    EXPECT_EQ(small.report()["layers"]["student"].size(), 2u);
    EXPECT_EQ(small.report()["layers"]["teacher"].size(), 1u);
  }
  small.arguments.cka = "none";
  small.run();
  EXPECT_FALSE(small.report().contains("layers"));
}

TEST(Compare, Text) {
  SmallTextComparison small;
  const std::string shown = small.run();
  const json report = small.report();
  EXPECT_EQ(report["data"]["kind"], "text");
  EXPECT_EQ(report["data"]["labels"], 89);  // a tenth of 900 characters, the first of them read
  EXPECT_EQ(report["student"]["samples"], 89);
  EXPECT_NEAR(report["student"]["bits"].get<double>(),
              report["student"]["nll"].get<double>() / std::log(2.0), 1e-12);
  EXPECT_EQ(report["classes"][0]["name"], "\n");
  EXPECT_EQ(report["samples"][0]["text"].get<std::string>().size(), 4u);  // tokens 0 to 3
  EXPECT_EQ(report["samples"][1]["text"].get<std::string>().size(), 7u);  // of the window 8 to 15
  EXPECT_EQ(report["ledger"]["fitted"], 48);  // half of 12 windows of 8 tokens
  EXPECT_EQ(report["recovery"]["measurements"], 6);
  EXPECT_NE(shown.find("bits/character"), std::string::npos) << shown;
  EXPECT_NE(shown.find("token 14"), std::string::npos) << shown;
}

TEST(Compare, TokenFiles) {
  SmallTextComparison small;
  std::vector<std::uint32_t> tokens;
  for (std::uint32_t i = 0; i < 300; ++i) tokens.push_back(i * i % 7);
  write_tokens(small.folder.file("tokens"), tokens, 4);
  small.arguments.data.source = small.folder.file("tokens");
  small.arguments.data.format = "tokens";
  small.arguments.data.text.vocabulary = 7;
  small.arguments.data.text.token_bytes = 4;
  small.arguments.data.text.context = 5;  // not what the models were trained on
  small.run();
  EXPECT_EQ(small.report()["samples"][0]["label_name"], std::to_string(tokens[270 + 4]));
  EXPECT_EQ(small.report()["samples"][0]["text"], "");
  EXPECT_EQ(small.report()["data"]["bits_unit"], "bits/token");
}

TEST(Eval, OfTextHasBits) {
  const SmallTextComparison small;
  std::ostringstream out;
  eval_command({small.arguments.student, small.arguments.data, small.arguments.machine}, out);
  EXPECT_NE(out.str().find("bits/character"), std::string::npos) << out.str();
  EXPECT_NE(out.str().find(" of 89"), std::string::npos) << out.str();
}

TEST(Compare, BadInputIsOneLine) {
  const auto images = [](auto change, const std::string& message) {
    SmallComparison small;
    change(small.arguments);
    expect_error([&] { small.run(); }, message);
  };
  images([](CompareArguments& a) { a.samples = {60}; },
         "--samples: 60; synthetic-digits/test has 0 to 59");
  images([](CompareArguments& a) { a.tau = 0; }, "--tau: is 0; expected above 0");
  images([](CompareArguments& a) { a.cka = "linaer"; },
         "--cka: is linaer; expected linear, rbf, unbiased or none");
  images([](CompareArguments& a) { a.cka_samples = 2; },
         "--cka-samples: is 2; expected at least 4");
  images([](CompareArguments& a) { a.layers = "conv"; }, "no layer is named 'conv'");
  images([](CompareArguments& a) { a.ledger = {"act", "fc1", "fc2"}; }, "--ledger: names 3 layers");
  images(
      [](CompareArguments& a) {
        a.ledger = {"act", "act1"};
      },
      "the teacher has no layer 'act1'; its last one is named 'fc2'");
  images([](CompareArguments& a) { a.recover = "act2"; }, "the teacher has no layer 'act2'");
  images([](CompareArguments& a) { a.measurements = 13; },
         "--measurements: is 13; expected 1 to 12, the features of 'act'");
  images(
      [](CompareArguments& a) {
        a.recover = "";
        a.measurements = 3;
      },
      "--measurements: is of --recover; expected a layer there");
  images([](CompareArguments& a) { a.data.text.context = 8; },
         "--context: is of text; the format is idx");
  images([](CompareArguments& a) { a.data.format = "jpegs"; },
         "--format: is jpegs; expected idx, cifar10");
  const auto text = [](auto change, const std::string& message) {
    SmallTextComparison small;
    change(small);
    expect_error([&] { small.run(); }, message);
  };
  text([](SmallTextComparison& s) { s.arguments.data.text.validation = 2; }, "validation is 2");
  text([](SmallTextComparison& s) { s.arguments.data.format = "tokens"; },
       "vocabulary is 0; expected at least 1 for token files");
  text(
      [](SmallTextComparison& s) {
        s.arguments.samples.clear();
        write_text(s.folder.file("text.txt"), std::string(60, 'a') + "bc a");
      },
      "student: gives (1,8,7) per window; expected (1,8,4), logits of every token");
  text(
      [](SmallTextComparison& s) {
        save_model(s.folder.file("student"),
                   {{"input", {28, 28, 1}}, {"layers", {{{"type", "linear"}, {"out", 10}}}}}, 1);
      },
      "--context: is missing; ");
}

}  // namespace
}  // namespace limbeck::testing
