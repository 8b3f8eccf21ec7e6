// SPDX-License-Identifier: Apache-2.0
// Tests of limbeck compare's page: it can be read, and says what the report says.
#include <limbeck/tools/compare_html.h>

#include <cstdlib>
#include <set>

#include <limbeck/tests/device_test.h>
#include <limbeck/tests/page_parser.h>
#include <limbeck/tests/small_comparison.h>
#include <limbeck/tools/bound_number.h>
#include <limbeck/tools/data_file.h>
#include <limbeck/tools/image_file.h>
#include <limbeck/tools/png_writer.h>
#include <limbeck/tools/svg.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

/// The digits an element shows are those of the report, as far as they go.
void expect_number(const json& report, const PageElement& element) {
  const std::string path = element.attributes.at("data-path");
  ASSERT_TRUE(report.contains(json::json_pointer(path))) << path;
  const json& value = report.at(json::json_pointer(path));
  if (!value.is_number()) {
    EXPECT_EQ(element.text, "–") << path;
    return;
  }
  const std::size_t point = element.text.find('.');
  const bool power = element.text.find('e') != std::string::npos;
  const double digits = point == std::string::npos ? 0 : element.text.size() - point - 1;
  const double shown = std::stod(element.text), exact = value.get<double>();
  const double step = power ? 0.05 * std::abs(exact) : 0.5 * std::pow(10, -digits);
  EXPECT_NEAR(shown, exact, step * 1.0001) << path;
}

void expect_page(const SmallComparison& small, std::size_t least_numbers) {
  small.run();
  const json report = small.report();
  const std::string text = small.page();
  const PageParser page(text);
  EXPECT_EQ(page.elements.front().tag, "html");
  EXPECT_EQ(page.all("section").size(), page_sections().size());
  EXPECT_EQ(page.all("h1").size(), 1u);
  std::size_t numbers = 0;
  for (const PageElement& element : page.elements)
    if (element.attributes.contains("data-path")) {
      expect_number(report, element);
      ++numbers;
    }
  EXPECT_GE(numbers, least_numbers);
  // Nothing is fetched and nothing runs.
  for (const char* part : {"<script", "<link", "href=", "src=\"http", "url(", "@import"})
    EXPECT_EQ(text.find(part), std::string::npos) << part;
  for (const PageElement& svg : page.all("svg")) EXPECT_TRUE(svg.attributes.contains("aria-label"));
}

TEST(ComparePage, OfImages) {
  const SmallComparison small;
  expect_page(small, 150);
  const std::string text = small.page();
  const PageParser page(text);
  ASSERT_EQ(page.all("img").size(), 2u);
  EXPECT_EQ(page.all("img")[0].attributes.at("src"), small.report()["samples"][0]["image"]);
}

TEST(ComparePage, OfText) {
  const SmallTextComparison small;
  expect_page(small, 120);
  EXPECT_NE(small.page().find("&lt;"), std::string::npos);
}

TEST(ComparePage, LeavesOutWhatWasNotMeasured) {
  SmallComparison small;
  small.arguments.samples.clear();
  small.arguments.cka = "none";
  small.arguments.ledger.clear();
  small.arguments.recover = "";
  small.run();
  const std::string text = small.page();
  EXPECT_EQ(PageParser(text).all("section").size(), page_sections().size() - 4);
  json report = small.report();
  report["student"]["nll"] = nullptr;  // a model whose logits are not finite
  report["kl"]["forward"]["max"] = nullptr;
  for (const char* key : {"classes", "confusion"}) report.erase(key);
  const std::string less = compare_page(report);
  const PageParser page(less);
  for (const PageElement& element : page.elements)
    if (element.attributes.contains("data-path")) expect_number(report, element);
}

TEST(ComparePage, BarsAreAsLongAsTheirNumbers) {
  const SmallComparison small;
  small.run();
  const std::string text = small.page();
  const PageParser page(text);
  // Of a sample's drawing the bar before a bound number, 190 wide at probability 1.
  int bars = 0;
  for (std::size_t i = 0; i + 1 < page.elements.size(); ++i) {
    const PageElement& number = page.elements[i];
    if (number.tag != "text" || !number.attributes.contains("data-path") ||
        number.attributes.at("data-path").rfind("/samples", 0) != 0)
      continue;
    const PageElement& bar = page.elements[i - 2];  // then its tip
    ASSERT_EQ(bar.tag, "rect");
    const json::json_pointer at(number.attributes.at("data-path"));
    EXPECT_NEAR(std::stod(bar.attributes.at("width")), 190 * small.report().at(at).get<double>(),
                0.01);
    ++bars;
  }
  EXPECT_GE(bars, 20);
}

std::string browser() {
  for (const char* name : {"chromium", "chromium-browser", "google-chrome"})
    if (std::system((std::string("command -v ") + name + " >/dev/null 2>&1").c_str()) == 0)
      return name;
  return "";
}

TEST(ComparePage, OpensInABrowser) {
  const std::string program = browser();
  if (program.empty()) GTEST_SKIP() << "no chromium, chromium-browser or google-chrome";
  if (!png_available()) GTEST_SKIP() << "no libpng to look at the picture";
  const SmallComparison small;
  small.run();
  const std::string picture = small.folder.file("page.png");
  const std::string command =
      "cd " + small.folder.file("") + " && timeout 100 " + program +
      " --headless --no-sandbox --disable-gpu --user-data-dir=profile --hide-scrollbars "
      "--window-size=1200,5000 --screenshot=page.png out.html >/dev/null 2>&1";
  if (std::system(command.c_str()) != 0) GTEST_SKIP() << program << " does not run here";
  const Image image = decode_image(picture, read_data_file(picture));
  EXPECT_EQ(image.width, 1200);
  std::set<int> colours;
  std::size_t student = 0, teacher = 0;  // pixels of the two models' colours in the light
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    const int colour = image.pixels[i] << 16 | image.pixels[i + 1] << 8 | image.pixels[i + 2];
    colours.insert(colour);
    student += colour == 0x1f6fd0;
    teacher += colour == 0xd9730d;
  }
  EXPECT_GT(colours.size(), 100u);
  EXPECT_GT(student, 2000u);
  EXPECT_GT(teacher, 1000u);
}

TEST(PngWriter, ReadsBackAsTheSameImage) {
  Image image{3, 5, {}};
  for (int i = 0; i < 45; ++i) image.pixels.push_back(static_cast<std::uint8_t>(i * 37));
  const std::string bytes = encode_png(image);
  EXPECT_EQ(bytes.substr(0, 8), "\x89PNG\r\n\x1a\n");
  if (png_available()) {
    const Image back = decode_image("x.png", bytes);
    EXPECT_EQ(back.height, 3);
    EXPECT_EQ(back.width, 5);
    EXPECT_EQ(back.pixels, image.pixels);
  }
  image.pixels.pop_back();
  expect_error([&] { encode_png(image); }, "encode_png: image of 3x5 has 44 bytes; expected 3 for");
}

TEST(Base64, TheExamplesOfItsStandard) {
  const char* pairs[][2] = {{"", ""},
                            {"f", "Zg=="},
                            {"fo", "Zm8="},
                            {"foo", "Zm9v"},
                            {"foob", "Zm9vYg=="},
                            {"fooba", "Zm9vYmE="},
                            {"foobar", "Zm9vYmFy"},
                            {"\xfb\xff", "+/8="}};
  for (const auto& [bytes, text] : pairs) EXPECT_EQ(base64(bytes), text);
}

TEST(Svg, NumbersAndText) {
  EXPECT_EQ(svg_number(1.0 / 3), "0.33");
  EXPECT_EQ(svg_number(100), "100");
  EXPECT_EQ(svg_number(-0.001), "0");
  EXPECT_EQ(svg_number(std::nan("")), "0");
  EXPECT_EQ(escape_html("<a & \"b\" 'c'>\x01\n"),
            "&lt;a &amp; &quot;b&quot; &#39;c&#39;&gt;\xef\xbf\xbd\n");
}

TEST(Svg, NamesAreCutBetweenCharacters) {
  EXPECT_EQ(shortened("äöüß", 4), "äöüß");
  EXPECT_EQ(shortened("äöüß", 3), "äö…");
  EXPECT_EQ(shortened("äöüß", 3, true), "…üß");
  EXPECT_EQ(characters_of("a…ß"), 3u);
}

TEST(BoundNumber, SmallOnesKeepTwoDigits) {
  EXPECT_EQ(number_text(0.95524), "0.9552");
  EXPECT_EQ(number_text(12), "12");
  EXPECT_EQ(number_text(0.0), "0.0000");
  EXPECT_EQ(number_text(0.0000321), "3.2e-05");
  EXPECT_EQ(number_text(json()), "–");
  EXPECT_EQ(bound_number(json{{"a", {1.5, 2.5}}}, "/a/1", 1),
            "<span data-path=\"/a/1\">2.5</span>");
}

}  // namespace
}  // namespace limbeck::testing
