// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/svg.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace limbeck {

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool control = static_cast<unsigned char>(c) < 32 && c != '\n' && c != '\t';
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        control ? out += "\xef\xbf\xbd" : out += c;
    }
  }
  return out;
}

namespace {

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; }

/// Where character i begins.
std::size_t place_of(const std::string& text, std::size_t i) {
  std::size_t at = 0, seen = 0;
  for (; at < text.size(); ++at)
    if (begins_character(text[at]) && seen++ == i) break;
  return at;
}

}  // namespace

std::size_t characters_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

std::string shortened(const std::string& text, std::size_t most, bool keep_end) {
  const std::size_t count = characters_of(text);
  if (count <= most) return text;
  if (keep_end) return "…" + text.substr(place_of(text, count - most + 1));
  return text.substr(0, place_of(text, most - 1)) + "…";
}

std::string svg_number(double value) {
  if (!std::isfinite(value)) return "0";
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  std::string out = text;
  out.erase(out.find_last_not_of('0') + 1);
  if (out.back() == '.') out.pop_back();
  return out == "-0" ? "0" : out;
}

namespace {

std::string attribute(const char* name, double value) {
  return std::string(" ") + name + "=\"" + svg_number(value) + "\"";
}

std::string attribute(const char* name, const std::string& value) {
  return std::string(" ") + name + "=\"" + value + "\"";
}

std::string with_space(const std::string& extra) { return extra.empty() ? "" : " " + extra; }

}  // namespace

Svg::Svg(double width, double height, const std::string& title) {
  const std::string w = svg_number(width), h = svg_number(height);
  body_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 " + w + " " + h +
          "\" width=\"" + w + "\" height=\"" + h + "\" aria-label=\"" + escape_html(title) +
          "\">\n";
}

void Svg::shape(const std::string& tag, const std::string& tip) {
  body_ += "<" + tag;
  if (tip.empty())
    body_ += "/>\n";
  else
    body_ += "><title>" + escape_html(tip) + "</title></" + tag.substr(0, tag.find(' ')) + ">\n";
}

Svg& Svg::rect(double x, double y, double width, double height, const std::string& style,
               const std::string& tip, const std::string& extra) {
  shape("rect" + attribute("x", x) + attribute("y", y) + attribute("width", width) +
            attribute("height", height) + attribute("class", style) + with_space(extra),
        tip);
  return *this;
}

Svg& Svg::line(double x1, double y1, double x2, double y2, const std::string& style) {
  shape("line" + attribute("x1", x1) + attribute("y1", y1) + attribute("x2", x2) +
            attribute("y2", y2) + attribute("class", style),
        "");
  return *this;
}

Svg& Svg::circle(double x, double y, double radius, const std::string& style,
                 const std::string& tip) {
  shape("circle" + attribute("cx", x) + attribute("cy", y) + attribute("r", radius) +
            attribute("class", style),
        tip);
  return *this;
}

Svg& Svg::text(double x, double y, const std::string& inner, const std::string& anchor,
               const std::string& style, const std::string& extra) {
  body_ += "<text" + attribute("x", x) + attribute("y", y) + attribute("text-anchor", anchor) +
           attribute("class", style) + with_space(extra) + ">" + inner + "</text>\n";
  return *this;
}

Svg& Svg::point(double x, double y) {
  points_ += (points_.empty() ? "" : " ") + svg_number(x) + "," + svg_number(y);
  return *this;
}

Svg& Svg::end_line(const std::string& style) {
  if (!points_.empty()) body_ += "<polyline points=\"" + points_ + "\" class=\"" + style + "\"/>\n";
  points_.clear();
  return *this;
}

}  // namespace limbeck
