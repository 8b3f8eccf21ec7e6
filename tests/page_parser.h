// SPDX-License-Identifier: Apache-2.0
// Reads a page of limbeck's own: every tag must be closed, every attribute quoted.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace limbeck::testing {

struct PageElement {
  std::string tag;
  std::map<std::string, std::string> attributes;
  std::string text;  ///< directly inside, as written
};

/// What is wrong is a failure of the test that calls it.
class PageParser {
 public:
  explicit PageParser(const std::string& page) : page_(page) {
    const std::string first = "<!DOCTYPE html>\n";
    EXPECT_EQ(page.substr(0, first.size()), first);
    at_ = first.size();
    while (at_ < page_.size() && !broken_) step();
    EXPECT_TRUE(open_.empty()) << "not closed: "
                               << (open_.empty() ? "" : elements[open_.back()].tag);
  }

  std::vector<PageElement> elements;

  std::vector<PageElement> all(const std::string& tag) const {
    std::vector<PageElement> found;
    for (const PageElement& e : elements)
      if (e.tag == tag) found.push_back(e);
    return found;
  }

 private:
  void step() {
    if (page_[at_] != '<') {
      const std::size_t end = std::min(page_.find('<', at_), page_.size());
      const std::string text = page_.substr(at_, end - at_);
      expect(text.find('>') == std::string::npos, "a lone >");
      if (!open_.empty()) elements[open_.back()].text += text;
      at_ = end;
    } else if (page_[at_ + 1] == '/') {
      const std::size_t end = page_.find('>', at_);
      const std::string tag = page_.substr(at_ + 2, end - at_ - 2);
      expect(!open_.empty() && elements[open_.back()].tag == tag, "</" + tag + "> closes nothing");
      if (!broken_) open_.pop_back();
      at_ = end + 1;
    } else {
      read_tag();
    }
  }

  void read_tag() {
    const std::size_t name_end = page_.find_first_of(" />", at_);
    PageElement element;
    element.tag = page_.substr(at_ + 1, name_end - at_ - 1);
    at_ = name_end;
    while (page_[at_] == ' ') read_attribute(element);
    const bool closed = page_.compare(at_, 2, "/>") == 0;
    expect(closed || page_[at_] == '>', "<" + element.tag + " does not end");
    at_ += closed ? 2 : 1;
    elements.push_back(element);
    if (!closed) open_.push_back(elements.size() - 1);
    if (element.tag == "style") {  // its > are no tags
      at_ = page_.find("</style>", at_);
    }
  }

  void read_attribute(PageElement& element) {
    const std::size_t equals = page_.find("=\"", at_), end = page_.find('"', equals + 2);
    expect(equals != std::string::npos && end != std::string::npos, "an attribute without quotes");
    if (broken_) return;
    const std::string name = page_.substr(at_ + 1, equals - at_ - 1);
    expect(name.find_first_of(" <>\"") == std::string::npos, "attribute " + name);
    expect(!element.attributes.contains(name), "attribute " + name + " comes twice");
    element.attributes[name] = page_.substr(equals + 2, end - equals - 2);
    at_ = end + 1;
  }

  void expect(bool holds, const std::string& what) {
    if (holds || broken_) return;
    broken_ = true;
    ADD_FAILURE() << what << " at " << at_ << ": " << page_.substr(at_, 80);
  }

  const std::string& page_;
  std::size_t at_ = 0;
  std::vector<std::size_t> open_;
  bool broken_ = false;
};

}  // namespace limbeck::testing
