// SPDX-License-Identifier: Apache-2.0
// Drawings for a page: the few shapes of SVG that diagrams are made of.
#pragma once

#include <string>
#include <string_view>

namespace limbeck {

/// Text as HTML and SVG show it: & < > and both quotes are named, control characters but the line's
/// end and tab become U+FFFD, which no page may lack.
std::string escape_html(std::string_view text);

/// As many characters of UTF-8.
std::size_t characters_of(const std::string& text);
/// Text of at most `most` characters: its start, or with keep_end its end, and an ellipsis.
std::string shortened(const std::string& text, std::size_t most, bool keep_end = false);

/// A length or place in a drawing, with two digits after the point at most.
std::string svg_number(double value);

/// A drawing `width` by `height`, x to the right and y down. Colours are the page's: every shape
/// has a class of its style sheet. `extra` are attributes, as in "fill-opacity=\"0.5\"", `tip` what
/// appears when the pointer rests on the shape.
class Svg {
 public:
  /// `title` is for those who cannot see it.
  Svg(double width, double height, const std::string& title);

  Svg& rect(double x, double y, double width, double height, const std::string& style,
            const std::string& tip = "", const std::string& extra = "");
  Svg& line(double x1, double y1, double x2, double y2, const std::string& style);
  Svg& circle(double x, double y, double radius, const std::string& style,
              const std::string& tip = "");
  /// anchor: start, middle or end. `inner` is HTML already.
  Svg& text(double x, double y, const std::string& inner, const std::string& anchor = "start",
            const std::string& style = "label", const std::string& extra = "");
  /// One more point of the open line; the first opens it.
  Svg& point(double x, double y);
  Svg& end_line(const std::string& style);

  std::string str() const { return body_ + "</svg>\n"; }

 private:
  void shape(const std::string& tag, const std::string& tip);
  std::string body_, points_;
};

/// Linear from [from_low, from_high] to [to_low, to_high].
struct Scale {
  double from_low, from_high, to_low, to_high;
  double operator()(double value) const {
    return to_low + (value - from_low) / (from_high - from_low) * (to_high - to_low);
  }
};

}  // namespace limbeck
