// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/encode_and_compare.h>

#include <limbeck/autograd/row_loss.h>

namespace limbeck {

Variable encode_and_compare(const Variable& student, const Tensor& teacher,
                            const EncodeAndCompareOptions& options, const Tensor& row_weight,
                            Tensor* teacher_code) {
  const Tensor& tap = student.value();
  LIMBECK_CHECK(tap.rank() == 2, "encode_and_compare: student has shape ", tap.shape(),
                "; expected (N,Ds)");
  const DType full = tap.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const bool given = std::holds_alternative<GivenCode>(options.teacher);
  const bool taken = teacher.dtype() == tap.dtype() || (given && teacher.dtype() == full);
  EncodeAndCompareOutputs out;
  out.row_loss = Tensor::empty({tap.dim(0)}, full, tap.device());
  if (records({&student, 1})) out.dstudent = Tensor::empty_like(tap);
  if (teacher_code) out.teacher_code = Tensor::empty({tap.dim(0), options.K}, full, tap.device());
  encode_and_compare_forward_with_grad(out, tap, taken ? teacher : teacher.to(tap.dtype()),
                                       row_weight, options);
  if (teacher_code) *teacher_code = out.teacher_code;
  const double rows =
      options.mean_over > 0 ? options.mean_over : counted_rows(Tensor(), tap.dim(0));
  return row_loss("encode_and_compare", student, out.row_loss, out.dstudent, rows);
}

}  // namespace limbeck
