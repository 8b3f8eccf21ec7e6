// SPDX-License-Identifier: Apache-2.0
// PNG by libpng.
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include <png.h>

#include <limbeck/tools/data_file.h>
#include <limbeck/tools/image_file.h>

namespace limbeck {
namespace {

/// A decoder that reads `bytes` from `at` on; its errors jump back to where png_jmpbuf was set.
struct Decoder {
  const std::string& bytes;
  std::size_t at = 0;
  png_structp png = nullptr;
  png_infop info = nullptr;
  char message[128] = "";

  explicit Decoder(const std::string& given) : bytes(given) {}
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void leave(png_structp png, png_const_charp message) {
  auto* decoder = static_cast<Decoder*>(png_get_error_ptr(png));
  std::snprintf(decoder->message, sizeof decoder->message, "%s", message);
  png_longjmp(png, 1);
}

void ignore(png_structp, png_const_charp) {}  // warnings are of details, such as colour profiles

void take(png_structp png, png_bytep to, std::size_t count) {
  auto* decoder = static_cast<Decoder*>(png_get_io_ptr(png));
  if (decoder->bytes.size() - decoder->at < count) png_error(png, "truncated");
  std::memcpy(to, decoder->bytes.data() + decoder->at, count);
  decoder->at += count;
}

// Between setjmp and longjmp nothing with a destructor may begin: the two functions below only
// call the library.

bool read_header(Decoder& decoder) {
  if (setjmp(png_jmpbuf(decoder.png)) != 0) return false;
  png_set_read_fn(decoder.png, &decoder, take);
  png_read_info(decoder.png, decoder.info);
  return true;
}

bool read_pixels(Decoder& decoder, Image& image) {
  const png_structp png = decoder.png;
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_expand(png);
  png_set_scale_16(png);
  png_set_gray_to_rgb(png);
  png_set_strip_alpha(png);
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, decoder.info);
  const auto row = static_cast<std::size_t>(image.width) * 3;
  if (png_get_rowbytes(png, decoder.info) != row) png_error(png, "pixels that are not RGB");
  for (int pass = 0; pass < passes; ++pass)
    for (std::int64_t h = 0; h < image.height; ++h)
      png_read_row(png, image.pixels.data() + static_cast<std::size_t>(h) * row, nullptr);
  png_read_end(png, nullptr);
  return true;
}

}  // namespace

bool png_available() { return true; }

ImageSize read_png(const std::string& path, const std::string& bytes, Image* image) {
  Decoder decoder(bytes);
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, leave, ignore);
  if (decoder.png != nullptr) decoder.info = png_create_info_struct(decoder.png);
  if (decoder.info == nullptr) throw std::bad_alloc();
  if (!read_header(decoder)) data_error(path, "corrupt PNG (", decoder.message, ")");
  const ImageSize size = {png_get_image_height(decoder.png, decoder.info),
                          png_get_image_width(decoder.png, decoder.info)};
  if (size.height > kMaxPixels / size.width)
    data_error(path, "is ", size.height, "x", size.width, "; expected at most ", kMaxPixels,
               " pixels");
  if (image == nullptr) return size;
  *image = {size.height, size.width, {}};
  image->pixels.resize(static_cast<std::size_t>(size.height * size.width * 3));
  if (!read_pixels(decoder, *image)) data_error(path, "corrupt PNG (", decoder.message, ")");
  return size;
}

}  // namespace limbeck
