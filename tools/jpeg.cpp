// SPDX-License-Identifier: Apache-2.0
// JPEG by libjpeg. Its integer transform (JDCT_ISLOW, the default) is exact: every CPU gets the
// same pixels from one version of the library.
#include <csetjmp>
#include <cstdio>
#include <memory>

#include <jpeglib.h>

#include <limbeck/tools/data_file.h>
#include <limbeck/tools/image_file.h>

namespace limbeck {
namespace {

/// A decoder whose errors and warnings jump back to where `back` was set.
struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX] = "";
  ~Decoder() { jpeg_destroy_decompress(&info); }
};

[[noreturn]] void leave(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  info->err->format_message(info, decoder->message);
  std::longjmp(decoder->back, 1);
}

/// Warnings, of level -1, are of corrupt data; the rest is trace.
void hear(j_common_ptr info, int level) {
  if (level < 0) leave(info);
}

// Between setjmp and longjmp nothing with a destructor may begin: the two functions below only
// call the library.

bool read_header(Decoder& decoder, const std::string& bytes) {
  if (setjmp(decoder.back) != 0) return false;
  jpeg_create_decompress(&decoder.info);
  jpeg_mem_src(&decoder.info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&decoder.info, TRUE);
  return true;
}

bool read_pixels(Decoder& decoder, std::uint8_t* pixels) {
  if (setjmp(decoder.back) != 0) return false;
  jpeg_decompress_struct& info = decoder.info;
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = pixels + std::size_t{info.output_scanline} * info.output_width * 3;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

}  // namespace

bool jpeg_available() { return true; }

ImageSize read_jpeg(const std::string& path, const std::string& bytes, Image* image) {
  const auto decoder = std::make_unique<Decoder>();
  decoder->info.err = jpeg_std_error(&decoder->errors);
  decoder->info.client_data = decoder.get();
  decoder->errors.error_exit = leave;
  decoder->errors.emit_message = hear;
  if (!read_header(*decoder, bytes)) data_error(path, "corrupt JPEG (", decoder->message, ")");
  const ImageSize size = {decoder->info.image_height, decoder->info.image_width};
  if (size.height * size.width > kMaxPixels)
    data_error(path, "is ", size.height, "x", size.width, "; expected at most ", kMaxPixels,
               " pixels");
  if (image == nullptr) return size;
  *image = {size.height, size.width, {}};
  image->pixels.resize(static_cast<std::size_t>(size.height * size.width * 3));
  if (!read_pixels(*decoder, image->pixels.data()))
    data_error(path, "corrupt JPEG (", decoder->message, ")");
  return size;
}

}  // namespace limbeck
