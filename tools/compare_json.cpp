// SPDX-License-Identifier: Apache-2.0
// What limbeck compare --json writes.
#include <cmath>

#include <limbeck/tools/compare.h>
#include <limbeck/tools/metrics_table.h>
#include <limbeck/tools/png_writer.h>
#include <limbeck/tools/version.h>

namespace limbeck {

using nlohmann::json;

namespace {

/// More classes than these are left out of what is written class by class.
constexpr std::int64_t kMaxListed = kMaxBiasClasses;

json optional_number(const std::optional<double>& value) { return value ? json(*value) : json(); }

json matrix(const Tensor& values) {
  json rows = json::array();
  for (std::int64_t r = 0; r < values.dim(0); ++r)
    rows.push_back(values.rows(r, r + 1).to_vector<double>());
  return rows;
}

json reliability(const Calibration& calibration) {
  json bins = json::array();
  for (std::size_t b = 0; b < calibration.bins.size(); ++b) {
    const ReliabilityBin& bin = calibration.bins[b];
    bins.push_back({{"above", static_cast<double>(b) / kEceBins},
                    {"to", static_cast<double>(b + 1) / kEceBins},
                    {"samples", bin.samples},
                    {"confidence", bin.confidence},
                    {"accuracy", bin.accuracy}});
  }
  return bins;
}

json model(const std::string& file, std::int64_t parameters, const ModelTransfer& found,
           const TestSamples& samples) {
  const Metrics& m = found.metrics;
  json out = {{"file", file},
              {"parameters", parameters},
              {"samples", m.samples},
              {"errors", m.errors},
              {"accuracy", m.accuracy},
              {"nll", m.nll},
              {"ece", m.ece},
              {"brier", found.calibration.brier},
              {"reliability", reliability(found.calibration)}};
  if (samples.is_text()) out["bits"] = bits(m, samples);
  return out;
}

json quantiles(const Quantiles& q, double mean) {
  return {{"mean", mean}, {"p5", q.p5},   {"p25", q.p25}, {"p50", q.p50},
          {"p75", q.p75}, {"p95", q.p95}, {"max", q.max}};
}

json dark_knowledge(const DarkKnowledge& d, std::int64_t classes) {
  return {{"tau", d.tau},
          {"nckd", d.nckd},
          {"student_entropy", d.student_entropy},
          {"teacher_entropy", d.teacher_entropy},
          {"most_entropy", std::log(static_cast<double>(classes - 1))},
          {"student_mass", d.student_mass},
          {"teacher_mass", d.teacher_mass}};
}

json confusion(const ConfusionTransfer& c, std::int64_t classes) {
  json out = {{"correlation", optional_number(c.correlation)},
              {"both_wrong", c.both_wrong},
              {"same_wrong_class", c.same_wrong_class},
              {"same_wrong_share", optional_number(c.same_wrong_share())},
              {"chance", 1.0 / static_cast<double>(classes - 1)}};
  if (classes > kMaxListed) return out;
  out["student"] = matrix(c.student);
  out["teacher"] = matrix(c.teacher);
  return out;
}

json bias(const ModelTransfer& model, std::size_t c) {
  return {{"offset", model.biases[c].offset}, {"errors_saved", model.biases[c].errors_saved}};
}

json classes(const Transfer& t, const TestSamples& samples) {
  json list = json::array();
  for (std::size_t c = 0; c < static_cast<std::size_t>(samples.classes()); ++c) {
    json one = {{"name", samples.class_name(static_cast<std::int64_t>(c))},
                {"logit_gap", t.dark.logit_gap[c]}};
    if (t.confusion) one["samples"] = t.confusion->samples[c];
    if (!t.student.biases.empty()) one["student"] = bias(t.student, c);
    if (!t.teacher.biases.empty()) one["teacher"] = bias(t.teacher, c);
    list.push_back(std::move(one));
  }
  return list;
}

json layers(const LayerSimilarity& found) {
  const auto list = [](const std::vector<std::string>& names, const std::vector<double>& ranks) {
    json out = json::array();
    for (std::size_t i = 0; i < names.size(); ++i)
      out.push_back({{"name", names[i]}, {"effective_rank", ranks[i]}});
    return out;
  };
  const char* kinds[] = {"linear", "rbf", "unbiased"};
  return {{"kind", kinds[static_cast<int>(found.kind)]},
          {"samples", found.samples},
          {"student", list(found.student, found.student_rank)},
          {"teacher", list(found.teacher, found.teacher_rank)},
          {"cka", matrix(found.cka)}};
}

json ledger(const LedgerView& view) {
  json channels = json::array();
  double sum = 0;
  std::int64_t crossed = 0;
  for (const ChannelEntry& entry : view.probe.channels) {
    channels.push_back({{"gauss_nats", entry.gauss_nats},
                        {"laplace_nats", entry.laplace_nats},
                        {"gauss_share", entry.gauss_share}});
    sum += entry.gauss_nats;
    crossed += entry.gauss_nats > kCrossed;
  }
  return {{"student", view.student},
          {"teacher", view.teacher},
          {"fitted", view.probe.fitted},
          {"measured", view.probe.measured},
          {"mean_nats", sum / static_cast<double>(channels.size())},
          {"crossed", crossed},
          {"count", channels.size()},
          {"channels", channels}};
}

json recovery(const RecoveryView& view) {
  const RecoveryReport& r = view.report;
  return {{"layer", view.layer},          {"matrix", measurement_name(view.matrix)},
          {"measurements", view.K},       {"features", view.D},
          {"samples", r.samples},         {"sparsity", r.sparsity},
          {"nonzeros", r.nonzeros},       {"snr_db", r.snr_db},
          {"best_snr_db", r.best_snr_db}, {"support_f1", r.support_f1},
          {"agreement", r.agreement}};
}

json sample(const SampleView& view, const TestSamples& samples) {
  json out = {{"index", view.index},
              {"label", view.label},
              {"label_name", samples.class_name(view.label)},
              {"classes", json::array()}};
  for (const ClassView& c : view.classes)
    out["classes"].push_back({{"class", c.label},
                              {"name", samples.class_name(c.label)},
                              {"student", c.student},
                              {"teacher", c.teacher}});
  if (samples.is_text()) out["text"] = samples.text_before(view.index);
  const Image image = samples.image(view.index);
  if (image.height > 0) {
    out["image"] = "data:image/png;base64," + base64(encode_png(image));
    out["image_width"] = image.width;
    out["image_height"] = image.height;
  }
  return out;
}

}  // namespace

json comparison_json(const Comparison& comparison, const TestSamples& samples) {
  const Transfer& t = comparison.transfer;
  const std::int64_t V = samples.classes();
  json out = {
      {"limbeck", version()},
      {"commit", commit()},
      {"data",
       {{"name", samples.name()},
        {"digest", samples.digest()},
        {"labels", samples.labels()},
        {"classes", V},
        {"kind", samples.is_text() ? "text" : "images"}}},
      {"student",
       model(comparison.student_file, comparison.student_parameters, t.student, samples)},
      {"teacher",
       model(comparison.teacher_file, comparison.teacher_parameters, t.teacher, samples)},
      {"fidelity", {{"agreement", t.fidelity.agreement}, {"baseline", t.fidelity.baseline}}},
      {"kl",
       {{"forward", quantiles(t.kl.forward, t.fidelity.forward_kl)},
        {"reverse", quantiles(t.kl.reverse, t.fidelity.reverse_kl)}}},
      {"dark_knowledge", dark_knowledge(t.dark, V)}};
  if (samples.is_text()) out["data"]["bits_unit"] = bits_unit(samples);
  if (t.confusion) out["confusion"] = confusion(*t.confusion, V);
  if (V <= kMaxListed) out["classes"] = classes(t, samples);
  if (comparison.layers) out["layers"] = layers(*comparison.layers);
  if (comparison.ledger) out["ledger"] = ledger(*comparison.ledger);
  if (comparison.recovery) out["recovery"] = recovery(*comparison.recovery);
  for (const SampleView& view : comparison.samples) out["samples"].push_back(sample(view, samples));
  // Infinities and half characters of byte-level tokens have no place in JSON.
  return json::parse(out.dump(-1, ' ', false, json::error_handler_t::replace));
}

}  // namespace limbeck
