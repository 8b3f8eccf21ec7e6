// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/progress.h>

#include <cmath>
#include <cstdio>

namespace limbeck {
namespace {

double seconds_between(std::chrono::steady_clock::time_point a,
                       std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

std::string clock_time(double seconds) {
  const long s = std::lround(seconds);
  char text[32];
  if (s >= 3600)
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
  else
    std::snprintf(text, sizeof text, "%ld:%02ld", s / 60, s % 60);
  return text;
}

void ProgressLine::begin(const std::string& label, std::int64_t done) {
  label_ = label;
  line_ = label;
  first_step_ = done;
  begun_ = shown_ = Clock::now();
  if (terminal_) show(label);
}

double ProgressLine::seconds() const { return seconds_between(begun_, Clock::now()); }

void ProgressLine::update(const Progress& p) {
  const double elapsed = seconds();
  const double rate = static_cast<double>(p.step - first_step_) / std::max(elapsed, 1e-9);
  const double left = static_cast<double>(p.total_steps - p.step) / std::max(rate, 1e-9);
  char text[160];
  std::snprintf(text, sizeof text, "  step %lld/%lld  loss %.4g  %.1f steps/s  %s left",
                static_cast<long long>(p.step), static_cast<long long>(p.total_steps), p.loss, rate,
                clock_time(left).c_str());
  line_ = label_ + text;
  if (!terminal_ && seconds_between(shown_, Clock::now()) < 10) return;
  shown_ = Clock::now();
  show(line_);
}

void ProgressLine::end(const std::string& note) {
  show(label_ + "  " + note);
  if (terminal_) out_ << "\n" << std::flush;
}

void ProgressLine::show(const std::string& line) {
  if (terminal_)
    out_ << "\r\033[K" << line << std::flush;  // back to column one, clear to the end of the line
  else
    out_ << line << "\n" << std::flush;
}

}  // namespace limbeck
